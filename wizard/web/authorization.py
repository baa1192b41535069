"""An authorization in the browser: to Zoho's consent page, and back to the redirect URI.

`AuthorizationService.complete` judges the callback, which needs no session; the browser is
redirected at once, so that neither code nor state stays in the address bar.
"""

from dataclasses import replace

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.authorization import ATTEMPT_LIFETIME
from wizard.authorization.in_place import COOKIE_NAME as IN_PLACE_COOKIE_NAME
from wizard.authorization.service import cookie_name
from wizard.errors import WizardError, fail
from wizard.web.context import get_services, render_error
from wizard.web.sessions import current_session

pages = Blueprint("authorization", __name__)

CALLBACK_PATH = "/callback"
REAUTHORIZE_PATH = "/reauthorize"
APPROVALS_PATH = "/approvals"
CONTINUE_URL = f"{REAUTHORIZE_PATH}?continue=yes"
"""Where the browser goes after a successful consent: the next one may open automatically."""
RETURNED = "returned"
"""Session key: this browser has come back from a successful consent and has begun no other."""


def refuse_foreign_continuation() -> Response | None:
    """Don't open a consent automatically if another site or the user opened the page. After a
    consent, the browser returns from Zoho, and the session says so."""
    is_ours = request.headers.get("Sec-Fetch-Site") in (None, "same-origin")
    is_continued = request.path in (REAUTHORIZE_PATH, APPROVALS_PATH) and "continue" in request.args
    if not is_continued or is_ours or RETURNED in current_session():
        return None
    return redirect(request.path, 303)


def begin_authorization(
    name: str, *, ignore_budget: bool = False, additional_scope: tuple[str, ...] = ()
) -> Response:
    """Begin an authorization of connection `name` and redirect this browser to Zoho.

    `additional_scope` is requested in addition to the connection's scopes. The cookie holds only a
    random value, which binds the attempt to this browser. Raises what `AuthorizationService.begin`
    raises.
    """
    attempt = get_services().authorization.begin(
        name, force=ignore_budget, additional_scope=additional_scope
    )
    current_session().pop(RETURNED, None)
    response = redirect(attempt.url, 303)
    response.set_cookie(
        attempt.cookie_name,
        attempt.cookie_value,
        max_age=ATTEMPT_LIFETIME,
        path=CALLBACK_PATH,
        httponly=True,
        # A Strict cookie isn't sent with the redirect from Zoho.
        samesite="Lax",
    )
    return response


def begin_scope_addition(name: str, scope: tuple[str, ...]) -> Response:
    """Begin to add `scope` to the refresh token of connection `name`, and redirect this browser to
    Zoho. Raises what `ScopeAddition.begin` raises.

    The URL contains the enhancement token, so the response has no body, and isn't stored or named
    as the referrer.
    """
    started = get_services().scope_addition.begin(name, scope)
    response = Response(status=303)
    response.headers["Location"] = started.url
    response.headers["Referrer-Policy"] = "no-referrer"
    response.set_cookie(
        IN_PLACE_COOKIE_NAME,
        started.cookie_value,
        max_age=ATTEMPT_LIFETIME,
        path=CALLBACK_PATH,
        httponly=True,
        samesite="Lax",
    )
    return response


@pages.get(CALLBACK_PATH, endpoint="complete")
def complete() -> Response:
    """Complete the attempt and redirect to its connection or re-authorization."""
    # A prefetch must not use up the authorization code.
    if any("prefetch" in request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose")):
        base_url = get_services().settings.base_url
        return render_error(fail("page-foreign-form", address=base_url).failure)
    params = list(request.args.items(multi=True))
    if "state" not in request.args and IN_PLACE_COOKIE_NAME in request.cookies:
        completed = get_services().scope_addition.complete(params, request.cookies)
        name_of_cookie = IN_PLACE_COOKIE_NAME if completed.failure is None else ""
    else:
        completed = get_services().authorization.complete(params, request.cookies)
        name_of_cookie = cookie_name(completed.attempt.id)
    if completed.generation is not None:
        get_services().verification_worker.submit(completed.connection, completed.generation)
    # A code lost to a rate limit is requested again once the limit is over.
    is_success = completed.failure is None or completed.failure.code == "throttled"
    if is_success and current_session().id is not None:
        current_session()[RETURNED] = True
    response = redirect(return_url(completed.connection, is_success=is_success), 303)
    if name_of_cookie:
        response.delete_cookie(
            name_of_cookie,
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


def return_url(name: str, *, is_success: bool) -> str:
    """Where to redirect after a consent for connection `name`, which succeeded or not: to the page
    of the account owner who gave it, or to the re-authorization that it is part of, else to its
    page."""
    if current_session().approvals:
        return f"{APPROVALS_PATH}?continue=yes" if is_success else APPROVALS_PATH
    reauthorization = get_services().reauthorization.current()
    is_included = reauthorization is not None and any(
        each.connection == name for each in reauthorization.items
    )
    if not is_included:
        return f"/connections/{name}"
    return CONTINUE_URL if is_success else REAUTHORIZE_PATH
