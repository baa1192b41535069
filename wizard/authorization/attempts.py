"""Attempts: what binds one to its browser or process, and how it moves from state to state."""

import hashlib
import hmac
import secrets

from wizard.errors import Conflict, WizardError, fail
from wizard.model import Attempt, AttemptMode, AttemptState, Clock, Failure
from wizard.store import Store
from wizard.tokens.connection_locks import ConnectionLocks

MAX_WAITING_ATTEMPTS = 8
"""Attempts that can wait at the same time, each with a cookie: browsers keep few for one host."""

MAX_FAILED_TRIES = 5
"""Callbacks with a valid ``state`` and a wrong cookie before the attempt is closed: someone has the
state who shouldn't."""


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
        """Move an attempt on; raises `Conflict` if it has moved meanwhile."""
        self._store.attempts.advance(attempt.id, attempt.state, target_state, failure=failure)

    def try_close(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure | None
    ) -> None:
        """Close an attempt unless it has moved meanwhile."""
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
        """Abandon attempts that are too old, and the oldest if too many wait."""
        waiting = sorted(self._store.attempts.open(), key=lambda each: each.created_at)
        waiting = [each for each in waiting if each.state is AttemptState.REDIRECTED]
        here = [each for each in waiting if each.mode is not AttemptMode.FORWARDED]
        surplus = here[: max(0, len(here) - (MAX_WAITING_ATTEMPTS - 1))]
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
    """A new secret for the cookie, and what the store keeps of it: a hash. The secret has 256
    random bits, so the hash needs no key."""
    value = secrets.token_urlsafe(32)
    return value, _hash(value)


def is_bound(attempt: Attempt, value: str) -> bool:
    """Whether `value` is the secret given out for `attempt`; an empty one never is."""
    return bool(value) and hmac.compare_digest(attempt.binding, _hash(value))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
