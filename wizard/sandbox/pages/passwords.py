"""What a new password must be, wherever it is chosen."""

from wizard.sandbox.people import User

SHORTEST_PASSWORD = 8
TOO_SHORT = f"Choose a password of at least {SHORTEST_PASSWORD} characters."
NOT_NEW = "Choose a password other than your current one."
NOT_REPEATED = "The two new passwords differ."


def new_password_errors(user: User, new: str, repeated: str) -> dict[str, str]:
    """Return field name → what is wrong with it; empty when `new` may become the password."""
    errors = {}
    if len(new) < SHORTEST_PASSWORD:
        errors["new_password"] = TOO_SHORT
    elif user.password_is(new):
        errors["new_password"] = NOT_NEW
    if repeated != new:
        errors["repeat_password"] = NOT_REPEATED
    return errors
