"""Where Zoho sends the browser back to. It needs no session, shows nothing, and moves on at once.

What came is judged by `Authorization`; here it is only carried there and the browser led to a
clean address, so that neither code nor state stays in the address bar.
"""

from dataclasses import replace

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.errors import WizardError, fail
from wizard.web import repair
from wizard.web.findings import STATUS_OF_CODE, paint
from wizard.web.guard import CALLBACK
from wizard.web.rooms import house
from wizard.web.sessions import browser

pages = Blueprint("callback", __name__)

FLOW_COOKIE = "zw_flow_"


@pages.get(CALLBACK, endpoint="complete")
def complete() -> Response:
    """Complete the attempt and lead the browser to its connection's page."""
    # A browser that looks ahead must not spend the one code.
    if any("prefetch" in request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose")):
        raise fail("page-foreign-form", address=house().settings.base_url)
    params = list(request.args.items(multi=True))
    done = house().authorization.complete(params, request.cookies)
    if done.generation is not None:
        house().climber.submit(done.connection, done.generation)
    # What Zoho's throttle cost its code is asked for again, once that is over.
    well = done.failure is None or done.failure.code == "throttled"
    answer = redirect(repair.home_of(done.connection, well=well), 303)
    answer.delete_cookie(
        f"{FLOW_COOKIE}{done.attempt.id}", path=CALLBACK, httponly=True, samesite="Lax"
    )
    return answer


@pages.errorhandler(WizardError)
def refused(error: WizardError) -> Response:
    """A callback that is not ours: a neutral page, and nothing of what it said.

    One that comes again, by a reload or the Back button, leads to its connection; a browser that
    is not signed in is told no name.
    """
    failure = error.failure
    if failure.code == "callback-repeated":
        if browser().signed_in:
            return redirect(f"/connections/{failure.details['name']}", 303)
        failure = replace(failure, details={})
    return paint(failure, STATUS_OF_CODE.get(failure.code, 400))
