"""Access tokens that are served from the cache: all that wait share one durable commit.

While one batch is written to the disk, the requests that arrive wait for the next one. So a busy
socket isn't limited by the number of commits that a disk can do, and each served token is in the
history before the program has it.
"""

import threading
import time
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from datetime import datetime

from wizard.errors import WizardError
from wizard.local_api.sockets import Peer
from wizard.model import AccessToken, Event
from wizard.services import Services

MAX_REMEMBERED = 10_000
"""Tokens and permissions: other users can ask for any number of names."""


@dataclass
class _HandOut:
    """A request that waits, and then its result."""

    name: str
    peer: Peer | None
    needs_permission: bool
    is_done: bool = False
    token: AccessToken | None = None
    error: Exception | None = None


class HandOuts:
    """Serves the cached access tokens of one installation. Threads share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: list[_HandOut] = []
        self._arrival = threading.Condition()
        self._turn = threading.Lock()
        self._version: Hashable = None
        self._tokens: dict[str, AccessToken | None] = {}
        self._permissions: dict[tuple[str, int], bool] = {}
        self._last_count = 1
        self._last_seconds = 0.0

    def serve(self, name: str, peer: Peer | None, *, needs_permission: bool) -> AccessToken | None:
        """The cached access token of connection `name`, recorded in its history. None if it isn't
        served from the cache: it is due for a refresh, unknown or not permitted.

        Raises what writing to the store raises.
        """
        wanted = _HandOut(name, peer, needs_permission)
        with self._arrival:
            self._waiting.append(wanted)
            self._arrival.notify()
        with self._turn:  # whoever has it serves all that wait
            if not wanted.is_done:
                self._serve_all(self._gather())
        if wanted.error is not None:
            raise wanted.error
        return wanted.token

    def _gather(self) -> list[_HandOut]:
        """All that wait. If there were more last time, they may be about to ask again: wait for
        them, at most half as long as that batch took."""
        with self._arrival:
            self._arrival.wait_for(
                lambda: len(self._waiting) >= self._last_count, self._last_seconds / 2
            )
            batch, self._waiting = self._waiting, []
        return batch

    def _serve_all(self, batch: Collection[_HandOut]) -> None:
        started = time.monotonic()
        try:
            self._read(batch)
            served = [(each, each.token) for each in batch if each.token]
            now = self._services.clock()
            self._services.store.events.record_token_serving(
                *(
                    event_of(
                        each.peer,
                        now,
                        each.name,
                        "token-served",
                        generation=str(token.generation),
                    )
                    for each, token in served
                )
            )
        except Exception as error:
            for each in batch:
                each.error = error
        finally:
            for each in batch:
                each.is_done = True
            self._last_count, self._last_seconds = len(batch), time.monotonic() - started

    def _read(self, batch: Collection[_HandOut]) -> None:
        """Find the token of each. What was read before is used until the store changes: every
        refresh, every rejection and every change of a permission is written there."""
        services, version = self._services, self._services.store.database.version()
        is_full = len(self._tokens) + len(self._permissions) > MAX_REMEMBERED
        if version != self._version or is_full:
            self._tokens, self._permissions, self._version = {}, {}, version
        permitted = [each for each in batch if self._is_permitted(each)]
        if missing := {each.name for each in permitted} - self._tokens.keys():
            with services.snapshot() as snapshot:
                self._tokens |= {name: _cached_token(snapshot, name) for name in missing}
        for each in permitted:
            token = self._tokens[each.name]
            each.token = token if token and services.tokens.is_fresh(token) else None

    def _is_permitted(self, wanted: _HandOut) -> bool:
        if not wanted.needs_permission:
            return True
        if wanted.peer is None:
            return False
        key = wanted.name, wanted.peer.uid
        if key not in self._permissions:
            self._permissions[key] = self._services.store.access_permissions.exists(*key)
        return self._permissions[key]


def _cached_token(services: Services, name: str) -> AccessToken | None:
    try:
        return services.tokens.cached_access_token(name)
    except WizardError:
        return None  # the caller asks for the reason


def event_of(peer: Peer | None, at: datetime, name: str, kind: str, **details: str) -> Event:
    """An event that a request of `peer` causes. None: the system doesn't say who it is, and then it
    is the owner."""
    if peer is None:
        return Event(at, name, kind, details)
    return Event(at, name, kind, {"uid": str(peer.uid), **details}, peer.user, peer.pid)
