"""The steps after a right password: one-time code, push, and whether to trust the browser."""

from flask import jsonify, request
from werkzeug.wrappers import Response

from wizard.simulator.pages import page_context
from wizard.simulator.pages.sign_in_steps import (
    complete_sign_in,
    json_field,
    next_url,
    pending_user,
    require_session,
)
from wizard.simulator.sessions import BROWSER_COOKIE, cookie_path

WRONG_CODE = "Incorrect OTP. Please try again."
TRUST_SECONDS = 180 * 24 * 3600

pages = page_context.location_blueprint("second_step", "accounts")


@pages.post("/signin/one-time-code")
def one_time_code() -> Response:
    """Judge a one-time code; sign in and ask whether to trust the browser."""
    user = pending_user()
    if user is None or not user.check_one_time_code(
        json_field("code"), page_context.current_world().clock()
    ):
        return jsonify(error=WRONG_CODE)
    return complete_sign_in(user, step="trust")


@pages.post("/signin/push")
def push() -> Response:
    """Say whether the sign-in was confirmed on the other device; the page asks until it was."""
    user = pending_user()
    if user is None or not require_session().is_push_confirmed:
        return jsonify(waiting=True)
    return complete_sign_in(user, step="trust")


@pages.post("/signin/trust")
def trust() -> Response:
    """Remember the browser if its person trusts it, and go where they wanted to go."""
    user = page_context.require_user()
    response = jsonify(url=next_url(user))
    if (request.get_json(silent=True) or {}).get("trust") is True:
        browser = page_context.current_world().random_values.hexadecimal(32)
        user.trusted_browsers.append(browser)
        response.set_cookie(
            BROWSER_COOKIE,
            browser,
            path=cookie_path(page_context.current_location()),
            max_age=TRUST_SECONDS,
            httponly=True,
            samesite="Lax",
        )
    return response
