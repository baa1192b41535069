"""The steps of a verification, the decision after it, and the clients it uses."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.harness import (
    ANNA,
    BOB,
    CARLA,
    FIRST_ORGANIZATION,
    SCOPE,
    SECOND_ORGANIZATION,
    Harness,
    settings_for,
)

from wizard.clients import Credentials
from wizard.connection_details import describe_evidence, headline
from wizard.errors import WizardError, explain
from wizard.model import Client, Event, Grant, GrantState, StepEvidence, StepState, VerificationStep
from wizard.model.states import ConnectionState
from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.simulator.world import World
from wizard.verification.service import find_mismatch

STEPS = ["refresh", "identity", "organization", "read:crm", "scope", "clock"]


def step_states(steps: list[VerificationStep]) -> dict[str, StepState]:
    return {step.name: step.state for step in steps}


def grant_of(harness: Harness, name: str = "crm", generation: int | None = None) -> Grant:
    grant = harness.services.store.grants.get(name, generation)
    assert grant is not None
    return grant


# --- Steps ---------------------------------------------------------------------------------------


def test_verifying_a_grant_makes_it_current(harness: Harness) -> None:
    harness.add_connection()
    assert harness.authorize("crm").generation == 1
    assert harness.services.store.connections.get("crm").generation == 0

    steps = harness.verify("crm", 1)

    assert [step.name for step in steps] == STEPS
    assert set(step_states(steps).values()) == {StepState.PASSED}
    assert grant_of(harness).state is GrantState.VERIFIED
    assert headline(grant_of(harness)) == "This reaches Zylker GmbH, Production, EU, as " + ANNA


def test_what_a_verification_observes_is_stored_as_data_and_shown_in_words(
    harness: Harness,
) -> None:
    grant = harness.add_verified_connection()
    report = harness.services.store.verification_reports.get("crm", grant.generation)
    assert report is not None
    observed = [each for step in report.steps for each in step.evidence]
    assert [each.code for each in observed] == [
        *("access-token-issued", "data-center", "api-domain"),
        *("account-name", "account-email", "account-zuid"),
        *("organization-environment", "read-passed", "scopes-granted", "clock-agrees"),
    ]
    assert observed[0].values == {"expires_in": "3600"}
    assert observed[7].values == {"product": "crm", "path": "/crm/v8/Leads"}
    shown = [describe_evidence(each) for each in observed]
    assert [each for each in shown if not each.label or not each.text or "…" in str(each)] == []


def test_each_step_is_committed_before_the_next_runs(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    for count, _ in enumerate(harness.services.verification.verify("crm", 1), start=1):
        report = harness.services.store.verification_reports.get("crm", 1)
        assert report is not None
        assert len(report.steps) == count
        assert report.finished_at is None
    finished = harness.services.store.verification_reports.get("crm", 1)
    assert finished is not None
    assert finished.is_verified


def test_an_interrupted_verification_leaves_an_unfinished_report_and_can_be_repeated(
    harness: Harness,
) -> None:
    harness.add_connection()
    harness.authorize("crm")
    verification = harness.services.verification.verify("crm", 1)
    next(verification)
    del verification  # its process ends
    unfinished = harness.services.store.verification_reports.get("crm", 1)
    assert unfinished is not None
    assert not unfinished.is_verified
    assert grant_of(harness, generation=1).state is GrantState.NOT_VERIFIED
    harness.verify("crm", 1)
    assert grant_of(harness).generation == 1


def test_a_grant_is_verified_by_one_process_at_a_time(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    first = harness.services.verification.verify("crm", 1)
    next(first)
    with pytest.raises(WizardError, match="verification-under-way"):
        next(harness.services.verification.verify("crm", 1))
    assert [step.name for step in first] == STEPS[1:]


def test_the_organization_chosen_at_the_consent_is_in_the_headline(harness: Harness) -> None:
    grant = harness.add_verified_connection("crm", CARLA, SECOND_ORGANIZATION)
    assert headline(grant) == "This reaches Zylker Outlet, Production, EU, as " + CARLA


def test_a_failed_read_leaves_the_grant_unverified(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    harness.controls.remove_api_access(ANNA, "crm")
    steps = harness.verify("crm", 1)
    failed = [step for step in steps if step.state is StepState.FAILED]
    assert {step.failure.code for step in failed if step.failure} == {"no-permission"}
    assert grant_of(harness, generation=1).state is GrantState.NOT_VERIFIED
    assert harness.services.store.connections.get("crm").generation == 0


def test_a_verification_that_cannot_read_the_organization_keeps_the_stored_one(
    harness: Harness,
) -> None:
    before = harness.add_verified_connection().organizations
    harness.controls.inject_fault("data-center-down", endpoint="crm/v8", times=2)
    steps = step_states(harness.verify("crm", 1))
    assert steps["organization"] is StepState.FAILED
    assert grant_of(harness).organizations == before


def test_a_network_failure_fails_a_step_and_says_nothing_about_the_grant(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    harness.controls.inject_fault("connection-closed", endpoint="oauth/v2/token", times=9)
    (step,) = harness.verify("crm", 1)
    assert step.state is StepState.FAILED
    assert step.failure is not None
    assert step.failure.temporary
    assert grant_of(harness, generation=1).state is GrantState.NOT_VERIFIED


@pytest.mark.parametrize("odd_word", [False, True])
def test_an_access_token_rejected_during_verification_is_refreshed_once(
    harness: Harness, odd_word: bool
) -> None:
    harness.controls.change_settings(crm_authentication_failure=odd_word)
    harness.add_connection()
    harness.authorize("crm")
    verification = harness.services.verification.verify("crm", 1)
    steps = [next(verification), next(verification)]
    for token in harness.simulator.world.grants.access_tokens.values():
        token.invalidation_reason = "evicted"
    steps += verification
    assert set(step_states(steps).values()) == {StepState.PASSED}
    assert len(harness.refresh_requests()) == 2


def test_an_access_token_that_is_always_rejected_is_refreshed_once_and_not_at_every_step(
    harness: Harness,
) -> None:
    harness.add_connection()
    harness.authorize("crm")
    steps = []
    for step in harness.services.verification.verify("crm", 1):
        steps.append(step)
        for token in harness.simulator.world.grants.access_tokens.values():
            token.invalidation_reason = "evicted"
    assert StepState.FAILED in step_states(steps).values()
    assert len(harness.refresh_requests()) == 2


def test_after_a_failed_identity_nothing_else_is_asked(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    harness.controls.inject_fault("data-center-down", endpoint="oauth/user/info", times=9)
    assert [step.name for step in harness.verify("crm", 1)] == ["refresh", "identity"]


def test_a_data_center_at_which_requests_pause_is_no_verdict(harness: Harness) -> None:
    harness.add_verified_connection("crm")
    before = harness.services.store.verification_reports.get("crm", 1)
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("data-center-down", endpoint="oauth/v2/token", times=99)
    for _ in range(2):
        with pytest.raises(WizardError):
            harness.services.tokens.access_token("crm")
    with pytest.raises(WizardError, match="zoho-paused"):
        list(harness.services.verification.check("crm", 1))
    assert harness.services.store.verification_reports.get("crm", 1) == before


def test_another_environment_of_an_organization_is_a_different_organization(
    harness: Harness,
) -> None:
    grant = harness.add_verified_connection("crm", CARLA, FIRST_ORGANIZATION)
    (production,) = grant.organizations
    other = replace(grant, organizations=(replace(production, environment="Sandbox"),))
    assert production.environment == "Production"
    mismatch = find_mismatch(other, grant)
    assert mismatch is not None
    assert mismatch.code == "other-organization"


def test_a_revoked_grant_is_not_verified(harness: Harness) -> None:
    harness.services.tokens.revoke(harness.add_verified_connection())
    with pytest.raises(WizardError, match="grant-revoked"):
        harness.verify("crm", 1)


def test_fewer_scopes_than_requested_are_partial_and_named(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    harness.services.store.connections.set_scope("crm", (*SCOPE, "ZohoBooks.invoices.READ"))
    scope = next(step for step in harness.verify("crm", 1) if step.name == "scope")
    assert scope.state is StepState.PARTIAL
    assert scope.evidence[-1] == StepEvidence(
        "scopes-not-granted", {"scope": "ZohoBooks.invoices.READ"}
    )
    assert grant_of(harness).state is GrantState.VERIFIED


def test_a_clock_that_is_off_by_minutes_is_reported(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    harness.controls.inject_fault("clock-skew", seconds=300, endpoint="oauth/v2/token")
    clock = harness.verify("crm", 1)[-1]
    assert clock.name == "clock"
    assert clock.state is StepState.PARTIAL
    assert [each.code for each in clock.evidence] == ["clock-behind"]
    assert clock.failure is not None
    assert clock.failure.details["direction"] == "behind"
    assert "{difference} behind Zoho" in explain(clock.failure, difference="{difference}").title


def test_products_without_organizations_can_be_verified(harness: Harness) -> None:
    client = harness.register_client()
    harness.add_connection("chat", client, ("AaaServer.profile.READ", "ZohoCliq.Channels.READ"))
    harness.authorize("chat")
    steps = step_states(harness.verify("chat", 1))
    assert steps["organization"] is StepState.SKIPPED
    assert steps["read:cliq"] is StepState.PASSED
    assert headline(grant_of(harness, "chat")) == f"This reaches the account of {ANNA}, EU"


class WrongHosts(World):
    """A Zoho whose responses name a foreign API domain."""

    def api_domain(self, location: str) -> str:
        return "https://www.zohoapis.eu.example"


@pytest.fixture
def wrong_hosts(tmp_path: Path) -> Iterator[Harness]:
    world = WrongHosts()
    with (
        Simulator(world=world) as simulator,
        Services.open(settings_for(tmp_path, simulator.url), simulator.clock) as services,
    ):
        yield Harness(services, simulator, tmp_path)


def test_a_foreign_api_domain_is_refused_and_the_refresh_token_kept(wrong_hosts: Harness) -> None:
    wrong_hosts.add_connection()
    assert wrong_hosts.authorize("crm").generation == 1
    wrong_hosts.controls.clear_journal()
    (step,) = wrong_hosts.verify("crm", 1)
    assert step.failure is not None
    assert step.failure.code == "foreign-api-domain"
    assert {entry["host"] for entry in wrong_hosts.controls.journal()} == {"accounts"}
    grant = grant_of(wrong_hosts, generation=1)
    assert grant.state is GrantState.NOT_VERIFIED
    assert grant.refresh_token


# --- Generation n+1 ------------------------------------------------------------------------------


def test_generation_n_stays_current_until_n_plus_1_is_verified(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.authorize("crm")
    assert harness.services.store.connections.get("crm").generation == 1
    harness.verify("crm", 2)
    assert harness.services.store.connections.get("crm").generation == 2
    assert grant_of(harness, generation=1).state is GrantState.REPLACED
    assert harness.services.tokens.access_token("crm").generation == 2


def test_a_different_account_waits_for_a_decision_before_replacing_anything(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.authorize("crm", CARLA, FIRST_ORGANIZATION)
    harness.verify("crm", 2)
    waiting = grant_of(harness, generation=2)
    assert waiting.state is GrantState.MISMATCH
    assert waiting.failure is not None
    assert waiting.failure.code == "other-account"
    assert waiting.failure.details["before"] == ANNA
    assert waiting.failure.details["actual"] == CARLA
    assert grant_of(harness).generation == 1
    assert harness.services.tokens.access_token("crm", force_refresh=True).generation == 1


def test_a_first_consent_of_an_unexpected_account_waits_for_a_decision(harness: Harness) -> None:
    harness.add_connection()
    harness.services.store.connections.set_expected_email("crm", ANNA.upper())
    for generation in (1, 2):
        harness.authorize("crm", CARLA, FIRST_ORGANIZATION)
        harness.verify("crm", generation)
        waiting = grant_of(harness, generation=generation)
        assert waiting.state is GrantState.MISMATCH
        assert waiting.failure is not None
        assert waiting.failure.code == "other-account"
        overview = harness.services.store.overviews.get("crm")
        assert overview.status(harness.now()).state is ConnectionState.DIFFERENT_ACCOUNT
        with pytest.raises(WizardError, match="not-verified"):
            harness.services.tokens.access_token("crm")
        if generation == 1:
            harness.services.authorization.discard("crm", 1)
    harness.services.authorization.accept("crm", 2)
    assert harness.services.tokens.access_token("crm").generation == 2


def test_a_first_consent_of_the_expected_account_is_used(harness: Harness) -> None:
    harness.add_connection()
    harness.services.store.connections.set_expected_email("crm", ANNA.upper())
    harness.authorize("crm")
    harness.verify("crm", 1)
    assert grant_of(harness).state is GrantState.VERIFIED


def test_a_different_organization_of_the_same_account_waits_for_a_decision(
    harness: Harness,
) -> None:
    harness.add_verified_connection("crm", CARLA, FIRST_ORGANIZATION)
    harness.authorize("crm", CARLA, SECOND_ORGANIZATION)
    harness.verify("crm", 2)
    waiting = grant_of(harness, generation=2)
    assert waiting.failure is not None
    assert waiting.failure.code == "other-organization"
    assert "Zylker Outlet" in waiting.failure.details["actual"]
    assert grant_of(harness).generation == 1


def test_a_waiting_grant_is_accepted_only_deliberately(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.authorize("crm", CARLA, FIRST_ORGANIZATION)
    harness.verify("crm", 2)
    harness.services.authorization.accept("crm", 2)
    assert grant_of(harness).generation == 2
    assert grant_of(harness).state is GrantState.VERIFIED
    with pytest.raises(WizardError, match="nothing-to-decide"):
        harness.services.authorization.accept("crm", 2)


def test_a_waiting_grant_whose_verification_failed_is_not_accepted(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.authorize("crm", CARLA, FIRST_ORGANIZATION)
    harness.controls.inject_fault("data-center-down", endpoint="crm/v8", times=9)
    harness.verify("crm", 2)
    assert grant_of(harness, generation=2).state is GrantState.MISMATCH
    with pytest.raises(WizardError, match="not-verified"):
        harness.services.authorization.accept("crm", 2)


def test_a_discarded_grant_is_revoked_at_zoho(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.authorize("crm", CARLA, FIRST_ORGANIZATION)
    harness.verify("crm", 2)
    harness.services.authorization.discard("crm", 2)
    stray = grant_of(harness, generation=2)
    assert stray.state is GrantState.REVOKED
    assert harness.simulator.world.grants.refresh_tokens[stray.refresh_token].invalidation_reason
    assert harness.services.tokens.access_token("crm").generation == 1


def test_the_account_of_a_rejected_grant_is_still_compared(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    harness.advance(minutes=2)
    with pytest.raises(WizardError, match="refresh-token-rejected"):
        harness.services.tokens.access_token("crm", force_refresh=True)
    harness.authorize("crm", CARLA, FIRST_ORGANIZATION)
    harness.verify("crm", 2)
    assert grant_of(harness, generation=2).state is GrantState.MISMATCH
    harness.services.authorization.discard("crm", 2)
    harness.authorize("crm")
    harness.verify("crm", 3)
    assert grant_of(harness).generation == 3


# --- Clients -------------------------------------------------------------------------------------


def credentials(harness: Harness, **fields: str) -> tuple[str, str]:
    made = harness.controls.register_client(
        fields.pop("owner", ANNA), ["http://localhost:8733/callback"], name="Another", **fields
    )
    ((_, secret),) = made["secrets"].items()
    return made["client_id"], secret


def register(harness: Harness, text: str, location: str | None = None) -> str:
    client = harness.services.clients.register(
        text, name="c", redirect_uri="http://localhost:8733/callback", location=location
    )
    return client.location


def failure_of(error: pytest.ExceptionInfo[WizardError]) -> str:
    return error.value.failure.code


def test_a_client_is_verified_before_it_is_stored(harness: Harness) -> None:
    client_id, secret = credentials(harness)
    with pytest.raises(WizardError) as wrong:
        register(harness, f"{client_id} {secret[::-1]}", "eu")
    assert failure_of(wrong) == "wrong-secret"
    assert harness.services.store.clients.all() == ()
    assert register(harness, f"{client_id} {secret}", "eu") == "eu"


def test_the_data_center_of_a_client_is_found_without_sending_its_secret_elsewhere(
    harness: Harness,
) -> None:
    client_id, secret = credentials(harness, owner=BOB, location="in")
    assert register(harness, f"{client_id} {secret}") == "in"
    asked = [entry["location"] for entry in harness.logged_requests()]
    assert asked == ["us", "eu", "in", "in"], (
        "likeliest first, and then the client check in its data center"
    )


def test_a_client_in_the_wrong_data_center_gets_the_right_one(harness: Harness) -> None:
    client_id, secret = credentials(harness)
    with pytest.raises(WizardError) as elsewhere:
        register(harness, f"{client_id} {secret}", "us")
    assert failure_of(elsewhere) == "client-elsewhere"
    assert elsewhere.value.failure.details["found"] == "eu"
    sent = [
        ask.outcome
        for ask in harness.services.store.request_log.requests(
            since=harness.now() - timedelta(hours=1)
        )
    ]
    assert sent == ["known-here", "unknown-here"], "and its secret was not sent"


def test_a_search_for_a_client_is_not_repeated_within_the_hour(harness: Harness) -> None:
    nobody = "1000." + "X" * 30
    for _ in range(3):
        with pytest.raises(WizardError) as unknown:
            register(harness, f"{nobody} {'0123456789abcdef' * 2}")
        assert failure_of(unknown) == "client-unknown-everywhere"
    assert len(harness.logged_requests()) == 11
    harness.advance(hours=1, seconds=1)
    assert harness.services.client_requests.find_client_location(nobody) is None
    assert len(harness.logged_requests()) == 22
    assert (
        harness.services.client_requests.find_client_location(nobody, max_age=timedelta(0)) is None
    )
    assert len(harness.logged_requests()) == 33


def test_a_new_secret_is_verified_and_the_old_one_kept_until_a_refresh_succeeds(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    client = harness.services.store.clients.all()[0]
    with pytest.raises(WizardError) as wrong:
        harness.services.clients.set_secret(client.client_id, "f0" * 21)
    assert failure_of(wrong) == "wrong-secret"
    fresh = harness.controls.rotate_secret(client.client_id)
    harness.services.clients.set_secret(client.client_id, fresh)
    assert len(harness.services.store.clients.get(client.client_id).secrets) == 2
    harness.advance(minutes=11)  # past the window in which these requests count
    harness.services.tokens.access_token("crm", force_refresh=True)
    assert [s.value for s in harness.services.store.clients.get(client.client_id).secrets] == [
        fresh
    ]


def test_a_secret_that_zoho_rejects_is_replaced_by_the_previous_one(harness: Harness) -> None:
    harness.add_verified_connection()
    client = harness.services.store.clients.all()[0]
    harness.services.store.clients.set_secret(client.client_id, "eu", "f0" * 21)
    harness.advance(minutes=2)
    harness.services.tokens.access_token("crm", force_refresh=True)
    stored = harness.services.store.clients.get(client.client_id)
    assert stored.secret_for("eu") == client.secret_for("eu")
    history: list[Event] = harness.services.store.events.of_connection("crm")
    assert "secret-restored" in [event.kind for event in history]


def test_a_secret_of_another_data_center_is_checked_there(harness: Harness) -> None:
    client = harness.register_client()
    with pytest.raises(WizardError) as off:
        harness.services.clients.set_secret(client.client_id, "ab1" * 14, "in")
    assert failure_of(off) == "multi-dc-off"
    secret = harness.controls.enable_data_center(client.client_id, "in")
    harness.services.clients.set_secret(client.client_id, secret, "in")
    checks = harness.services.clients.check(client.client_id)
    assert {check.location: check.failure for check in checks} == {"eu": None, "in": None}


def admit(harness: Harness, secret: str, location: str, **more: Any) -> Client:
    """Return the id of the latest registered client, with a secret for a data center."""
    pasted = Credentials(harness.registered_client["client_id"], secret)
    return harness.services.clients.admit(pasted, redirect_uri="", location=location, **more)


def test_a_stored_secret_is_not_sent_to_a_data_center_it_was_not_stored_for(
    harness: Harness,
) -> None:
    client = harness.register_client()
    harness.controls.enable_data_center(client.client_id, "in")
    harness.controls.clear_journal()
    with pytest.raises(WizardError) as refused:
        admit(harness, client.secret_for("eu") or "", "in")
    assert failure_of(refused) == "missing-secret"
    assert harness.logged_requests() == []


def test_a_secret_for_a_data_center_without_one_is_stored_without_a_confirmation(
    harness: Harness,
) -> None:
    client = harness.register_client()
    with pytest.raises(WizardError) as off:
        admit(harness, "ab1" * 14, "in")
    assert failure_of(off) == "multi-dc-off"
    secret = harness.controls.enable_data_center(client.client_id, "in")
    stored = admit(harness, secret, "in")
    assert (stored.secret_for("in"), stored.secret_for("eu")) == (secret, client.secret_for("eu"))


def test_a_regenerated_secret_for_all_data_centers_replaces_the_common_one(
    harness: Harness,
) -> None:
    client = harness.register_client()
    harness.controls.enable_data_center(client.client_id, "in", same_credentials=True)
    admit(harness, client.secret_for("eu") or "", "in", has_common_secret=True)
    fresh = harness.controls.rotate_secret(client.client_id)
    with pytest.raises(WizardError) as offered:
        admit(harness, fresh, "in")
    assert failure_of(offered) == "secret-differs"
    stored = admit(harness, fresh, "in", replace=True)
    assert (stored.secret_for("eu"), stored.secret_for("in")) == (fresh, fresh)
    assert stored.previous_secret_for("eu") == client.secret_for("eu")


def test_a_new_secret_keeps_the_setting_for_all_data_centers(
    harness: Harness,
) -> None:
    client = harness.register_client()
    admit(harness, client.secret_for("eu") or "", "eu", has_common_secret=True)
    fresh = harness.controls.rotate_secret(client.client_id)
    assert harness.services.clients.set_secret(client.client_id, fresh).has_common_secret


def test_a_check_names_the_secret_that_stopped_working(harness: Harness) -> None:
    client = harness.register_client()
    harness.controls.rotate_secret(client.client_id)
    (check,) = harness.services.clients.check(client.client_id)
    assert check.failure is not None
    assert check.failure.code == "wrong-secret"
    harness.controls.delete_client(client.client_id)
    (check,) = harness.services.clients.check(client.client_id)
    assert check.failure is not None
    assert check.failure.code == "client-deleted"


def test_a_client_in_use_is_not_removed(harness: Harness) -> None:
    harness.add_connection()
    client = harness.services.store.clients.all()[0]
    with pytest.raises(WizardError, match="client-in-use"):
        harness.services.clients.remove(client.client_id)
    harness.services.tokens.remove_connection("crm")
    harness.services.clients.remove(client.client_id)
    assert harness.services.store.clients.all() == ()
