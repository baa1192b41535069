"""One-time browser links, the sessions they open, and signing in and out.

Links and sessions are kept in memory only. Time is monotonic, so a changed system clock neither
extends nor ends a session.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from flask import Blueprint, Flask, current_app, redirect, render_template, request, session
from flask.sessions import SessionInterface, SessionMixin
from flask.wrappers import Request, Response
from werkzeug.wrappers import Response as AnyResponse

from wizard.errors import fail
from wizard.web.context import get_services

pages = Blueprint("sessions", __name__)

ElapsedSeconds = Callable[[], float]
"""Monotonic seconds."""

PRINTED_LINK_LIFETIME_SECONDS = 600
"""A printed link must last until someone copies it to a browser."""
MAX_LINKS = 64
"""At this limit, the oldest link is dropped, which bounds memory."""
IDLE_TIMEOUT_SECONDS = 30 * 60
SESSION_LIFETIME_SECONDS = 12 * 60 * 60
"""A working day; then a new one-time link is needed."""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class LinkTokens:
    """One-time tokens of 256 bits, each valid for one visit to one path."""

    def __init__(self, elapsed: ElapsedSeconds = time.monotonic) -> None:
        self._elapsed = elapsed
        self._valid_tokens: dict[bytes, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def issue(
        self, path: str = "/", lifetime_seconds: float = PRINTED_LINK_LIFETIME_SECONDS
    ) -> str:
        """Create a token that leads to `path` for `lifetime_seconds`."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._valid_tokens) >= MAX_LINKS:
                del self._valid_tokens[next(iter(self._valid_tokens))]
            self._valid_tokens[_digest(token)] = (path, self._elapsed() + lifetime_seconds)
        return token

    def redeem(self, token: str) -> str | None:
        """Use `token` and return its path; None if it is unknown, used or expired."""
        with self._lock:
            path, expires_at = self._valid_tokens.pop(_digest(token), ("", 0.0))
        return path if path and self._elapsed() < expires_at else None


APPROVALS_LINK = "/approvals/"
"""What the path of a link for an account owner begins with; the connections follow, joined by
commas."""
APPROVALS = "approvals"
"""Session key: the connections that this browser's user may approve, and nothing else."""


class Session(dict[str, Any], SessionMixin):
    """The server's data about one browser. Without an `id` it isn't signed in and isn't kept."""

    id: str | None = None
    needs_cookie = False
    """The cookie must be sent or deleted."""

    @property
    def is_signed_in(self) -> bool:
        return self.id is not None and APPROVALS not in self

    @property
    def approvals(self) -> tuple[str, ...]:
        """The connections that an account owner may approve here; none in any other session."""
        return tuple(self.get(APPROVALS, ())) if self.id is not None else ()


def current_session() -> Session:
    """The session of the current request."""
    return cast(Session, session._get_current_object())  # type: ignore[attr-defined]


@dataclass
class _StoredSession:
    session: Session
    started_at: float
    last_used_at: float


class SessionStore(SessionInterface):
    """The sessions of one server, as Flask's session interface."""

    def __init__(self, cookie_name: str, elapsed: ElapsedSeconds = time.monotonic) -> None:
        self.cookie_name = cookie_name
        self._elapsed = elapsed
        self._sessions: dict[bytes, _StoredSession] = {}
        self._lock = threading.Lock()

    def start(self, session: Session) -> None:
        """Sign this browser in under a new ID; a previous ID becomes invalid."""
        self.end(session)
        session.id, session.needs_cookie = secrets.token_urlsafe(32), True
        now = self._elapsed()
        with self._lock:
            self._sessions = {
                key: kept for key, kept in self._sessions.items() if self._is_valid(kept, now)
            }
            self._sessions[_digest(session.id)] = _StoredSession(session, now, now)

    def end(self, session: Session) -> None:
        """Delete the session, on the server and in the browser."""
        if session.id is not None:
            with self._lock:
                self._sessions.pop(_digest(session.id), None)
        session.clear()
        session.id, session.needs_cookie = None, True

    def open_session(self, app: Flask, request: Request) -> Session:
        """The session of the browser's cookie, else an empty one."""
        key, now = _digest(request.cookies.get(self.cookie_name, "")), self._elapsed()
        with self._lock:
            stored = self._sessions.get(key)
            if stored is None or not self._is_valid(stored, now):
                self._sessions.pop(key, None)
                return Session()
            stored.last_used_at = now
            return stored.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie, or delete it."""
        if not isinstance(session, Session) or not session.needs_cookie:
            return
        session.needs_cookie = False
        if session.id is None:
            response.delete_cookie(self.cookie_name, httponly=True, samesite="Lax")
        else:
            # A Strict cookie isn't sent with the redirect from Zoho.
            response.set_cookie(self.cookie_name, session.id, httponly=True, samesite="Lax")

    @staticmethod
    def _is_valid(stored: _StoredSession, now: float) -> bool:
        return (
            now - stored.last_used_at < IDLE_TIMEOUT_SECONDS
            and now - stored.started_at < SESSION_LIFETIME_SECONDS
        )


@pages.get("/browser-link/<token>", endpoint="open_link")
def open_link(token: str) -> AnyResponse:
    """Exchange a one-time link for a session and redirect to its page."""
    # A prefetch must not use up the link before the user follows it.
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        raise fail("page-foreign-form", address=get_services().settings.base_url)
    path = _link_tokens().redeem(token)
    if path is None:
        raise fail("page-link-used")
    _session_store().start(current_session())
    if path.startswith(APPROVALS_LINK):
        current_session()[APPROVALS] = path.removeprefix(APPROVALS_LINK).split(",")
        path = APPROVALS_LINK.rstrip("/")
    return redirect(path, 303)


@pages.post("/sign-out")
def sign_out() -> AnyResponse:
    """End this browser's session."""
    _session_store().end(current_session())
    return redirect("/", 303)


def render_browser_link(name: str, path: str) -> str:
    """A page with a one-time link to `path`, which it calls `name`, for a private window."""
    url = f"{get_services().settings.base_url}/browser-link/{_link_tokens().issue(path)}"
    return render_template("browser_link.html", name=name, path=path, url=url)


def _link_tokens() -> LinkTokens:
    return cast(LinkTokens, current_app.extensions["link_tokens"])


def _session_store() -> SessionStore:
    sessions = current_app.session_interface
    assert isinstance(sessions, SessionStore)  # noqa: S101 - narrows the type; set at creation
    return sessions
