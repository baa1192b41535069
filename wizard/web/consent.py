"""The way to Zoho's consent page."""

from flask import redirect
from werkzeug.wrappers import Response

from wizard.authorization import ATTEMPT_LIFETIME
from wizard.web.context import get_services
from wizard.web.guard import CALLBACK_PATH


def begin_authorization(
    name: str, *, ignore_budget: bool = False, additional_scope: tuple[str, ...] = ()
) -> Response:
    """Begin an authorization of connection `name` and send this browser to Zoho with it.

    `scope` is asked for beside what the connection has. The cookie holds a random value and
    nothing else; only a browser that has it can finish.
    Raises what `Authorization.begin` raises.
    """
    attempt = get_services().authorization.begin(
        name, force=ignore_budget, additional_scope=additional_scope
    )
    response = redirect(attempt.url, 303)
    response.set_cookie(
        attempt.cookie_name,
        attempt.cookie_value,
        max_age=ATTEMPT_LIFETIME,
        path=CALLBACK_PATH,
        httponly=True,
        # Strict would not be sent on the way back from Zoho.
        samesite="Lax",
    )
    return response
