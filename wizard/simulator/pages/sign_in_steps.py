"""What the steps of signing in share: what was sent, who still owes what, and the arrival."""

from typing import Any

from flask import jsonify, request, url_for
from werkzeug.wrappers import Response

from wizard.simulator.pages import page_context
from wizard.simulator.people import User
from wizard.simulator.sessions import BROWSER_COOKIE, Session


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
    return page_context.current_world().people.by_zuid.get(pending) if pending else None


def target_url() -> str:
    return page_context.safe_target(request.args.get("serviceurl", ""))


def next_url(user: User) -> str:
    """Return where somebody goes who has signed in: an announcement first, where one waits."""
    if user.announcements:
        kind = user.announcements[0]
        return url_for(f"pages.announcement.{kind}", serviceurl=target_url())
    return target_url()


def continue_after_password(user: User) -> Response:
    """Answer the step that somebody owes who gave the right password, or sign them in."""
    if user.must_change_password:
        require_session().recovering_zuid, require_session().is_recovery_verified = user.zuid, True
        return jsonify(url=url_for("pages.recovery.choose_password", serviceurl=target_url()))
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
