"""The account pages: sign in, change or recover the password, see and revoke connected apps."""

from typing import Any

from flask import jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from wizard.simulator.authorization_endpoint import describe_scopes
from wizard.simulator.catalog import can_share_clients
from wizard.simulator.request_context import (
    cookie_scope,
    current_location,
    current_session,
    current_world,
    location_blueprint,
    require_user,
    safe_target,
    same_page_at,
    set_session_cookie,
    sign_in_required,
    signed_in_user,
)
from wizard.simulator.users import BROWSER_COOKIE, SESSION_COOKIE, Session, User

UNKNOWN_ACCOUNT = (
    "This account cannot be found. Please use a different account or sign up for a new account."
)
DEACTIVATED = "This account has been deactivated. Please contact your administrator."
WRONG_PASSWORD = "Incorrect password. Please try again."  # noqa: S105

pages = location_blueprint("account", "accounts")


@pages.route("/signin", methods=["GET", "POST"])
def sign_in() -> Response:
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
    response.delete_cookie(SESSION_COOKIE, **cookie_scope(current_location()))
    return response


def _sign_in_page_at(location: str) -> str:
    """Return another data center's sign-in page, which continues to the same page there."""
    return url_for(".sign_in", location=location, serviceurl=same_page_at(target_url(), location))


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
        return url_for(f"pages.account.{kind}", serviceurl=target_url())
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
            **cookie_scope(current_location()),
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


WRONG_CURRENT_PASSWORD = "This is not your current password."  # noqa: S105 - no secret


@pages.get("/home")
@sign_in_required
def home() -> str:
    """Show the form that changes the password."""
    return render_template("simulator/security.html", errors={})


@pages.post("/home/password")
@sign_in_required
def change_password() -> Any:
    """Change the password, then ask what else to end."""
    errors = _password_errors(request.form)
    if errors:
        return render_template("simulator/security.html", errors=errors)
    current_world().change_password(require_user(), request.form["new_password"])
    return redirect(url_for(".sessions"))


@pages.get("/home/sessions")
@sign_in_required
def sessions() -> str:
    """Ask which sessions and tokens to end. Nothing is checked by default."""
    return render_template("simulator/sessions.html")


@pages.post("/home/sessions")
@sign_in_required
def end_sessions() -> Any:
    """End what was checked."""
    user, session = require_user(), current_session()
    current_world().change_password(
        user,
        user.password,
        end_sessions="end_sessions" in request.form,
        remove_tokens="remove_tokens" in request.form,
        keep_session=session.session_id if session else None,
    )
    return redirect(url_for(".password_changed"))


@pages.get("/home/password-changed")
@sign_in_required
def password_changed() -> str:
    """Confirm the change."""
    return render_template("simulator/security.html", errors={}, changed=True)


@pages.get("/home/connected-apps")
@sign_in_required
def connected_apps() -> str:
    """List the clients that have a valid refresh token of this user."""
    world, user = current_world(), require_user()
    entries = []
    for client in world.connected_apps(user):
        tokens = list(world.grants.active_refresh_tokens(user.zuid, client.client_id))
        scopes = list(dict.fromkeys(name for each in tokens for name in each.permission.scopes))
        entries.append((client, tokens, describe_scopes(scopes)))
    return render_template("simulator/apps.html", entries=entries)


@pages.post("/home/connected-apps/<client_id>/revoke")
@sign_in_required
def revoke(client_id: str) -> Any:
    """Revoke all tokens that a client has of this user."""
    current_world().revoke_app(require_user(), client_id)
    return redirect(url_for(".connected_apps"))


def _password_errors(form: dict[str, str]) -> dict[str, str]:
    """Return field name → error; empty if the password may be changed."""
    user = require_user()
    errors = new_password_errors(
        user, form.get("new_password", ""), form.get("repeat_password", "")
    )
    if not user.check_password(form.get("current_password", "")):
        errors["current_password"] = WRONG_CURRENT_PASSWORD
    return errors


MIN_PASSWORD_LENGTH = 8
TOO_SHORT = f"Choose a password of at least {MIN_PASSWORD_LENGTH} characters."
NOT_NEW = "Choose a password other than your current one."
NOT_REPEATED = "The two new passwords differ."


def new_password_errors(user: User, new_password: str, repeated_password: str) -> dict[str, str]:
    """Return field name → error; empty if `new_password` is acceptable."""
    errors = {}
    if len(new_password) < MIN_PASSWORD_LENGTH:
        errors["new_password"] = TOO_SHORT
    elif user.check_password(new_password):
        errors["new_password"] = NOT_NEW
    if repeated_password != new_password:
        errors["repeat_password"] = NOT_REPEATED
    return errors


@pages.get("/password")
def begin_recovery() -> Response:
    """Ask for the account whose password is forgotten."""
    session = current_session() or current_world().sessions.begin(current_location())
    response = make_response(_recovery_page("login", csrf_token=session.csrf))
    set_session_cookie(response, session)
    return response


@pages.post("/password")
def send_recovery_code() -> Any:
    """Mail a code to a known address with a solved CAPTCHA, and ask for the code."""
    login_id = request.form.get("LOGIN_ID", "")
    user = current_world().users.find(login_id)
    if user is None or user.location != current_location():
        return _recovery_page("login", {"LOGIN_ID": UNKNOWN_ACCOUNT}, login_id=login_id)
    if user.deactivated:
        return _recovery_page("login", {"LOGIN_ID": DEACTIVATED}, login_id=login_id)
    if not is_captcha_correct(request.form.get("captcha", "")):
        return _recovery_page("login", {"captcha": WRONG_LETTERS}, login_id=login_id)
    user.recovery_code = f"{current_world().random_values.number(6)}"
    require_session().recovering_zuid, require_session().is_recovery_verified = user.zuid, False
    return _recovery_page("code", user=user)


@pages.post("/password/code")
def verify_recovery_code() -> Any:
    """Check the mailed code and ask for a new password."""
    user = _recovering_user()
    if user is None:
        return redirect(_finish())
    if not user.recovery_code or request.form.get("code", "").strip() != user.recovery_code:
        return _recovery_page("code", {"code": WRONG_CODE}, user=user)
    user.recovery_code, require_session().is_recovery_verified = "", True
    return _recovery_page("new", user=user)


@pages.get("/password/new")
def choose_password() -> Any:
    """Ask a user whose password an administrator reset for a new one."""
    user = _verified_user()
    return redirect(_finish()) if user is None else _recovery_page("new", user=user)


@pages.post("/password/new")
def replace_password() -> Any:
    """Set the new password; after a forgotten one, ask what else to end."""
    user = _verified_user()
    if user is None:
        return redirect(_finish())
    new = request.form.get("new_password", "")
    errors = new_password_errors(user, new, request.form.get("repeat_password", ""))
    if errors:
        return _recovery_page("new", errors, user=user)
    was_reset = user.must_change_password
    current_world().change_password(user, new)
    return redirect(_finish()) if was_reset else _recovery_page("end", user=user)


@pages.post("/password/end")
def end_sessions_after_recovery() -> Any:
    """End what was checked, and go to the sign-in page."""
    user = _verified_user()
    if user is not None:
        current_world().change_password(
            user,
            user.password,
            end_sessions="end_sessions" in request.form,
            remove_tokens="remove_tokens" in request.form,
        )
    return redirect(_finish())


def _finish() -> str:
    """Clear the recovery from the session; return the sign-in page."""
    session = current_session()
    if session:
        session.recovering_zuid, session.is_recovery_verified = None, False
    return url_for("pages.account.sign_in", serviceurl=_service_url())


def _service_url() -> str:
    return request.args.get("serviceurl", "")


def _recovering_user() -> User | None:
    session = current_session()
    return current_world().users.by_zuid.get(session.recovering_zuid or 0) if session else None


def _verified_user() -> User | None:
    session = current_session()
    return _recovering_user() if session and session.is_recovery_verified else None


def _recovery_page(step: str, errors: dict[str, str] | None = None, **values: Any) -> str:
    return render_template(
        "simulator/recovery.html",
        step=step,
        errors=errors or {},
        serviceurl=_service_url(),
        **values,
    )
