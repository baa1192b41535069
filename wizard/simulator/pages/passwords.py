"""What a new password must be, wherever it is chosen."""

from wizard.simulator.people import User

MIN_PASSWORD_LENGTH = 8
TOO_SHORT = f"Choose a password of at least {MIN_PASSWORD_LENGTH} characters."
NOT_NEW = "Choose a password other than your current one."
NOT_REPEATED = "The two new passwords differ."


def new_password_errors(user: User, new_password: str, repeated_password: str) -> dict[str, str]:
    """Return field name → what is wrong with it; empty when `new` may become the password."""
    errors = {}
    if len(new_password) < MIN_PASSWORD_LENGTH:
        errors["new_password"] = TOO_SHORT
    elif user.check_password(new_password):
        errors["new_password"] = NOT_NEW
    if repeated_password != new_password:
        errors["repeat_password"] = NOT_REPEATED
    return errors
