"""Attempts: their binding to a browser or process, and their changes of state."""

import hashlib
import hmac
import secrets

from wizard.errors import Conflict, WizardError, fail
from wizard.model import Attempt, AttemptMode, AttemptState, Clock, Failure
from wizard.store import Store
from wizard.tokens.connection_locks import ConnectionLocks

MAX_WAITING_ATTEMPTS = 8
"""Attempts that can wait at the same time. Each has a cookie, and browsers keep few for a host."""

MAX_FAILED_TRIES = 5
"""Callbacks with a valid ``state`` and a wrong cookie after which the attempt is closed: the state
has leaked."""


class Attempts:
    """The attempts of all connections. Every change is a durable commit."""

    def __init__(self, store: Store, locks: ConnectionLocks, clock: Clock) -> None:
        self._store = store
        self._locks = locks
        self._clock = clock

    def find(self, oauth_state: str) -> Attempt:
        """The attempt with this ``state``; raises ``callback-without-state`` or
        ``callback-unknown-state``."""
        if not oauth_state:
            raise fail("callback-without-state")
        attempt = self._store.attempts.find_by_state(oauth_state)
        if attempt is None:
            raise fail("callback-unknown-state")
        return attempt

    def advance(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure | None = None
    ) -> None:
        """Change the state of an attempt; raises `Conflict` if it has changed meanwhile."""
        self._store.attempts.advance(attempt.id, attempt.state, target_state, failure=failure)

    def try_close(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure | None
    ) -> None:
        """Close an attempt unless its state has changed meanwhile."""
        try:
            self.advance(attempt, target_state, failure)
        except Conflict:
            return

    def count_failed_try(self, attempt: Attempt) -> None:
        """Count a callback from the wrong browser; too many close the attempt."""
        self._store.attempts.count_failed_try(attempt.id)
        is_waiting = attempt.state is AttemptState.REDIRECTED
        if is_waiting and attempt.failed_tries + 1 >= MAX_FAILED_TRIES:
            failure = fail("too-many-wrong-tries", name=attempt.connection).failure
            self.try_close(attempt, AttemptState.FAILED, failure)

    def abandon_stale(self) -> None:
        """Abandon expired attempts, and the oldest if too many wait."""
        waiting = sorted(self._store.attempts.open(), key=lambda each: each.created_at)
        waiting = [each for each in waiting if each.state is AttemptState.REDIRECTED]
        own = [each for each in waiting if each.mode is not AttemptMode.FORWARDED]
        surplus = own[: max(0, len(own) - (MAX_WAITING_ATTEMPTS - 1))]
        for attempt in waiting:
            if attempt in surplus or attempt.is_expired(self._clock()):
                self.try_close(attempt, AttemptState.ABANDONED, fail("attempt-expired").failure)

    def close_interrupted(self) -> None:
        """Close the attempts of processes that died after the callback. If the code may have been
        posted, the outcome is unknown, and the code is never posted again."""
        for attempt in self._store.attempts.open():
            if attempt.state is AttemptState.REDIRECTED:
                continue
            posted = attempt.state is AttemptState.EXCHANGE_INTENT
            code = "outcome-unknown" if posted else "callback-interrupted"
            failure = fail(code, name=attempt.connection, reason="interrupted").failure
            target_state = AttemptState.OUTCOME_UNKNOWN if posted else AttemptState.FAILED
            try:
                with self._locks.exchange(attempt.connection, wait=False):
                    self.try_close(attempt, target_state, failure)
            except WizardError:
                continue  # its process is alive and holds the lock


def cookie_name(attempt_id: str) -> str:
    """The name of the cookie that binds an attempt to a browser; one cookie for each attempt."""
    return f"zw_flow_{attempt_id}"


def new_binding() -> tuple[str, str]:
    """A new secret for the cookie, and its hash for the store. The secret has 256 random bits, so
    the hash needs no key."""
    value = secrets.token_urlsafe(32)
    return value, _hash(value)


def is_bound(attempt: Attempt, value: str) -> bool:
    """Whether `value` is the secret of `attempt`; an empty one never is."""
    return bool(value) and hmac.compare_digest(attempt.binding, _hash(value))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
