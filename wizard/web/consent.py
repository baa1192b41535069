"""The way to Zoho's consent page."""

from flask import redirect
from werkzeug.wrappers import Response

from wizard.authorization import ATTEMPT_LIFE
from wizard.web.guard import CALLBACK
from wizard.web.rooms import house


def begin(name: str, *, force: bool = False, scope: tuple[str, ...] = ()) -> Response:
    """Begin an authorization of connection `name` and send this browser to Zoho with it.

    `scope` is asked for beside what the connection has. The cookie holds a random value and
    nothing else; only a browser that has it can finish.
    Raises what `Authorization.begin` raises.
    """
    begun = house().authorization.begin(name, force=force, scope=scope)
    answer = redirect(begun.url, 303)
    answer.set_cookie(
        begun.cookie_name,
        begun.cookie_value,
        max_age=ATTEMPT_LIFE,
        path=CALLBACK,
        httponly=True,
        # Strict would not be sent on the way back from Zoho.
        samesite="Lax",
    )
    return answer
