"""Forgot Password: a captcha, a mailed code, a new password, and what else should end.

Whoever signs in with an administrator's password comes here too, to choose one of their own.
"""

from typing import Any

from flask import Response, make_response, redirect, render_template, request, url_for

from wizard.sandbox.pages import captcha, visit
from wizard.sandbox.pages.arrival import held
from wizard.sandbox.pages.passwords import new_password_errors
from wizard.sandbox.pages.second_step import WRONG_CODE
from wizard.sandbox.pages.signin import DEACTIVATED, UNKNOWN_ACCOUNT
from wizard.sandbox.people import User

pages = visit.located("recovery", "accounts")


@pages.get("/password")
def begin() -> Response:
    """Ask whose password is forgotten."""
    kept = visit.session() or visit.world().sessions.begin(visit.location())
    response = make_response(_page("login", csrf_token=kept.csrf))
    visit.keep_session(response, kept)
    return response


@pages.post("/password")
def mail() -> Any:
    """Mail a code to a known address whose captcha fits, and ask for it."""
    login_id = request.form.get("LOGIN_ID", "")
    user = visit.world().people.find(login_id)
    if user is None or user.location != visit.location():
        return _page("login", {"LOGIN_ID": UNKNOWN_ACCOUNT}, login_id=login_id)
    if user.deactivated:
        return _page("login", {"LOGIN_ID": DEACTIVATED}, login_id=login_id)
    if not captcha.fits(request.form.get("captcha", "")):
        return _page("login", {"captcha": captcha.WRONG_LETTERS}, login_id=login_id)
    user.mailed_code = f"{visit.world().mint.number(6)}"
    held().forgetful, held().verified = user.zuid, False
    return _page("code", user=user)


@pages.post("/password/code")
def verify() -> Any:
    """Judge the mailed code and ask for a new password."""
    user = _forgetful()
    if user is None:
        return redirect(_sign_in())
    if not user.mailed_code or request.form.get("code", "").strip() != user.mailed_code:
        return _page("code", {"code": WRONG_CODE}, user=user)
    user.mailed_code, held().verified = "", True
    return _page("new", user=user)


@pages.get("/password/new")
def choose() -> Any:
    """Ask whoever signed in with an administrator's password for one of their own."""
    user = _verified()
    return redirect(_sign_in()) if user is None else _page("new", user=user)


@pages.post("/password/new")
def change() -> Any:
    """Take the new password; who had forgotten theirs is asked what else should end."""
    user = _verified()
    if user is None:
        return redirect(_sign_in())
    new = request.form.get("new_password", "")
    errors = new_password_errors(user, new, request.form.get("repeat_password", ""))
    if errors:
        return _page("new", errors, user=user)
    was_reset = user.must_change_password
    visit.world().change_password(user, new)
    return redirect(_sign_in()) if was_reset else _page("end", user=user)


@pages.post("/password/end")
def end() -> Any:
    """End what was ticked, of which nothing is at first, and lead to the sign-in page."""
    user = _verified()
    if user is not None:
        visit.world().change_password(
            user,
            user.password,
            end_sessions="end_sessions" in request.form,
            remove_tokens="remove_tokens" in request.form,
        )
    return redirect(_sign_in())


def _sign_in() -> str:
    """Forget what the session had proved; return the page where the new password is good."""
    kept = visit.session()
    if kept:
        kept.forgetful, kept.verified = None, False
    return url_for("pages.signin.page", serviceurl=_serviceurl())


def _serviceurl() -> str:
    return request.args.get("serviceurl", "")


def _forgetful() -> User | None:
    kept = visit.session()
    return visit.world().people.by_zuid.get(kept.forgetful or 0) if kept else None


def _verified() -> User | None:
    kept = visit.session()
    return _forgetful() if kept and kept.verified else None


def _page(step: str, errors: dict[str, str] | None = None, **values: Any) -> str:
    return render_template(
        "sandbox/recovery.html", step=step, errors=errors or {}, serviceurl=_serviceurl(), **values
    )
