"""Where Zoho sends the browser back to. It needs no session, shows nothing, and moves on at once.

What came is judged by `Authorization`; here it is only carried there and the browser led to a
clean address, so that neither code nor state stays in the address bar.
"""

from dataclasses import replace

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.errors import WizardError, fail
from wizard.web import reauthorization
from wizard.web.context import get_services
from wizard.web.error_pages import render_error
from wizard.web.guard import CALLBACK_PATH
from wizard.web.sessions import current_session

pages = Blueprint("callback", __name__)

ATTEMPT_COOKIE_PREFIX = "zw_flow_"


@pages.get(CALLBACK_PATH, endpoint="complete")
def complete() -> Response:
    """Complete the attempt and lead the browser to its connection's page."""
    # A browser that looks ahead must not spend the one code.
    if any("prefetch" in request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose")):
        base_url = get_services().settings.base_url
        return render_error(fail("page-foreign-form", address=base_url).failure)
    params = list(request.args.items(multi=True))
    completed = get_services().authorization.complete(params, request.cookies)
    if completed.generation is not None:
        get_services().verification_worker.submit(completed.connection, completed.generation)
    # What Zoho's throttle cost its code is asked for again, once that is over.
    is_success = completed.failure is None or completed.failure.code == "throttled"
    response = redirect(
        reauthorization.return_url(completed.connection, is_success=is_success), 303
    )
    response.delete_cookie(
        f"{ATTEMPT_COOKIE_PREFIX}{completed.attempt.id}",
        path=CALLBACK_PATH,
        httponly=True,
        samesite="Lax",
    )
    return response


@pages.errorhandler(WizardError)
def handle_rejected_callback(error: WizardError) -> Response:
    """A callback that is not ours: a neutral page, and nothing of what it said.

    One that comes again, by a reload or the Back button, leads to its connection; a browser that
    is not signed in is told no name.
    """
    failure = error.failure
    if failure.code == "callback-repeated":
        if current_session().is_signed_in:
            return redirect(f"/connections/{failure.details['name']}", 303)
        failure = replace(failure, details={})
    return render_error(failure, 400)
