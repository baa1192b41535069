"""Sign-in in steps: login id, captcha, password; script requests on one page."""

from flask import jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from wizard.sandbox.authorize import moved_to
from wizard.sandbox.data_centres import can_share_clients
from wizard.sandbox.pages import captcha, visit
from wizard.sandbox.pages.arrival import after_password, held, sent, target
from wizard.sandbox.sessions import SESSION_COOKIE, cookie_path

UNKNOWN_ACCOUNT = (
    "This account cannot be found. Please use a different account or sign up for a new account."
)
DEACTIVATED = "This account has been deactivated. Please contact your administrator."
WRONG_PASSWORD = "Incorrect password. Please try again."  # noqa: S105

pages = visit.located("signin", "accounts")


@pages.route("/signin", methods=["GET", "POST"])
def page() -> Response:
    """Show the sign-in page; a POST is the hop from another data centre, login id in hand."""
    serviceurl = request.args.get("serviceurl", "")
    if visit.user():
        return redirect(visit.local_target(serviceurl))
    kept = visit.session() or visit.world().sessions.begin(visit.location())
    response = make_response(
        render_template(
            "sandbox/signin.html",
            login_id=request.form.get("LOGIN_ID", ""),
            serviceurl=serviceurl,
            csrf_token=kept.csrf,
        )
    )
    visit.keep_session(response, kept)
    return response


@pages.post("/signin/lookup")
def lookup() -> Response:
    """Judge a login id: ask for the password, send it to its own data centre, or refuse it."""
    user = visit.world().people.find(sent("LOGIN_ID"))
    if user is None or not can_share_clients(user.location, visit.location()):
        return jsonify(error=UNKNOWN_ACCOUNT)
    if user.deactivated:
        return jsonify(error=DEACTIVATED)
    if user.location != visit.location():
        return jsonify(hop=_sign_in_page_at(user.location))
    return jsonify(step="captcha" if captcha.is_due(user) else "password")


@pages.post("/signin/password")
def password() -> Response:
    """Judge a password; sign in, or ask for what else is owed."""
    user = visit.world().people.find(sent("LOGIN_ID"))
    if user is None or user.location != visit.location() or user.deactivated:
        return jsonify(error=UNKNOWN_ACCOUNT)
    if captcha.is_due(user):
        return jsonify(step="captcha")
    if not user.password_is(sent("PASSWORD")):
        user.wrong_passwords += 1
        held().captcha_solved = False
        step = "captcha" if captcha.is_due(user) else "password"
        return jsonify(error=WRONG_PASSWORD, step=step)
    user.wrong_passwords = 0
    return after_password(user)


@pages.get("/logout")
def sign_out() -> Response:
    """End the session here and go to `serviceurl`, which asks to sign in again."""
    kept = visit.session()
    if kept:
        visit.world().sessions.end(kept.session_id)
    response = redirect(visit.local_target(request.args.get("serviceurl", "")))
    response.delete_cookie(SESSION_COOKIE, path=cookie_path(visit.location()))
    return response


def _sign_in_page_at(location: str) -> str:
    """Return the sign-in page of another data centre, which goes on to the same page there."""
    return url_for(".page", dc=location, serviceurl=moved_to(target(), location))
