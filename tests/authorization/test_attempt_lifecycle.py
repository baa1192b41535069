"""Any sequence of events leaves each attempt in the state that its table of changes allows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, invariant, multiple, rule
from support.harness import query_parameters
from support.lifecycles import Lifecycle, run_lifecycle
from support.records import attempts_of

from wizard.authorization import (
    ATTEMPT_LIFETIME,
    MAX_WAITING_ATTEMPTS,
    CompletedAttempt,
    StartedAttempt,
)
from wizard.authorization.service import MAX_FAILED_TRIES
from wizard.errors import WizardError
from wizard.model import FORWARDED_ATTEMPT_LIFETIME, AttemptMode, AttemptState
from wizard.simulator.server import Simulator

REDIRECTED, STORED, FAILED = AttemptState.REDIRECTED, AttemptState.STORED, AttemptState.FAILED
UNKNOWN, ABANDONED = AttemptState.OUTCOME_UNKNOWN, AttemptState.ABANDONED

CODE_LIFETIME = timedelta(minutes=2)
UNREADABLE = ("connection-closed", "html-page", "truncated-json", "unexpected-json")
"""Faults after which nobody knows what the answer to a request was."""


@dataclass
class ExpectedAttempt:
    """What the machine knows about one attempt."""

    started: StartedAttempt
    begun_at: datetime
    state: AttemptState = REDIRECTED
    failed_tries: int = 0
    callback: str = ""
    code_expires_at: datetime | None = None
    posts: int = 0

    @property
    def mode(self) -> AttemptMode:
        return self.started.attempt.mode

    def is_expired(self, now: datetime) -> bool:
        is_forwarded = self.mode is AttemptMode.FORWARDED
        return now - self.begun_at >= (
            FORWARDED_ATTEMPT_LIFETIME if is_forwarded else ATTEMPT_LIFETIME
        )


class AttemptLifecycle(Lifecycle):
    """Attempts for one connection."""

    attempts = Bundle("attempts")

    def __init__(self, simulator: Simulator, parent: Path) -> None:
        super().__init__(simulator, parent)
        self.harness.add_connection()
        self.expected: list[ExpectedAttempt] = []

    @rule(target=attempts, mode=st.sampled_from([AttemptMode.BROWSER] * 3 + [*AttemptMode][1:3]))
    def begin(self, mode: AttemptMode) -> "ExpectedAttempt | MultipleResults[ExpectedAttempt]":
        try:
            started = self.services.authorization.begin("crm", mode)
        except WizardError as error:
            event(error.failure.code)  # a budget is used up
            return multiple()
        now = self.harness.now()
        waiting = [each for each in self.expected if each.state is REDIRECTED]
        own = [each for each in waiting if each.mode is not AttemptMode.FORWARDED]
        surplus = own[: max(0, len(own) + 1 - MAX_WAITING_ATTEMPTS)]
        for each in waiting:
            if each in surplus or each.is_expired(now):
                each.state = ABANDONED
        attempt = ExpectedAttempt(started, now)
        self.expected.append(attempt)
        return attempt

    @rule(attempt=attempts)
    def consent(self, attempt: ExpectedAttempt) -> None:
        """The user accepts, once; Zoho's limit of codes is the wizard's own budget, too."""
        if not attempt.callback:
            attempt.callback = self.harness.give_consent(attempt.started)
            attempt.code_expires_at = self.harness.now() + CODE_LIFETIME

    @rule(
        attempt=attempts,
        fault=st.sampled_from(["", "", "", *UNREADABLE]),
        is_processed=st.booleans(),
    )
    def callback(self, attempt: ExpectedAttempt, fault: str, is_processed: bool) -> None:
        """The callback comes, for the first time or again; its answer may get lost."""
        self.consent(attempt)
        if fault:
            self.harness.controls.inject_fault(
                fault, endpoint="oauth/v2/token", processed=is_processed
            )
        try:
            code = code_of(self.complete(attempt))
        finally:
            self.harness.controls.clear_faults()
        if attempt.state is not REDIRECTED:
            assert code == "callback-repeated"
        elif attempt.is_expired(self.harness.now()):
            attempt.state = FAILED
            assert code == "attempt-expired"
        else:
            attempt.posts += 1
            assert attempt.code_expires_at
            if fault:
                attempt.state = UNKNOWN
                assert code == "outcome-unknown"
            elif self.harness.now() > attempt.code_expires_at:
                attempt.state = FAILED
                assert code == "code-refused"
            else:
                attempt.state = STORED
                assert code == ""

    @rule(
        attempt=attempts,
        kind=st.sampled_from(["wrong cookie", "no cookie", "denied", "other server", "no code"]),
        times=st.sampled_from([1, 1, MAX_FAILED_TRIES]),
    )
    def wrong_callbacks(self, attempt: ExpectedAttempt, kind: str, times: int) -> None:
        for _ in range(times):
            self.wrong_callback(attempt, kind)

    def wrong_callback(self, attempt: ExpectedAttempt, kind: str) -> None:
        """A callback that a browser brings comes from elsewhere, or has no code for us."""
        started, now = attempt.started, self.harness.now()
        params = [("code", "1000." + "0" * 40), ("state", started.attempt.oauth_state)]
        if kind == "denied":
            params[0] = ("error", "access_denied")
        elif kind == "no code":
            params[0] = ("code", "")
        elif kind == "other server":
            server = "https://accounts.zoho.eu.evil.example"
            params += [("location", "eu"), ("accounts-server", server)]
        cookie = {"wrong cookie": "x", "no cookie": ""}.get(kind, started.cookie_value)
        try:
            done = self.services.authorization.complete(params, {started.cookie_name: cookie})
        except WizardError as error:
            code = error.failure.code
        else:
            code = code_of(done)
        is_bound = attempt.mode is AttemptMode.BROWSER and cookie == started.cookie_value
        if attempt.state is not REDIRECTED and (is_bound or not cookie):
            assert code == "callback-repeated"
        elif not is_bound:
            assert code == "callback-wrong-browser"
            attempt.failed_tries += 1
            if attempt.state is REDIRECTED and attempt.failed_tries >= MAX_FAILED_TRIES:
                attempt.state = FAILED
        else:
            attempt.state = FAILED
            reasons = {"denied": "access-denied", "other server": "issuer-mismatch"}
            reason = reasons.get(kind, "callback-without-code")
            assert code == ("attempt-expired" if attempt.is_expired(now) else reason)

    @rule(attempt=attempts)
    def abandon(self, attempt: ExpectedAttempt) -> None:
        self.services.authorization.abandon(attempt.started.attempt.id)
        if attempt.state is REDIRECTED:
            attempt.state = ABANDONED

    @rule(attempt=attempts, has_posted=st.booleans())
    def die(self, attempt: ExpectedAttempt, has_posted: bool) -> None:
        """The process dies after the callback; the next one closes what it left."""
        if attempt.state is REDIRECTED:
            advance, attempt_id = self.services.store.attempts.advance, attempt.started.attempt.id
            advance(attempt_id, REDIRECTED, AttemptState.CALLBACK_RECEIVED)
            if has_posted:
                advance(attempt_id, AttemptState.CALLBACK_RECEIVED, AttemptState.EXCHANGE_INTENT)
            attempt.state = UNKNOWN if has_posted else FAILED
        self.open_again()

    @rule(minutes=st.sampled_from([1, 1, 3, 11, 11, 61, 24 * 60]))
    def wait(self, minutes: int) -> None:
        self.harness.advance(minutes=minutes)

    @invariant()
    def each_attempt_is_in_the_expected_state(self) -> None:
        stored = {each.id: each for each in attempts_of(self.services.store, "crm")}
        expected = {each.started.attempt.id: each for each in self.expected}
        assert stored.keys() == expected.keys()
        assert {name: each.state for name, each in stored.items()} == {
            name: each.state for name, each in expected.items()
        }

    @invariant()
    def each_code_is_posted_at_most_once(self) -> None:
        assert all(each.posts <= 1 for each in self.expected)
        assert len(self.harness.code_exchanges()) == sum(each.posts for each in self.expected)

    @invariant()
    def each_stored_attempt_has_its_grant_and_no_other_token_is_lost(self) -> None:
        grants = self.services.store.grants.of_connection("crm")
        states = [each.state for each in self.expected]
        assert len(grants) == states.count(STORED)
        at_zoho = {
            each.refresh_token
            for each in self.harness.simulator.world.grants.active_refresh_tokens()
        }
        kept = {each.refresh_token for each in grants}
        assert kept <= at_zoho
        assert len(at_zoho - kept) <= states.count(UNKNOWN)

    def complete(self, attempt: ExpectedAttempt) -> CompletedAttempt:
        started, authorization = attempt.started, self.services.authorization
        if attempt.mode is AttemptMode.BROWSER:
            cookies = {started.cookie_name: started.cookie_value}
            return authorization.complete(query_parameters(attempt.callback), cookies)
        if attempt.mode is AttemptMode.FORWARDED:
            return authorization.complete_forwarded(attempt.callback)
        return authorization.complete_pasted(
            started.attempt.id, started.cookie_value, attempt.callback
        )


def code_of(completed: CompletedAttempt) -> str:
    return completed.failure.code if completed.failure else ""


@pytest.mark.parametrize(
    ("examples", "steps"), [(8, 15), pytest.param(100, 40, marks=pytest.mark.slow)]
)
def test_no_sequence_of_events_posts_a_code_twice_or_loses_a_token(
    zoho_simulator: Simulator, tmp_path: Path, examples: int, steps: int
) -> None:
    machine = partial(AttemptLifecycle, zoho_simulator, tmp_path)
    run_lifecycle(machine, examples, steps)
