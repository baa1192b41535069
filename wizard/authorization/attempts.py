"""Attempts that wait for their consent: room is made for new ones, and none waits for ever."""

import hashlib
import hmac
import secrets
from dataclasses import replace

from wizard.errors import Conflict, WizardError, fail
from wizard.model import (
    Attempt,
    AttemptMode,
    AttemptState,
    Clock,
    Event,
    Failure,
    Grant,
    GrantState,
)
from wizard.store import Store
from wizard.tokens import TokenService


class MismatchDecisions:
    """Puts a held grant in place after all, or gives it back to Zoho."""

    def __init__(self, store: Store, tokens: TokenService, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock

    def accept(self, name: str, generation: int) -> Grant:
        """Make a held grant current after all, because the person says so.

        Raises ``nothing-held``, or ``not-proved`` when its ladder was not climbed to the end.
        """
        grant = self._mismatched_grant(name, generation)
        report = self._store.verification_reports.get(name, generation)
        if report is None or not report.is_verified:
            raise fail("not-proved", name=name)
        self._tokens.activate_grant(grant, self._store.connections.get(name).generation)
        self._record_event("grant-accepted", name, generation=str(generation))
        return replace(grant, state=GrantState.VERIFIED)

    def discard(self, name: str, generation: int) -> None:
        """Revoke a held or unproved grant at Zoho, so that no stray token lives on; the grant
        before stays current. Raises ``nothing-held`` and what `Broker.revoke` raises."""
        self._tokens.revoke(self._mismatched_grant(name, generation, GrantState.NOT_VERIFIED))

    def _mismatched_grant(self, name: str, generation: int, *other_states: GrantState) -> Grant:
        grant = self._store.grants.get(name, generation)
        if grant is None or grant.state not in (GrantState.MISMATCH, *other_states):
            raise fail("nothing-held", name=name)
        return grant

    def _record_event(self, kind: str, connection: str, **details: str) -> None:
        self._store.events.record(Event(self._clock(), connection, kind, details))


MAX_WAITING_ATTEMPTS = 8
"""Attempts that may wait at a time, each with a cookie: browsers keep few for one host."""


class AttemptLifecycle(MismatchDecisions):
    """Moves attempts on, and closes those that nobody will finish."""

    def _abandon_stale_attempts(self) -> None:
        """Abandon attempts that are too old, and the oldest when too many wait."""
        waiting = sorted(self._store.attempts.open(), key=lambda each: each.created_at)
        waiting = [each for each in waiting if each.state is AttemptState.REDIRECTED]
        here = [each for each in waiting if each.mode is not AttemptMode.FORWARDED]
        spare = here[: max(0, len(here) - (MAX_WAITING_ATTEMPTS - 1))]
        for attempt in waiting:
            if attempt in spare or attempt.is_expired(self._clock()):
                self._try_close(attempt, AttemptState.ABANDONED, fail("attempt-expired").failure)

    def abandon(self, attempt_id: str, failure: Failure | None = None) -> None:
        """Close an attempt that still waits for its consent: nobody goes on with it, or a page of
        Zoho's own, from which nobody comes back, has refused it with `failure`."""
        attempt = self._store.attempts.get(attempt_id)
        if attempt.state is AttemptState.REDIRECTED:
            to = AttemptState.FAILED if failure else AttemptState.ABANDONED
            self._try_close(attempt, to, failure)

    def _advance(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure | None = None
    ) -> None:
        self._store.attempts.advance(attempt.id, attempt.state, target_state, failure=failure)

    def _try_close(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure | None
    ) -> None:
        """Close an attempt unless it moved on meanwhile, which is as good."""
        try:
            self._advance(attempt, target_state, failure)
        except Conflict:
            return

    def close_interrupted(self) -> None:
        """At start: whoever died between posting a code and storing its answer left an attempt
        whose outcome nobody knows. It is closed as that, and never posted again."""
        for attempt in self._store.attempts.open():
            if attempt.state is AttemptState.REDIRECTED:
                continue
            posted = attempt.state is AttemptState.EXCHANGE_INTENT
            code = "outcome-unknown" if posted else "callback-interrupted"
            failure = fail(code, name=attempt.connection, reason="interrupted").failure
            to = AttemptState.OUTCOME_UNKNOWN if posted else AttemptState.FAILED
            try:
                with self._tokens.exchange_lock(attempt.connection, wait=False):
                    self._try_close(attempt, to, failure)
            except WizardError:
                continue  # held: its process is alive and at it


def cookie_name(attempt_id: str) -> str:
    """The name of the cookie that binds an attempt to a browser; one cookie an attempt."""
    return f"zw_flow_{attempt_id}"


def new_binding() -> tuple[str, str]:
    """A fresh secret for the cookie, and what the store keeps of it: a hash, which for 256
    random bits needs no key to stay unguessable."""
    value = secrets.token_urlsafe(32)
    return value, _hash(value)


def is_bound(attempt: Attempt, value: str) -> bool:
    """Whether `value` is the secret given out for `attempt`; nothing is not."""
    return bool(value) and hmac.compare_digest(attempt.binding, _hash(value))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
