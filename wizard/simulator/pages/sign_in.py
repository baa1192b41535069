"""The sign-in pages: login ID, CAPTCHA, password, second factor, announcements.

The steps are requests of a script on one page.
"""

from typing import Any

from flask import jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from wizard.simulator.authorization_endpoint import path_in_data_center
from wizard.simulator.catalog import can_share_clients
from wizard.simulator.middleware import current_world
from wizard.simulator.pages.page_context import (
    current_location,
    current_session,
    location_blueprint,
    require_user,
    safe_target,
    set_session_cookie,
    sign_in_required,
    signed_in_user,
)
from wizard.simulator.users import BROWSER_COOKIE, SESSION_COOKIE, Session, User, cookie_path

UNKNOWN_ACCOUNT = (
    "This account cannot be found. Please use a different account or sign up for a new account."
)
DEACTIVATED = "This account has been deactivated. Please contact your administrator."
WRONG_PASSWORD = "Incorrect password. Please try again."  # noqa: S105

pages = location_blueprint("sign_in", "accounts")


@pages.route("/signin", methods=["GET", "POST"])
def page() -> Response:
    """Show the sign-in page; a POST continues from another data center with its login ID."""
    serviceurl = request.args.get("serviceurl", "")
    if signed_in_user():
        return redirect(safe_target(serviceurl))
    session = current_session() or current_world().sessions.begin(current_location())
    response = make_response(
        render_template(
            "simulator/signin.html",
            login_id=request.form.get("LOGIN_ID", ""),
            serviceurl=serviceurl,
            csrf_token=session.csrf,
        )
    )
    set_session_cookie(response, session)
    return response


@pages.post("/signin/lookup")
def lookup() -> Response:
    """Check a login ID: ask for the password, redirect to its data center, or refuse it."""
    user = current_world().users.find(json_field("LOGIN_ID"))
    if user is None or not can_share_clients(user.location, current_location()):
        return jsonify(error=UNKNOWN_ACCOUNT)
    if user.deactivated:
        return jsonify(error=DEACTIVATED)
    if user.location != current_location():
        return jsonify(redirect=_sign_in_page_at(user.location))
    return jsonify(step="captcha" if is_captcha_required(user) else "password")


@pages.post("/signin/password")
def password() -> Response:
    """Check a password; sign in, or ask for the next step."""
    user = current_world().users.find(json_field("LOGIN_ID"))
    if user is None or user.location != current_location() or user.deactivated:
        return jsonify(error=UNKNOWN_ACCOUNT)
    if is_captcha_required(user):
        return jsonify(step="captcha")
    if not user.check_password(json_field("PASSWORD")):
        user.wrong_passwords += 1
        require_session().is_captcha_solved = False
        step = "captcha" if is_captcha_required(user) else "password"
        return jsonify(error=WRONG_PASSWORD, step=step)
    user.wrong_passwords = 0
    return continue_after_password(user)


@pages.get("/logout")
def sign_out() -> Response:
    """End the session and go to `serviceurl`, which asks to sign in again."""
    session = current_session()
    if session:
        current_world().sessions.end(session.session_id)
    response = redirect(safe_target(request.args.get("serviceurl", "")))
    response.delete_cookie(SESSION_COOKIE, path=cookie_path(current_location()))
    return response


def _sign_in_page_at(location: str) -> str:
    """Return another data center's sign-in page, which continues to the same page there."""
    return url_for(
        ".page", location=location, serviceurl=path_in_data_center(target_url(), location)
    )


def json_field(name: str) -> str:
    """Return a text of the request's JSON, or ""."""
    value = (request.get_json(silent=True) or {}).get(name, "")
    return value if isinstance(value, str) else ""


def require_session() -> Session:
    """Return the session whose token the request has."""
    session = current_session()
    assert session is not None  # noqa: S101 - the request was checked against its token
    return session


def pending_user() -> User | None:
    """Return the user who has entered the password, but not yet completed a second step."""
    pending = require_session().pending_zuid
    return current_world().users.by_zuid.get(pending) if pending else None


def target_url() -> str:
    return safe_target(request.args.get("serviceurl", ""))


def next_url(user: User) -> str:
    """Return where to go after sign-in: an announcement first, if there is one."""
    if user.announcements:
        kind = user.announcements[0]
        return url_for(f"pages.sign_in.{kind}", serviceurl=target_url())
    return target_url()


def continue_after_password(user: User) -> Response:
    """Start the step that follows the password, or sign in."""
    if user.must_change_password:
        require_session().recovering_zuid, require_session().is_recovery_verified = user.zuid, True
        return jsonify(url=url_for("pages.account.choose_password", serviceurl=target_url()))
    require_session().pending_zuid = user.zuid
    if request.cookies.get(BROWSER_COOKIE) in user.trusted_browsers:
        return complete_sign_in(user, url=next_url(user))
    if user.approves_by_push:
        require_session().push_number = f"{current_world().random_values.number(2)}"
        return jsonify(step="push", number=require_session().push_number)
    if user.one_time_code_secret:
        return jsonify(step="one-time-code")
    return complete_sign_in(user, url=next_url(user))


def complete_sign_in(user: User, **body: Any) -> Response:
    """Respond in a new session, to prevent session fixation."""
    old, sessions = require_session(), current_world().sessions
    new = sessions.begin(current_location())
    new.zuid, new.csrf = user.zuid, old.csrf
    sessions.end(old.session_id)
    response = jsonify(**body)
    set_session_cookie(response, new)
    return response


WRONG_LETTERS = "Incorrect CAPTCHA. Please try again."
CAPTCHA_LENGTH = 5
LETTER_TILT_DEGREES = (-14, 9, -6, 16, -10)


def is_captcha_required(user: User) -> bool:
    """Whether this session must solve a CAPTCHA before the next password."""
    limit = current_world().settings.wrong_passwords_before_captcha
    return user.wrong_passwords >= limit and not require_session().is_captcha_solved


def is_captcha_correct(letters: str) -> bool:
    """Whether these are the letters of the session's picture, which is valid for one try."""
    session = require_session()
    expected, session.captcha_letters = session.captcha_letters, ""
    return bool(expected) and letters.strip().upper() == expected


@pages.get("/captcha.svg")
def captcha_picture() -> Response:
    """Draw new letters for this session. The SVG's source shows them; it protects nothing."""
    session = current_session()
    letters = current_world().random_values.letters(CAPTCHA_LENGTH)
    if session:
        session.captcha_letters = letters
    svg = render_template(
        "simulator/captcha.svg", letters=list(zip(letters, LETTER_TILT_DEGREES, strict=True))
    )
    return Response(svg, mimetype="image/svg+xml", headers={"Cache-Control": "no-store"})


@pages.post("/signin/captcha")
def verify_captcha() -> Response:
    """Check the letters; the password is next."""
    if not is_captcha_correct(json_field("captcha")):
        return jsonify(error=WRONG_LETTERS)
    require_session().is_captcha_solved = True
    return jsonify(step="password")


WRONG_CODE = "Incorrect OTP. Please try again."
TRUST_SECONDS = 180 * 24 * 3600


@pages.post("/signin/one-time-code")
def one_time_code() -> Response:
    """Check a one-time code; sign in and ask whether to trust the browser."""
    user = pending_user()
    if user is None or not user.check_one_time_code(json_field("code"), current_world().clock()):
        return jsonify(error=WRONG_CODE)
    return complete_sign_in(user, step="trust")


@pages.post("/signin/push")
def push() -> Response:
    """Return whether the sign-in was approved on the other device; the page polls."""
    user = pending_user()
    if user is None or not require_session().is_push_confirmed:
        return jsonify(waiting=True)
    return complete_sign_in(user, step="trust")


@pages.post("/signin/trust")
def trust() -> Response:
    """Remember the browser if the user trusts it, and go to the requested page."""
    user = require_user()
    response = jsonify(url=next_url(user))
    if (request.get_json(silent=True) or {}).get("trust") is True:
        browser = current_world().random_values.hexadecimal(32)
        user.trusted_browsers.append(browser)
        response.set_cookie(
            BROWSER_COOKIE,
            browser,
            path=cookie_path(current_location()),
            max_age=TRUST_SECONDS,
            httponly=True,
            samesite="Lax",
        )
    return response


@pages.get("/announcement/recovery-address")
@sign_in_required
def announcement() -> str:
    """Show an announcement that can be skipped."""
    return _announcement_page("announcement")


@pages.get("/preannouncement/sign-in-changes")
@sign_in_required
def preannouncement() -> str:
    """Show an announcement that can be postponed."""
    return _announcement_page("preannouncement")


@pages.post("/announcement/done")
@sign_in_required
def finish_announcement() -> Any:
    """Go on; only "Remind me later" shows the announcement again after the next sign-in."""
    user, kind = require_user(), request.form.get("kind", "")
    if "later" in request.form:
        return redirect(target_url())
    if kind in user.announcements:
        user.announcements.remove(kind)
    return redirect(next_url(user))


def _announcement_page(kind: str) -> str:
    return render_template("simulator/announcement.html", kind=kind, serviceurl=target_url())
