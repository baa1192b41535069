"""Who may look: one-time launch links, and the sessions they open.

Everything is kept in memory and dies with the server. Time here is elapsed time, not the time of
day: a clock that is set back or forward neither prolongs a session nor ends one.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from flask import Flask, session
from flask.sessions import SessionInterface, SessionMixin
from flask.wrappers import Request, Response

ElapsedSeconds = Callable[[], float]
"""Seconds since some fixed moment; never goes back."""

PRINTED_LINK_LIFETIME_SECONDS = 600
"""A link printed on a terminal must survive being carried to a browser by hand."""
MAX_LINKS = 64
"""More than anybody holds in hand; the oldest gives way, so that memory stays flat."""
IDLE_TIMEOUT_SECONDS = 30 * 60
SESSION_LIFETIME_SECONDS = 12 * 60 * 60
"""A working day: after it the person shows again that the machine is theirs."""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class LinkTokens:
    """One-time tokens of 256 bits, each good for one visit to one of our own paths."""

    def __init__(self, elapsed: ElapsedSeconds = time.monotonic) -> None:
        self._elapsed = elapsed
        self._valid_tokens: dict[bytes, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def issue(
        self, path: str = "/", lifetime_seconds: float = PRINTED_LINK_LIFETIME_SECONDS
    ) -> str:
        """A new token that leads to `path`, for `lifetime` seconds."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._valid_tokens) >= MAX_LINKS:
                del self._valid_tokens[next(iter(self._valid_tokens))]
            self._valid_tokens[_digest(token)] = (path, self._elapsed() + lifetime_seconds)
        return token

    def redeem(self, token: str) -> str | None:
        """The path that `token` leads to, once; None when it is unknown, used or too old."""
        with self._lock:
            path, expires_at = self._valid_tokens.pop(_digest(token), ("", 0.0))
        return path if path and self._elapsed() < expires_at else None


class Session(dict[str, Any], SessionMixin):
    """What the server remembers of one browser. Without an `id` it is nobody's and not kept."""

    id: str | None = None
    needs_cookie = False
    """The browser has yet to be told the id."""

    @property
    def is_signed_in(self) -> bool:
        return self.id is not None


def current_session() -> Session:
    """The session of the browser that is being answered."""
    return cast(Session, session._get_current_object())  # type: ignore[attr-defined]


@dataclass
class _StoredSession:
    session: Session
    started_at: float
    last_used_at: float


class SessionStore(SessionInterface):
    """The sessions of one server; Flask asks it at the start and the end of every request."""

    def __init__(self, cookie_name: str, elapsed: ElapsedSeconds = time.monotonic) -> None:
        self.cookie_name = cookie_name
        self._elapsed = elapsed
        self._sessions: dict[bytes, _StoredSession] = {}
        self._lock = threading.Lock()

    def start(self, session: Session) -> None:
        """Sign this browser in under a new id; whatever id it came with is no longer good."""
        self.end(session)
        session.id, session.needs_cookie = secrets.token_urlsafe(32), True
        now = self._elapsed()
        with self._lock:
            self._sessions = {
                key: kept for key, kept in self._sessions.items() if self._is_valid(kept, now)
            }
            self._sessions[_digest(session.id)] = _StoredSession(session, now, now)

    def end(self, session: Session) -> None:
        """Forget the session, here and not only in the browser."""
        if session.id is not None:
            with self._lock:
                self._sessions.pop(_digest(session.id), None)
        session.clear()
        session.id, session.needs_cookie = None, True

    def open_session(self, app: Flask, request: Request) -> Session:
        """The session that the browser's cookie names, else nobody's."""
        key, now = _digest(request.cookies.get(self.cookie_name, "")), self._elapsed()
        with self._lock:
            stored = self._sessions.get(key)
            if stored is None or not self._is_valid(stored, now):
                self._sessions.pop(key, None)
                return Session()
            stored.last_used_at = now
            return stored.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Tell the browser a new id, or to forget the old one."""
        if not isinstance(session, Session) or not session.needs_cookie:
            return
        session.needs_cookie = False
        if session.id is None:
            response.delete_cookie(self.cookie_name, httponly=True, samesite="Lax")
        else:
            # Strict would not be sent on the redirect that follows Zoho's consent page.
            response.set_cookie(self.cookie_name, session.id, httponly=True, samesite="Lax")

    @staticmethod
    def _is_valid(stored: _StoredSession, now: float) -> bool:
        return (
            now - stored.last_used_at < IDLE_TIMEOUT_SECONDS
            and now - stored.started_at < SESSION_LIFETIME_SECONDS
        )
