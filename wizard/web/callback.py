"""The redirect URI, to which Zoho sends the browser back. It needs no session.

`AuthorizationService.complete` judges the callback; the browser is redirected at once, so that
neither code nor state stays in the address bar.
"""

from dataclasses import replace

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.authorization.attempts import cookie_name
from wizard.errors import WizardError, fail
from wizard.web import reauthorization
from wizard.web.context import get_services, render_error
from wizard.web.guard import CALLBACK_PATH
from wizard.web.sessions import current_session

pages = Blueprint("callback", __name__)


@pages.get(CALLBACK_PATH, endpoint="complete")
def complete() -> Response:
    """Complete the attempt and redirect to its connection or re-authorization."""
    # A prefetch must not use up the authorization code.
    if any("prefetch" in request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose")):
        base_url = get_services().settings.base_url
        return render_error(fail("page-foreign-form", address=base_url).failure)
    params = list(request.args.items(multi=True))
    completed = get_services().authorization.complete(params, request.cookies)
    if completed.generation is not None:
        get_services().verification_worker.submit(completed.connection, completed.generation)
    # A code lost to a rate limit is requested again once the limit is over.
    is_success = completed.failure is None or completed.failure.code == "throttled"
    response = redirect(
        reauthorization.return_url(completed.connection, is_success=is_success), 303
    )
    response.delete_cookie(
        cookie_name(completed.attempt.id),
        path=CALLBACK_PATH,
        httponly=True,
        samesite="Lax",
    )
    return response


@pages.errorhandler(WizardError)
def handle_rejected_callback(error: WizardError) -> Response:
    """Show a neutral page for a callback that isn't ours, without its parameters.

    A repeated callback (reload or Back button) leads to its connection, whose name is shown only to
    a signed-in browser.
    """
    failure = error.failure
    if failure.code == "callback-repeated":
        if current_session().is_signed_in:
            return redirect(f"/connections/{failure.details['name']}", 303)
        failure = replace(failure, details={})
    return render_error(failure, 400)
