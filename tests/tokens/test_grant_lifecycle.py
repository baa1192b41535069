"""Any sequence of events leaves each grant in a state that the table of changes allows."""

from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, SECOND_ORGANIZATION
from support.lifecycles import Lifecycle, run_lifecycle

from wizard.backup import open_backup
from wizard.errors import WizardError
from wizard.model import Grant, GrantState
from wizard.simulator.grants import ROTATED
from wizard.simulator.server import Simulator
from wizard.vault import passphrase

NOT_VERIFIED, VERIFIED = GrantState.NOT_VERIFIED, GrantState.VERIFIED
MISMATCH, REPLACED = GrantState.MISMATCH, GrantState.REPLACED
ENDED = {GrantState.NEEDS_REAUTHORIZATION, GrantState.REVOKED}

CHANGES = {
    NOT_VERIFIED: {VERIFIED, MISMATCH, REPLACED, *ENDED},
    VERIFIED: {REPLACED, *ENDED},
    MISMATCH: {VERIFIED, *ENDED},
    REPLACED: {*ENDED},
    GrantState.NEEDS_REAUTHORIZATION: {GrantState.REVOKED},
    GrantState.REVOKED: set[GrantState](),
}
"""The changes of state that one event may cause; a restored grant is a new one."""

USERS = ((ANNA, ""), (ANNA, ""), (CARLA, FIRST_ORGANIZATION), (CARLA, SECOND_ORGANIZATION))
OUTAGES = ("data-center-down", "html-page", "server-error", "redirect", "rate-limit")
PASSPHRASE = "four words make one"


class GrantLifecycle(Lifecycle):
    """The grants of one connection, from the first consent on."""

    def __init__(self, simulator: Simulator, parent: Path) -> None:
        super().__init__(simulator, parent)
        self.harness.add_verified_connection()
        self.seen: dict[int, GrantState] = {1: VERIFIED}
        self.backups = 0

    # events

    @initialize(kind=st.sampled_from(["on", "off"]))
    def choose_rotation(self, kind: str) -> None:
        self.change_rotation(kind)

    @rule(user=st.sampled_from(USERS), is_verified=st.booleans())
    def authorize(self, user: tuple[str, str], is_verified: bool) -> None:
        self.harness.advance(minutes=11)
        try:
            done = self.harness.authorize("crm", *user)
        except WizardError as error:
            event(error.failure.code)  # too many refresh tokens, or a rate limit
            return
        assert done.generation is not None, done.failure
        if is_verified:
            self.verify(done.generation)

    @rule()
    def authorize_again(self) -> None:
        self.authorize((ANNA, ""), is_verified=True)

    @rule()
    def verify_again(self) -> None:
        for newest in self.grants()[:1]:  # a restored connection may have none
            self.verify(newest.generation)

    @rule(is_accepted=st.booleans())
    def decide(self, is_accepted: bool) -> None:
        candidate = self.services.store.grants.candidate("crm")
        authorization = self.services.authorization
        if candidate is not None:
            with suppress(WizardError):  # not verified, or Zoho is rate-limited
                if is_accepted:
                    authorization.accept("crm", candidate.generation)
                else:
                    authorization.discard("crm", candidate.generation)

    @rule(is_forced=st.booleans(), is_reported=st.booleans())
    def request_token(self, is_forced: bool, is_reported: bool) -> None:
        tokens = self.services.tokens
        with suppress(WizardError):
            token = tokens.access_token("crm", force_refresh=is_forced)
            assert token.generation == self.services.store.connections.get("crm").generation
            if is_reported:
                assert tokens.access_token("crm", rejected=token.value).value != token.value

    @rule()
    def check(self) -> None:
        self.services.checks.check(["crm"])

    @rule(kind=st.sampled_from(OUTAGES), is_forced=st.booleans())
    def outage(self, kind: str, is_forced: bool) -> None:
        """While Zoho's accounts server is down, no grant changes its state."""
        before = self.states()
        self.harness.advance(minutes=61)
        self.harness.controls.inject_fault(kind, endpoint="oauth/v2/token", times=99)
        with suppress(WizardError):
            self.services.tokens.access_token("crm", force_refresh=is_forced)
        self.services.checks.check(["crm"])
        self.harness.controls.clear_faults()
        assert self.states() == before

    @rule(email=st.sampled_from([ANNA, CARLA]))
    def change_password(self, email: str) -> None:
        self.harness.controls.change_password(email)

    @rule()
    def revoke(self) -> None:
        current = self.services.store.grants.get("crm")
        if current is not None:
            with suppress(WizardError):
                self.services.tokens.revoke(current)

    @rule()
    def revoke_replaced(self) -> None:
        """As a re-authorization ends: its replaced tokens are revoked when their time is over."""
        with suppress(WizardError):  # nothing to re-authorize, or already under way
            self.services.reauthorization.begin(["crm"], grace_period=timedelta(hours=1))
        self.services.reauthorization.continue_after_verification("crm")
        self.services.reauthorization.revoke_replaced_tokens()

    @rule(kind=st.sampled_from(["off", "on", "reuse-detection"]))
    def change_rotation(self, kind: str) -> None:
        self.harness.controls.change_settings(refresh_token_rotation=kind)

    @rule()
    def restore(self) -> None:
        """Everything moves to a new machine through a backup."""
        self.backups += 1
        file = self.harness.directory / f"{self.backups}.backup"
        self.services.backups.write(file, PASSPHRASE, deactivate=True)
        before = {each.refresh_token: each.state for each in self.grants()}
        directory = self.harness.directory.with_name(f"{self.harness.directory.name}-moved")
        directory.mkdir()
        self.open_again(directory)
        backup = open_backup(file, PASSPHRASE, self.services.zoho.instance)
        self.services.backups.restore(backup, is_original_inactive=True)
        restored = {each.refresh_token for each in self.grants()}
        left_out = {state for token, state in before.items() if token not in restored}
        assert restored <= before.keys()
        assert left_out <= ENDED
        self.seen = self.states()

    @rule(minutes=st.sampled_from([1, 11, 61, 24 * 60]))
    def restart_after(self, minutes: int) -> None:
        self.harness.advance(minutes=minutes)
        self.open_again()

    # what always holds

    @invariant()
    def each_change_of_state_is_in_the_table(self) -> None:
        states = self.states()
        assert self.seen.keys() <= states.keys()
        wrong = {
            generation: (before, states[generation])
            for generation, before in self.seen.items()
            if states[generation] not in {before, *CHANGES[before]}
        }
        assert wrong == {}
        self.seen = states

    @invariant()
    def at_most_one_grant_is_verified_and_it_is_the_current_one(self) -> None:
        current = self.services.store.connections.get("crm").generation
        verified = [each for each, state in self.states().items() if state is VERIFIED]
        assert set(verified) <= {current}

    @invariant()
    def every_refresh_token_that_works_is_stored(self) -> None:
        active = self.harness.simulator.world.grants.active_refresh_tokens()
        stored = {grant.refresh_token for grant in self.grants()}
        assert {each.refresh_token for each in active} <= stored

    @invariant()
    def a_grant_ends_only_if_zoho_ended_its_token(self) -> None:
        """And the wizard revokes none that it keeps."""
        for grant in self.grants():
            reason = self.reason_of(grant)
            if grant.state in ENDED:
                assert reason is not None
            else:
                assert reason not in (ROTATED, "revoked")

    # helpers

    def verify(self, generation: int) -> None:
        with suppress(WizardError):  # ended, or deactivated
            self.harness.verify("crm", generation)

    def grants(self) -> tuple[Grant, ...]:
        return self.services.store.grants.of_connection("crm")

    def states(self) -> dict[int, GrantState]:
        return {grant.generation: grant.state for grant in self.grants()}

    def reason_of(self, grant: Grant) -> str | None:
        """Why Zoho no longer accepts the refresh token of a grant."""
        tokens = self.harness.simulator.world.grants.refresh_tokens
        return tokens[grant.refresh_token].invalidation_reason


@pytest.mark.parametrize(
    ("examples", "steps"), [(3, 12), pytest.param(30, 30, marks=pytest.mark.slow)]
)
def test_no_sequence_of_events_loses_a_token_or_ends_a_grant_that_works(
    zoho_simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    examples: int,
    steps: int,
) -> None:
    monkeypatch.setattr(passphrase, "SCRYPT_COSTS", passphrase.ACCEPTED_SCRYPT_COSTS[0])
    machine = partial(GrantLifecycle, zoho_simulator, tmp_path)
    run_lifecycle(machine, examples, steps)
