"""Forgot Password: a captcha, a mailed code, a new password, and what else should end.

Whoever signs in with an administrator's password comes here too, to choose one of their own.
"""

from typing import Any

from flask import Response, make_response, redirect, render_template, request, url_for

from wizard.simulator.pages import captcha, page_context
from wizard.simulator.pages.passwords import new_password_errors
from wizard.simulator.pages.second_step import WRONG_CODE
from wizard.simulator.pages.sign_in_steps import require_session
from wizard.simulator.pages.signin import DEACTIVATED, UNKNOWN_ACCOUNT
from wizard.simulator.people import User

pages = page_context.location_blueprint("recovery", "accounts")


@pages.get("/password")
def begin() -> Response:
    """Ask whose password is forgotten."""
    kept = page_context.current_session() or page_context.current_world().sessions.begin(
        page_context.current_location()
    )
    response = make_response(_page("login", csrf_token=kept.csrf))
    page_context.set_session_cookie(response, kept)
    return response


@pages.post("/password")
def send_code() -> Any:
    """Mail a code to a known address whose captcha fits, and ask for it."""
    login_id = request.form.get("LOGIN_ID", "")
    user = page_context.current_world().people.find(login_id)
    if user is None or user.location != page_context.current_location():
        return _page("login", {"LOGIN_ID": UNKNOWN_ACCOUNT}, login_id=login_id)
    if user.deactivated:
        return _page("login", {"LOGIN_ID": DEACTIVATED}, login_id=login_id)
    if not captcha.is_correct(request.form.get("captcha", "")):
        return _page("login", {"captcha": captcha.WRONG_LETTERS}, login_id=login_id)
    user.recovery_code = f"{page_context.current_world().random_values.number(6)}"
    require_session().recovering_zuid, require_session().is_recovery_verified = user.zuid, False
    return _page("code", user=user)


@pages.post("/password/code")
def verify() -> Any:
    """Judge the mailed code and ask for a new password."""
    user = _recovering_user()
    if user is None:
        return redirect(_finish())
    if not user.recovery_code or request.form.get("code", "").strip() != user.recovery_code:
        return _page("code", {"code": WRONG_CODE}, user=user)
    user.recovery_code, require_session().is_recovery_verified = "", True
    return _page("new", user=user)


@pages.get("/password/new")
def choose_password() -> Any:
    """Ask whoever signed in with an administrator's password for one of their own."""
    user = _verified_user()
    return redirect(_finish()) if user is None else _page("new", user=user)


@pages.post("/password/new")
def change() -> Any:
    """Take the new password; who had forgotten theirs is asked what else should end."""
    user = _verified_user()
    if user is None:
        return redirect(_finish())
    new = request.form.get("new_password", "")
    errors = new_password_errors(user, new, request.form.get("repeat_password", ""))
    if errors:
        return _page("new", errors, user=user)
    was_reset = user.must_change_password
    page_context.current_world().change_password(user, new)
    return redirect(_finish()) if was_reset else _page("end", user=user)


@pages.post("/password/end")
def end_sessions() -> Any:
    """End what was ticked, of which nothing is at first, and lead to the sign-in page."""
    user = _verified_user()
    if user is not None:
        page_context.current_world().change_password(
            user,
            user.password,
            end_sessions="end_sessions" in request.form,
            remove_tokens="remove_tokens" in request.form,
        )
    return redirect(_finish())


def _finish() -> str:
    """Forget what the session had proved; return the page where the new password is good."""
    kept = page_context.current_session()
    if kept:
        kept.recovering_zuid, kept.is_recovery_verified = None, False
    return url_for("pages.signin.page", serviceurl=_service_url())


def _service_url() -> str:
    return request.args.get("serviceurl", "")


def _recovering_user() -> User | None:
    kept = page_context.current_session()
    return (
        page_context.current_world().people.by_zuid.get(kept.recovering_zuid or 0) if kept else None
    )


def _verified_user() -> User | None:
    kept = page_context.current_session()
    return _recovering_user() if kept and kept.is_recovery_verified else None


def _page(step: str, errors: dict[str, str] | None = None, **values: Any) -> str:
    return render_template(
        "simulator/recovery.html",
        step=step,
        errors=errors or {},
        serviceurl=_service_url(),
        **values,
    )
