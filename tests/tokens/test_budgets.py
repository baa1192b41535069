"""The log of every request, and the budgets that stay below Zoho's limits."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.harness import Harness
from support.records import attempts_of
from support.tokens import current_grant, token_failure

from wizard.errors import WizardError
from wizard.model import Failure, RequestKind, TokenRequest
from wizard.services import Services
from wizard.tokens.budgets import refresh_lead_time
from wizard.tokens.request_log import RequestLog


def test_a_grant_is_refreshed_at_most_six_times_in_ten_minutes(harness: Harness) -> None:
    harness.add_verified_connection()
    made = 1
    while made < 6:
        harness.services.token_cache.remove("crm")
        harness.services.tokens.access_token("crm")
        made += 1
    harness.services.token_cache.remove("crm")
    spent = token_failure(harness)
    assert spent.code == "token-budget"
    assert spent.temporary
    assert spent.retry_at is not None
    assert len(harness.refresh_requests()) == 6
    harness.advance(seconds=(spent.retry_at - harness.now()).total_seconds() + 1)
    assert harness.services.tokens.access_token("crm").value


def test_a_rate_limit_is_waited_out_even_after_a_restart(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    rate_limited = token_failure(harness)
    assert rate_limited.code == "throttled"
    harness.controls.clear_journal()
    with (
        Services.open(harness.services.settings, harness.services.clock) as reopened,
        pytest.raises(WizardError) as error,
    ):
        reopened.tokens.access_token("crm")
    assert error.value.failure.code == "throttled"
    assert error.value.failure.retry_at is not None
    assert harness.refresh_requests() == []
    harness.advance(minutes=10, seconds=1)
    assert harness.services.tokens.access_token("crm").value


def test_after_a_rate_limit_the_requests_of_a_client_are_counted_together(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    token_failure(harness)
    harness.advance(minutes=10, seconds=1)
    client = harness.services.store.clients.all()[0]
    for name in ("two", "three"):
        harness.add_connection(name, client)
        harness.authorize(name)
        harness.verify(name, 1)
    asked = 4
    while asked < 8:
        name = ("two", "three")[asked % 2]
        harness.services.token_cache.remove(name)
        harness.services.tokens.access_token(name)
        asked += 1
    harness.services.token_cache.remove("crm")
    assert token_failure(harness).code == "token-budget"


def test_a_ninth_consent_in_ten_minutes_does_not_start(harness: Harness) -> None:
    harness.add_connection()
    for _ in range(8):
        harness.services.authorization.begin("crm")
    with pytest.raises(WizardError) as error:
        harness.services.authorization.begin("crm")
    assert error.value.failure.code == "codes-budget"
    assert error.value.failure.retry_at is not None
    assert len(attempts_of(harness.services.store, "crm")) == 8
    harness.advance(minutes=10, seconds=1)
    assert harness.services.authorization.begin("crm")


@pytest.mark.slow
def test_the_eighteenth_refresh_token_of_a_user_is_the_last_unless_forced(harness: Harness) -> None:
    harness.add_verified_connection()
    for generation in range(2, 19):
        harness.advance(minutes=2)
        done = harness.authorize("crm")
        assert done.generation == generation
        if generation == 2:
            harness.verify("crm", generation)
        harness.services.store.grants.set_account(
            "crm", generation, current_grant(harness).account, ()
        )
    view = harness.services.request_log.view("crm")
    assert view.refresh_token_count == 18
    assert view.is_near_refresh_token_limit
    (caution,) = harness.services.cautions.of_connection("crm")
    assert caution.title == "18 of 20 refresh tokens for this account and client are in use"
    harness.advance(minutes=10)
    with pytest.raises(WizardError, match="refresh-tokens-budget"):
        harness.services.authorization.begin("crm")
    assert harness.services.authorization.begin("crm", force=True)


def test_every_request_is_in_the_request_log_with_its_outcome(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("html-page", endpoint="oauth/v2/token")
    token_failure(harness)
    harness.services.tokens.revoke(grant)
    since = harness.now() - timedelta(hours=1)
    requests = [
        (ask.kind, ask.outcome)
        for ask in reversed(harness.services.store.request_log.requests(since=since))
    ]
    assert requests == [
        (RequestKind.PREFLIGHT, "known-here"),
        (RequestKind.PREFLIGHT, "valid"),
        (RequestKind.AUTHORIZATION, "ok"),
        (RequestKind.CODE_EXCHANGE, "ok"),
        (RequestKind.REFRESH, "ok"),
        (RequestKind.REFRESH, "not-json"),
        (RequestKind.REVOCATION, "ok"),
    ]
    view = harness.services.request_log.view("crm")
    assert view.token_requests_left == 4
    assert view.authorizations_left == 7


def test_a_request_certainly_not_sent_is_tried_again_and_costs_nothing(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.simulator.stop()
    refused = token_failure(harness)
    assert refused.temporary
    assert not refused.sent
    outcomes = [ask.outcome for ask in harness.services.request_log.view("crm").requests]
    assert outcomes[:3] == ["not-sent"] * 3
    assert harness.services.request_log.view("crm").token_requests_left == 5


def test_removing_a_connection_leaves_neither_grant_nor_cached_token(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.tokens.remove_connection("crm")
    assert harness.services.token_cache.get("crm") is None
    assert token_failure(harness).code == "unknown-connection"


def test_an_optional_refresh_fits_the_limit_however_zoho_counts(harness: Harness) -> None:
    harness.add_verified_connection()  # two client checks, an exchange and a refresh
    harness.add_connection("two", harness.services.store.clients.all()[0])
    harness.verify("two", harness.authorize("two").generation or 0)
    harness.advance(seconds=61)
    assert token_failure(harness, force_refresh=True).code == "client-budget"
    assert harness.services.tokens.access_token("crm").value
    view = harness.services.request_log.view("crm")
    assert (view.token_requests_left, view.deferrable_requests_left) == (5, 0)
    harness.services.token_cache.remove("crm")
    assert harness.services.tokens.access_token("crm").value  # required: its own budget decides


@pytest.mark.slow
def test_a_rate_limit_is_in_the_history_and_in_the_request_log_of_every_connection(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.add_connection("two", harness.services.store.clients.all()[0])
    harness.verify("two", harness.authorize("two").generation or 0)
    assert not harness.services.request_log.view("two").is_counted_by_client
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    token_failure(harness)
    view = harness.services.request_log.view("two")
    assert view.is_counted_by_client
    assert view.client_requests_left == 1
    assert view.next_request_at is not None
    assert harness.services.store.events.of_connection("crm")[0].kind == "counted-by-client"
    harness.advance(hours=24, seconds=1)
    assert not harness.services.request_log.view("two").is_counted_by_client


def test_refreshes_of_a_client_counted_as_one_are_spread(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    names = [f"connection-{number}" for number in range(40)]
    grants = [replace(grant, connection=name) for name in names]
    rate_limit = TokenRequest(
        RequestKind.REFRESH, harness.now(), "eu", grant.client_id, outcome="throttled"
    )
    assert {refresh_lead_time([], each, 3600).total_seconds() for each in grants} == {300}
    leads = sorted(refresh_lead_time([rate_limit], each, 3600).total_seconds() for each in grants)
    assert 300 <= leads[0] < leads[-1] <= 1800
    windows = [sum(start <= each < start + 600 for each in leads) for start in leads]
    assert max(windows) <= 25  # of forty that would otherwise come at once


def test_the_next_token_of_a_client_counted_as_one_is_refreshed_at_its_own_time(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    token_failure(harness)
    harness.advance(minutes=10, seconds=1)
    token = harness.services.tokens.access_token("crm")
    assert token.refresh_at is not None
    expected = refresh_lead_time(
        harness.services.store.request_log.requests(since=harness.now() - timedelta(days=1)),
        current_grant(harness),
        3600,
    )
    assert abs((token.expires_at - token.refresh_at) - expected) < timedelta(seconds=1)
    assert expected > timedelta(seconds=300)


@pytest.mark.slow
def test_twelve_connections_of_a_client_counted_as_one_run_for_hours_within_its_limit(
    harness: Harness,
) -> None:
    harness.controls.change_settings(rate_limit_key="client")
    client, names = harness.register_client(), [f"connection-{number}" for number in range(12)]
    for name in names:
        harness.advance(minutes=3)
        harness.add_connection(name, client)
        harness.verify(name, harness.authorize(name).generation or 0)
    harness.services.token_cache.remove(names[0])
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    assert token_failure(harness, names[0]).code == "throttled"
    harness.controls.clear_journal()
    for _ in range(3 * 3600 // 150):
        harness.advance(seconds=150)
        for name in names[1:]:
            token = harness.services.tokens.access_token(name).value
            assert harness.simulator.world.access_token(token, "eu")
    assert {entry["outcome"] for entry in harness.refresh_requests()} == {"ok"}
    assert harness.services.tokens.access_token(names[0]).value


def test_a_response_from_zoho_is_not_lost_if_it_cannot_be_stored(harness: Harness) -> None:
    harness.add_connection()

    def answer() -> str:
        with harness.services.store.database.write() as c:
            c.exec_driver_sql("DELETE FROM token_requests")
        return "a token"

    ask = TokenRequest(RequestKind.REFRESH, harness.now(), "eu", "1000.X", "crm", 1)
    assert RequestLog(harness.services.store, harness.services.clock).run(ask, answer) == "a token"


def test_an_untrusted_certificate_is_not_tried_again(harness: Harness) -> None:
    tried = []

    def refuse() -> None:
        tried.append(harness.now())
        raise WizardError(Failure("network-tls", temporary=True, sent=False))

    ask = TokenRequest(RequestKind.REFRESH, harness.now(), "eu", "1000.X", "crm", 1)
    with pytest.raises(WizardError, match="network-tls"):
        RequestLog(harness.services.store, harness.services.clock).run(ask, refuse)
    assert len(tried) == 1
