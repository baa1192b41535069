"""Sign-in in steps: login id, captcha, password; script requests on one page."""

from typing import Any

from flask import jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from wizard.simulator.authorization_endpoint import path_in_data_center
from wizard.simulator.catalog import can_share_clients
from wizard.simulator.pages import page_context
from wizard.simulator.users import BROWSER_COOKIE, SESSION_COOKIE, Session, User, cookie_path

UNKNOWN_ACCOUNT = (
    "This account cannot be found. Please use a different account or sign up for a new account."
)
DEACTIVATED = "This account has been deactivated. Please contact your administrator."
WRONG_PASSWORD = "Incorrect password. Please try again."  # noqa: S105

pages = page_context.location_blueprint("sign_in", "accounts")


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
    user = page_context.current_world().users.find(json_field("LOGIN_ID"))
    if user is None or not can_share_clients(user.location, page_context.current_location()):
        return jsonify(error=UNKNOWN_ACCOUNT)
    if user.deactivated:
        return jsonify(error=DEACTIVATED)
    if user.location != page_context.current_location():
        return jsonify(hop=_sign_in_page_at(user.location))
    return jsonify(step="captcha" if is_captcha_required(user) else "password")


@pages.post("/signin/password")
def password() -> Response:
    """Judge a password; sign in, or ask for what else is owed."""
    user = page_context.current_world().users.find(json_field("LOGIN_ID"))
    if user is None or user.location != page_context.current_location() or user.deactivated:
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


def json_field(name: str) -> str:
    """Return a text of the script request's JSON, or ""."""
    value = (request.get_json(silent=True) or {}).get(name, "")
    return value if isinstance(value, str) else ""


def require_session() -> Session:
    """Return the session whose token the request brought."""
    found = page_context.current_session()
    assert found is not None  # noqa: S101  the token of this request was the session's
    return found


def pending_user() -> User | None:
    """Return who gave the right password in this session and still owes a step."""
    pending = require_session().pending_zuid
    return page_context.current_world().users.by_zuid.get(pending) if pending else None


def target_url() -> str:
    return page_context.safe_target(request.args.get("serviceurl", ""))


def next_url(user: User) -> str:
    """Return where somebody goes who has signed in: an announcement first, where one waits."""
    if user.announcements:
        kind = user.announcements[0]
        return url_for(f"pages.sign_in.{kind}", serviceurl=target_url())
    return target_url()


def continue_after_password(user: User) -> Response:
    """Answer the step that somebody owes who gave the right password, or sign them in."""
    if user.must_change_password:
        require_session().recovering_zuid, require_session().is_recovery_verified = user.zuid, True
        return jsonify(url=url_for("pages.account.choose_password", serviceurl=target_url()))
    require_session().pending_zuid = user.zuid
    if request.cookies.get(BROWSER_COOKIE) in user.trusted_browsers:
        return complete_sign_in(user, url=next_url(user))
    if user.approves_by_push:
        require_session().push_number = f"{page_context.current_world().random_values.number(2)}"
        return jsonify(step="push", number=require_session().push_number)
    if user.one_time_code_secret:
        return jsonify(step="one-time-code")
    return complete_sign_in(user, url=next_url(user))


def complete_sign_in(user: User, **body: Any) -> Response:
    """Answer in a session of its own name, so that nobody can have laid the old one ready."""
    before, sessions = require_session(), page_context.current_world().sessions
    fresh = sessions.begin(page_context.current_location())
    fresh.zuid, fresh.csrf = user.zuid, before.csrf
    sessions.end(before.session_id)
    response = jsonify(**body)
    page_context.set_session_cookie(response, fresh)
    return response


WRONG_LETTERS = "Incorrect CAPTCHA. Please try again."
CAPTCHA_LENGTH = 5
LETTER_TILT_DEGREES = (-14, 9, -6, 16, -10)
"""Degrees by which the letters lean."""


def is_captcha_required(user: User) -> bool:
    """Whether a person must type off a picture in this session before the next password."""
    limit = page_context.current_world().settings.wrong_passwords_before_captcha
    return user.wrong_passwords >= limit and not require_session().is_captcha_solved


def is_captcha_correct(letters: str) -> bool:
    """Whether these are the letters of the session's picture; a picture is good for one try."""
    kept, wanted = require_session(), require_session().captcha_letters
    kept.captcha_letters = ""
    return bool(wanted) and letters.strip().upper() == wanted


@pages.get("/captcha.svg")
def captcha_picture() -> Response:
    """Draw new letters for this session."""
    kept = page_context.current_session()
    letters = page_context.current_world().random_values.letters(CAPTCHA_LENGTH)
    if kept:
        kept.captcha_letters = letters
    drawn = render_template(
        "simulator/captcha.svg", letters=list(zip(letters, LETTER_TILT_DEGREES, strict=True))
    )
    return Response(drawn, mimetype="image/svg+xml", headers={"Cache-Control": "no-store"})


@pages.post("/signin/captcha")
def verify_captcha() -> Response:
    """Judge what was typed off; the password comes next."""
    if not is_captcha_correct(json_field("captcha")):
        return jsonify(error=WRONG_LETTERS)
    require_session().is_captcha_solved = True
    return jsonify(step="password")


WRONG_CODE = "Incorrect OTP. Please try again."
TRUST_SECONDS = 180 * 24 * 3600


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


@pages.get("/announcement/recovery-address")
@page_context.sign_in_required
def announcement() -> str:
    """Ask for something that can be skipped."""
    return _announcement_page("announcement")


@pages.get("/preannouncement/sign-in-changes")
@page_context.sign_in_required
def preannouncement() -> str:
    """Tell of something to come, which can be put off."""
    return _announcement_page("preannouncement")


@pages.post("/announcement/done")
@page_context.sign_in_required
def finish_announcement() -> Any:
    """Go on; "Remind me later" alone brings the announcement back after the next sign-in."""
    user, kind = page_context.require_user(), request.form.get("kind", "")
    if "later" in request.form:
        return redirect(target_url())
    if kind in user.announcements:
        user.announcements.remove(kind)
    return redirect(next_url(user))


def _announcement_page(kind: str) -> str:
    return render_template("simulator/announcement.html", kind=kind, serviceurl=target_url())
