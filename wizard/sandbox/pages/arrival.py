"""What the steps of signing in share: what was sent, who still owes what, and the arrival."""

from typing import Any

from flask import jsonify, request, url_for
from werkzeug.wrappers import Response

from wizard.sandbox.pages import visit
from wizard.sandbox.people import User
from wizard.sandbox.sessions import BROWSER_COOKIE, Session


def sent(name: str) -> str:
    """Return a text of the script request's JSON, or ""."""
    value = (request.get_json(silent=True) or {}).get(name, "")
    return value if isinstance(value, str) else ""


def held() -> Session:
    """Return the session whose token the request brought."""
    found = visit.session()
    assert found is not None  # noqa: S101  the token of this request was the session's
    return found


def owing() -> User | None:
    """Return who gave the right password in this session and still owes a step."""
    pending = held().pending
    return visit.world().people.by_zuid.get(pending) if pending else None


def target() -> str:
    return visit.local_target(request.args.get("serviceurl", ""))


def onward(user: User) -> str:
    """Return where somebody goes who has signed in: an announcement first, where one waits."""
    if user.announcements:
        kind = user.announcements[0]
        return url_for(f"pages.announcement.{kind}", serviceurl=target())
    return target()


def after_password(user: User) -> Response:
    """Answer the step that somebody owes who gave the right password, or sign them in."""
    if user.must_change_password:
        held().forgetful, held().verified = user.zuid, True
        return jsonify(url=url_for("pages.recovery.choose", serviceurl=target()))
    held().pending = user.zuid
    if request.cookies.get(BROWSER_COOKIE) in user.trusted_browsers:
        return signed_in(user, url=onward(user))
    if user.approves_by_push:
        held().push_number = f"{visit.world().mint.number(2)}"
        return jsonify(step="push", number=held().push_number)
    if user.one_time_code_secret:
        return jsonify(step="one-time-code")
    return signed_in(user, url=onward(user))


def signed_in(user: User, **answer: Any) -> Response:
    """Answer in a session of its own name, so that nobody can have laid the old one ready."""
    before, sessions = held(), visit.world().sessions
    fresh = sessions.begin(visit.location())
    fresh.zuid, fresh.csrf = user.zuid, before.csrf
    sessions.end(before.session_id)
    response = jsonify(**answer)
    visit.keep_session(response, fresh)
    return response
