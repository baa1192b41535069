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

Elapsed = Callable[[], float]
"""Seconds since some fixed moment; never goes back."""

PRINTED_LINK_SECONDS = 600
"""A link printed on a terminal must survive being carried to a browser by hand."""
LINKS_ALIVE = 64
"""More than anybody holds in hand; the oldest gives way, so that memory stays flat."""
IDLE_SECONDS = 30 * 60
ABSOLUTE_SECONDS = 12 * 60 * 60
"""A working day: after it the person shows again that the machine is theirs."""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class LaunchTokens:
    """One-time tokens of 256 bits, each good for one visit to one of our own paths."""

    def __init__(self, elapsed: Elapsed = time.monotonic) -> None:
        self._elapsed = elapsed
        self._alive: dict[bytes, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def issue(self, path: str = "/", lifetime: float = PRINTED_LINK_SECONDS) -> str:
        """A new token that leads to `path`, for `lifetime` seconds."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._alive) >= LINKS_ALIVE:
                del self._alive[next(iter(self._alive))]
            self._alive[_digest(token)] = (path, self._elapsed() + lifetime)
        return token

    def redeem(self, token: str) -> str | None:
        """The path that `token` leads to, once; None when it is unknown, used or too old."""
        with self._lock:
            path, dies_at = self._alive.pop(_digest(token), ("", 0.0))
        return path if path and self._elapsed() < dies_at else None


class Session(dict[str, Any], SessionMixin):
    """What the server remembers of one browser. Without an `id` it is nobody's and not kept."""

    id: str | None = None
    fresh = False
    """The browser has yet to be told the id."""

    @property
    def signed_in(self) -> bool:
        return self.id is not None


def browser() -> Session:
    """The session of the browser that is being answered."""
    return cast(Session, session._get_current_object())  # type: ignore[attr-defined]


@dataclass
class _Kept:
    session: Session
    begun: float
    seen: float


class Sessions(SessionInterface):
    """The sessions of one server; Flask asks it at the start and the end of every request."""

    def __init__(self, cookie: str, elapsed: Elapsed = time.monotonic) -> None:
        self.cookie = cookie
        self._elapsed = elapsed
        self._kept: dict[bytes, _Kept] = {}
        self._lock = threading.Lock()

    def begin(self, session: Session) -> None:
        """Sign this browser in under a new id; whatever id it came with is no longer good."""
        self.end(session)
        session.id, session.fresh = secrets.token_urlsafe(32), True
        now = self._elapsed()
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if self._alive(kept, now)}
            self._kept[_digest(session.id)] = _Kept(session, now, now)

    def end(self, session: Session) -> None:
        """Forget the session, here and not only in the browser."""
        if session.id is not None:
            with self._lock:
                self._kept.pop(_digest(session.id), None)
        session.clear()
        session.id, session.fresh = None, True

    def open_session(self, app: Flask, request: Request) -> Session:
        """The session that the browser's cookie names, else nobody's."""
        key, now = _digest(request.cookies.get(self.cookie, "")), self._elapsed()
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or not self._alive(kept, now):
                self._kept.pop(key, None)
                return Session()
            kept.seen = now
            return kept.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Tell the browser a new id, or to forget the old one."""
        if not isinstance(session, Session) or not session.fresh:
            return
        session.fresh = False
        if session.id is None:
            response.delete_cookie(self.cookie, httponly=True, samesite="Lax")
        else:
            # Strict would not be sent on the redirect that follows Zoho's consent page.
            response.set_cookie(self.cookie, session.id, httponly=True, samesite="Lax")

    @staticmethod
    def _alive(kept: _Kept, now: float) -> bool:
        return now - kept.seen < IDLE_SECONDS and now - kept.begun < ABSOLUTE_SECONDS
