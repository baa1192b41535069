"""Sign-in in steps: login id, captcha, password; script requests on one page."""

from flask import jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from wizard.simulator.authorization_endpoint import path_in_data_center
from wizard.simulator.data_centers import can_share_clients
from wizard.simulator.pages import captcha, page_context
from wizard.simulator.pages.sign_in_steps import (
    continue_after_password,
    json_field,
    require_session,
    target_url,
)
from wizard.simulator.sessions import SESSION_COOKIE, cookie_path

UNKNOWN_ACCOUNT = (
    "This account cannot be found. Please use a different account or sign up for a new account."
)
DEACTIVATED = "This account has been deactivated. Please contact your administrator."
WRONG_PASSWORD = "Incorrect password. Please try again."  # noqa: S105

pages = page_context.location_blueprint("signin", "accounts")


@pages.route("/signin", methods=["GET", "POST"])
def page() -> Response:
    """Show the sign-in page; a POST is the hop from another data centre, login id in hand."""
    serviceurl = request.args.get("serviceurl", "")
    if page_context.signed_in_user():
        return redirect(page_context.safe_target(serviceurl))
    kept = page_context.current_session() or page_context.current_world().sessions.begin(
        page_context.current_location()
    )
    response = make_response(
        render_template(
            "simulator/signin.html",
            login_id=request.form.get("LOGIN_ID", ""),
            serviceurl=serviceurl,
            csrf_token=kept.csrf,
        )
    )
    page_context.set_session_cookie(response, kept)
    return response


@pages.post("/signin/lookup")
def lookup() -> Response:
    """Judge a login id: ask for the password, send it to its own data centre, or refuse it."""
    user = page_context.current_world().people.find(json_field("LOGIN_ID"))
    if user is None or not can_share_clients(user.location, page_context.current_location()):
        return jsonify(error=UNKNOWN_ACCOUNT)
    if user.deactivated:
        return jsonify(error=DEACTIVATED)
    if user.location != page_context.current_location():
        return jsonify(hop=_sign_in_page_at(user.location))
    return jsonify(step="captcha" if captcha.is_required(user) else "password")


@pages.post("/signin/password")
def password() -> Response:
    """Judge a password; sign in, or ask for what else is owed."""
    user = page_context.current_world().people.find(json_field("LOGIN_ID"))
    if user is None or user.location != page_context.current_location() or user.deactivated:
        return jsonify(error=UNKNOWN_ACCOUNT)
    if captcha.is_required(user):
        return jsonify(step="captcha")
    if not user.check_password(json_field("PASSWORD")):
        user.wrong_passwords += 1
        require_session().is_captcha_solved = False
        step = "captcha" if captcha.is_required(user) else "password"
        return jsonify(error=WRONG_PASSWORD, step=step)
    user.wrong_passwords = 0
    return continue_after_password(user)


@pages.get("/logout")
def sign_out() -> Response:
    """End the session here and go to `serviceurl`, which asks to sign in again."""
    kept = page_context.current_session()
    if kept:
        page_context.current_world().sessions.end(kept.session_id)
    response = redirect(page_context.safe_target(request.args.get("serviceurl", "")))
    response.delete_cookie(SESSION_COOKIE, path=cookie_path(page_context.current_location()))
    return response


def _sign_in_page_at(location: str) -> str:
    """Return the sign-in page of another data centre, which goes on to the same page there."""
    return url_for(".page", dc=location, serviceurl=path_in_data_center(target_url(), location))
