"""Checks of many connections: the cheapest requests, Zoho's limits, and grouped failures."""

import threading
from collections import Counter
from datetime import datetime

import pytest
from bench.installation import cache_access_tokens, issue_grants, store_connections
from support.diagnosis import add_verified_connection, client_of
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.reauthorization import authorize

from wizard.diagnosis.incidents import CauseLevel
from wizard.errors import WizardError
from wizard.model import Grant, GrantState, VerificationStep
from wizard.monitoring.checks import MAX_PARALLEL_CHECKS, CheckResult
from wizard.monitoring.service import CheckRun


def check(harness: Harness, *names: str) -> CheckRun:
    """Check connections, by default all."""
    harness.controls.clear_journal()
    return harness.services.monitoring.run_checks(names or None)


def latest_result(harness: Harness, name: str = "crm") -> CheckResult:
    return check(harness, name).results[0]


def logged_requests(harness: Harness) -> Counter[str]:
    """The requests sent to Zoho, by the last segment of their paths."""
    return Counter(entry["path"].rsplit("/", 1)[-1] for entry in harness.controls.journal())


def grant_of(harness: Harness, name: str) -> Grant:
    grant = harness.services.store.grants.get(name)
    assert grant is not None
    return grant


def add_connections(harness: Harness, count: int) -> list[str]:
    """Verified connections of anna's, ten per client, none with a valid access token."""
    store_connections(harness.services.store, *issue_grants(harness, count))
    return [each.name for each in harness.services.store.connections.all()]


def test_rejections_right_after_connecting_are_reported_together_before_a_check_is_allowed(
    harness: Harness,
) -> None:
    client = harness.register_client()
    for number in range(7):
        harness.add_connection(f"crm-{number}", client)
        authorize(harness, f"crm-{number}")
    harness.controls.change_password(ANNA)
    seen = check(harness)
    assert "token" not in logged_requests(harness), "Zoho's limits are used up by connecting"
    incident, *others = seen.incidents
    assert not others
    assert len(incident.names) == 7
    assert incident.email == ANNA
    assert incident.explanation.exit_code == 4
    assert incident.explanation.failure is not None
    rejected = [
        each
        for each in harness.services.store.overviews.unsettled()
        if each.grant and each.grant.failure
    ]
    assert not rejected, "no rejection is stored"
    assert (
        set(harness.services.reauthorization.rejected_connections())
        == set(incident.names)
        == set(incident.to_reauthorize)
    )
    assert incident.explanation.failure.retry_at is not None
    (stored,) = harness.services.incidents.stored()
    assert stored.names == incident.names, "the page shows the same"
    harness.advance(minutes=11)
    check(harness)
    assert {grant_of(harness, name).state for name in incident.names} == {
        GrantState.NEEDS_REAUTHORIZATION
    }


# --- the cheapest request -------------------------------------------------------------------------


def test_a_valid_token_is_used_for_the_read_and_no_new_one_is_requested(harness: Harness) -> None:
    harness.add_verified_connection()
    assert latest_result(harness).is_working
    assert logged_requests(harness) == {"Leads": 1}


def test_without_a_valid_token_one_is_requested_and_programs_get_it(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.advance(hours=2)
    assert latest_result(harness).is_working
    assert logged_requests(harness) == {"token": 1, "Leads": 1}
    assert harness.services.tokens.access_token("crm").value
    assert logged_requests(harness) == {"token": 1, "Leads": 1}


def test_a_rejected_access_token_confirms_the_rejection_of_the_refresh_token(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    assert latest_result(harness).needs_reauthorization
    assert logged_requests(harness) == {"Leads": 1, "token": 1}


def test_the_rejection_of_one_account_confirms_none_of_another_account(harness: Harness) -> None:
    """Of the same client: each account's is confirmed by a second request."""
    client = harness.register_client("Shared")
    add_verified_connection(harness, "annas", client)
    add_verified_connection(harness, "carlas", client, CARLA, FIRST_ORGANIZATION)
    for name, email in (("annas", ANNA), ("carlas", CARLA)):
        harness.controls.change_password(email)
        harness.services.token_cache.remove(name)
    harness.advance(minutes=11)
    harness.controls.clear_journal()
    found = harness.services.checks.check(["annas", "carlas"])
    assert all(each.needs_reauthorization for each in found)
    assert len(harness.refresh_requests()) == 4


def test_a_rejection_keeps_the_earlier_results_in_the_report(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    latest_result(harness)
    report = harness.services.store.verification_reports.get("crm")
    assert report is not None
    states = {step.name: step.state.value for step in report.steps}
    assert (states["refresh"], states["read:crm"]) == ("failed", "passed")


def test_without_a_readable_product_the_accounts_server_identifies_the_account(
    harness: Harness,
) -> None:
    harness.add_connection("crm", scope=("AaaServer.profile.READ", "ZohoSign.account.READ"))
    authorize(harness, "crm")
    harness.controls.clear_journal()
    assert latest_result(harness).is_working
    assert logged_requests(harness) == {"info": 1}


def test_a_step_that_failed_last_time_runs_again(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.inject_fault("data-center-down", endpoint="crm/v8/org", times=2)
    assert not harness.services.checks.check(["crm"], full=True)[0].is_working
    assert latest_result(harness).is_working
    assert logged_requests(harness) == {"org": 1, "Leads": 1}
    assert latest_result(harness).is_working
    assert logged_requests(harness) == {"Leads": 1}


def test_a_rejection_of_the_client_is_kept_while_a_token_is_valid(harness: Harness) -> None:
    client = harness.register_client()
    harness.add_connection("crm", client)
    authorize(harness, "crm")
    secret = harness.controls.rotate_secret(client.client_id)
    found = harness.services.checks.check(["crm"], full=True)[0]
    assert found.failure is not None
    assert found.failure.code == "invalid-client-secret"
    again = latest_result(harness)
    assert again.failure is not None
    assert again.failure.code == "invalid-client-secret"
    harness.services.store.clients.set_secret(client.client_id, "eu", secret)
    assert latest_result(harness).is_working


def test_a_result_is_about_the_generation_in_use_when_it_is_stored(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    seen: list[VerificationStep] = []

    def authorize_meanwhile(_name: str, step: VerificationStep) -> None:
        if not seen:
            seen.append(step)
            done = harness.authorize("crm")
            harness.services.store.grants.activate("crm", done.generation or 0, 1)

    (found,) = harness.services.checks.check(["crm"], on_step=authorize_meanwhile)
    assert seen[0].state == "failed"
    assert found.is_working
    assert found.grant is not None
    assert found.grant.generation == 2
    assert grant_of(harness, "crm").state is GrantState.VERIFIED


def end_token(harness: Harness, name: str = "crm") -> str:
    """Revoke only the access token of a connection at Zoho."""
    value = harness.services.tokens.access_token(name).value
    world = harness.simulator.world
    token = world.access_token(value, "eu")
    assert token is not None
    world.grants.invalidate(token, "revoked")
    return value


def test_a_token_rejected_during_a_check_is_no_longer_served(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    for _ in range(5):
        harness.services.tokens.refresh_grant(grant)
    rejected = end_token(harness)
    assert latest_result(harness).is_suspected
    assert logged_requests(harness) == {"Leads": 1}
    assert latest_result(harness).is_suspected, "it remains known when it is no longer used"
    assert logged_requests(harness) == {}
    replaced = harness.services.tokens.access_token("crm").value
    assert replaced != rejected
    assert latest_result(harness).is_working
    harness.advance(seconds=61)
    end_token(harness)
    (incident,) = check(harness).incidents
    assert "no token requests are left in this 10-minute window" in incident.explanation.cause
    with pytest.raises(WizardError) as error:
        harness.services.tokens.access_token("crm")
    assert error.value.failure.code == "token-budget"
    assert error.value.failure.retry_at is not None


def test_a_check_replaces_a_rejected_token_at_most_once_a_minute_including_other_callers(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.services.tokens.access_token("crm", rejected=end_token(harness))
    end_token(harness)
    for asked in ({"Leads": 1}, {}):
        (incident,) = check(harness).incidents
        assert "at most once a minute" in incident.explanation.cause
        assert "10-minute window" not in incident.explanation.cause
        assert logged_requests(harness) == asked
    harness.advance(seconds=61)
    assert latest_result(harness).is_working
    rejected = end_token(harness)
    with pytest.raises(WizardError, match="token-rejected"):
        harness.services.tokens.access_token("crm", rejected=rejected)


@pytest.mark.slow
def test_tokens_rejected_together_are_not_served_while_the_limits_are_used_up(
    harness: Harness,
) -> None:
    client = harness.register_client()
    names = [f"crm-{number}" for number in range(5)]
    for name in names:
        harness.add_connection(name, client)
        authorize(harness, name)
    harness.controls.change_password(ANNA)
    seen = check(harness)
    assert all(each.is_suspected for each in seen.results)
    assert "that are left in this 10-minute window" in seen.incidents[0].explanation.cause
    for name in names:
        assert harness.services.token_cache.get(name) is None
        with pytest.raises(WizardError, match="refresh-token-rejected"):
            harness.services.tokens.access_token(name)


# --- many -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_hundred_connections_are_checked_five_at_a_time_and_each_once(harness: Harness) -> None:
    names = add_connections(harness, 200)
    cache_access_tokens(harness, names)
    pause = 0.03
    harness.controls.inject_fault("slow", seconds=pause, times=1000)
    seen = Counter[str]()
    harness.controls.clear_journal()
    verdicts = harness.services.checks.check(
        names, on_result=lambda found: seen.update([found.name])
    )
    assert all(each.is_working for each in verdicts)
    assert [each.name for each in verdicts] == names
    assert seen == Counter(names)
    assert logged_requests(harness) == {"Leads": 200}
    ends = [datetime.fromisoformat(entry["at"]).timestamp() for entry in harness.controls.journal()]
    ends.sort()
    # The sixth could start only when the first had ended.
    assert all(b - a > pause * 0.9 for a, b in zip(ends, ends[MAX_PARALLEL_CHECKS:], strict=False))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["refresh_token", "client"])
def test_the_limits_are_kept_however_zoho_counts(harness: Harness, key: str) -> None:
    harness.controls.change_settings(rate_limit_key=key)
    names = add_connections(harness, 10)
    harness.controls.change_password(ANNA)

    first = check(harness)

    assert logged_requests(harness)["token"] <= 9
    assert {entry["outcome"] for entry in harness.controls.journal()} == {"invalid_code"}
    (cause,) = first.incidents
    assert cause.level is CauseLevel.ACCOUNT
    assert len(cause.names) == 8, "two requests for the first, whose rejection covers the others"
    assert sorted(cause.to_reauthorize) == names
    assert len(cause.suspected_names) == 2
    assert cause.explanation.title.startswith("10 connections")
    assert cause.explanation.title.endswith("(2 of them likely)")

    def wait(until: datetime) -> bool:
        harness.advance(seconds=(until - harness.now()).total_seconds())
        return True

    harness.controls.clear_journal()
    last = harness.services.monitoring.run_checks(wait=wait)
    assert all(each.needs_reauthorization for each in last.results)
    assert {entry["outcome"] for entry in harness.controls.journal()} == {"invalid_code"}


def test_a_check_that_must_wait_has_no_result(harness: Harness) -> None:
    names = add_connections(harness, 10)
    for _ in range(6):
        harness.services.tokens.refresh_grant(grant_of(harness, names[0]))
    found = check(harness, names[0])
    assert found.results[0].is_pending
    assert found.incidents[0].is_pending
    assert not found.is_healthy
    assert logged_requests(harness) == {}
    assert harness.services.incidents.stored() == ()


# --- what fails together --------------------------------------------------------------------------


def test_a_data_center_that_is_down_is_not_retried_and_rejects_nothing(harness: Harness) -> None:
    names = add_connections(harness, 20)
    harness.controls.inject_fault("data-center-down", location="eu", times=1000)
    found = check(harness)
    (cause,) = found.incidents
    assert cause.level is CauseLevel.DATA_CENTER
    assert cause.names == tuple(names)
    assert (cause.explanation.code, len(cause.names)) == ("data-center-unreached", 20)
    assert all(each.is_unreachable for each in found.results)
    assert sum(logged_requests(harness).values()) < len(names)
    harness.controls.clear_faults()
    harness.advance(minutes=11)
    assert check(harness, *names[:6]).is_healthy


def test_one_broken_response_is_requested_again(harness: Harness) -> None:
    names = add_connections(harness, 10)[:2]
    check(harness, *names)
    harness.controls.inject_fault("connection-closed", endpoint="Leads")
    assert check(harness, *names).is_healthy
    assert logged_requests(harness)["Leads"] == 3


def test_a_product_that_is_down_is_not_a_data_center_that_is_down(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.add_connection(
        "books", client_of(harness, "crm"), ("AaaServer.profile.READ", "ZohoBooks.settings.READ")
    )
    authorize(harness, "books")
    harness.controls.inject_fault("data-center-down", endpoint="crm/v8", times=9)
    (cause,) = check(harness).incidents
    assert cause.explanation.title == "1 connection couldn’t be reached in Europe"
    assert cause.names == ("crm",)


def test_one_check_distinguishes_a_removed_app_from_an_account_that_lost_everything(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "books")
    add_verified_connection(harness, "crm")
    harness.controls.revoke_app(ANNA, client_of(harness, "crm").client_id)
    (cause,) = check(harness).incidents
    assert {each.code for each in cause.explanation.ruled_out} >= {"password-changed"}


def test_connections_of_a_rejected_client_with_valid_tokens_are_named(harness: Harness) -> None:
    client = harness.register_client()
    for name in ("crm", "leads"):
        harness.add_connection(name, client)
        authorize(harness, name)
    harness.services.token_cache.remove("crm")
    harness.controls.rotate_secret(client.client_id)
    (cause,) = check(harness).incidents
    assert (cause.names, cause.suspected_names) == (("crm",), ("leads",))
    assert cause.access_tokens_expire_at is not None
    assert not cause.to_reauthorize


def test_concurrent_checks_do_not_exceed_the_budget_together(harness: Harness) -> None:
    names = add_connections(harness, 10)
    harness.controls.clear_journal()
    checks = [
        threading.Thread(target=harness.services.checks.check, args=([name],)) for name in names
    ]
    for each in checks:
        each.start()
    for each in checks:
        each.join()
    assert logged_requests(harness)["token"] == 9
