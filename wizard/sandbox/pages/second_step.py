"""The steps after a right password: one-time code, push, and whether to trust the browser."""

from flask import jsonify, request
from werkzeug.wrappers import Response

from wizard.sandbox.pages import visit
from wizard.sandbox.pages.arrival import held, onward, owing, sent, signed_in
from wizard.sandbox.sessions import BROWSER_COOKIE, cookie_path

WRONG_CODE = "Incorrect OTP. Please try again."
TRUST_SECONDS = 180 * 24 * 3600

pages = visit.located("second_step", "accounts")


@pages.post("/signin/one-time-code")
def one_time_code() -> Response:
    """Judge a one-time code; sign in and ask whether to trust the browser."""
    user = owing()
    if user is None or not user.one_time_code_is(sent("code"), visit.world().clock()):
        return jsonify(error=WRONG_CODE)
    return signed_in(user, step="trust")


@pages.post("/signin/push")
def push() -> Response:
    """Say whether the sign-in was confirmed on the other device; the page asks until it was."""
    user = owing()
    if user is None or not held().push_confirmed:
        return jsonify(waiting=True)
    return signed_in(user, step="trust")


@pages.post("/signin/trust")
def trust() -> Response:
    """Remember the browser if its person trusts it, and go where they wanted to go."""
    user = visit.present_user()
    response = jsonify(url=onward(user))
    if (request.get_json(silent=True) or {}).get("trust") is True:
        browser = visit.world().mint.hexadecimal(32)
        user.trusted_browsers.append(browser)
        response.set_cookie(
            BROWSER_COOKIE,
            browser,
            path=cookie_path(visit.location()),
            max_age=TRUST_SECONDS,
            httponly=True,
            samesite="Lax",
        )
    return response
