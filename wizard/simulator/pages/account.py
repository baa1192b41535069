"""The account pages: change or recover the password, see and revoke connected apps."""

from typing import Any

from flask import Response, make_response, redirect, render_template, request, url_for

from wizard.simulator.middleware import current_world
from wizard.simulator.pages.consent import describe_scopes
from wizard.simulator.pages.page_context import (
    current_location,
    current_session,
    location_blueprint,
    require_user,
    set_session_cookie,
    sign_in_required,
)
from wizard.simulator.pages.sign_in import (
    DEACTIVATED,
    UNKNOWN_ACCOUNT,
    WRONG_CODE,
    WRONG_LETTERS,
    is_captcha_correct,
    require_session,
)
from wizard.simulator.users import User

WRONG_CURRENT_PASSWORD = "This is not your current password."  # noqa: S105 - no secret

pages = location_blueprint("account", "accounts")


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
    return url_for("pages.sign_in.page", serviceurl=_service_url())


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
