"""Attempts that wait for their consent: room is made for new ones, and none waits for ever."""

from wizard.authorization.mismatches import MismatchDecisions
from wizard.errors import Conflict, WizardError, fail
from wizard.model import Attempt, AttemptMode, AttemptState, Failure

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
