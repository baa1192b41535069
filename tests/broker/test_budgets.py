"""The ledger of every ask, and the budgets that stay below Zoho's limits."""

from dataclasses import replace
from datetime import timedelta

import pytest
from asking import current, failure
from core import Core

from wizard.broker import Ledger
from wizard.broker.budgets import lead
from wizard.errors import WizardError
from wizard.house import House
from wizard.model import Ask, AskKind, Failure


def test_a_grant_is_refreshed_at_most_six_times_in_ten_minutes(core: Core) -> None:
    core.proved()
    made = 1
    while made < 6:
        core.house.cache.drop("crm")
        core.house.broker.access_token("crm")
        made += 1
    core.house.cache.drop("crm")
    spent = failure(core)
    assert spent.code == "token-budget"
    assert spent.temporary
    assert spent.retry_at is not None
    assert len(core.refreshes()) == 6
    core.advance(seconds=(spent.retry_at - core.now()).total_seconds() + 1)
    assert core.house.broker.access_token("crm").value


def test_a_throttle_cools_down_even_after_a_restart(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    throttled = failure(core)
    assert throttled.code == "throttled"
    core.admin.clear_journal()
    with (
        House.open(core.house.settings, core.house.clock) as reopened,
        pytest.raises(WizardError) as error,
    ):
        reopened.broker.access_token("crm")
    assert error.value.failure.code == "throttled"
    assert error.value.failure.retry_at is not None
    assert core.refreshes() == []
    core.advance(minutes=10, seconds=1)
    assert core.house.broker.access_token("crm").value


def test_once_throttled_the_requests_of_a_client_are_counted_together(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    failure(core)
    core.advance(minutes=10, seconds=1)
    client = core.house.store.clients()[0]
    for name in ("two", "three"):
        core.connection(name, client)
        core.authorize(name)
        core.climb(name, 1)
    asked = 4
    while asked < 8:
        name = ("two", "three")[asked % 2]
        core.house.cache.drop(name)
        core.house.broker.access_token(name)
        asked += 1
    core.house.cache.drop("crm")
    assert failure(core).code == "token-budget"


def test_a_ninth_consent_in_ten_minutes_is_not_begun(core: Core) -> None:
    core.connection()
    for _ in range(8):
        core.house.authorization.begin("crm")
    with pytest.raises(WizardError) as error:
        core.house.authorization.begin("crm")
    assert error.value.failure.code == "codes-budget"
    assert error.value.failure.retry_at is not None
    assert len(core.house.store.attempts("crm")) == 8
    core.advance(minutes=10, seconds=1)
    assert core.house.authorization.begin("crm")


def test_the_eighteenth_refresh_token_of_a_user_is_the_last_unless_forced(core: Core) -> None:
    core.proved()
    for generation in range(2, 19):
        core.advance(minutes=2)
        done = core.authorize("crm")
        assert done.generation == generation
        if generation == 2:
            core.climb("crm", generation)
        core.house.store.describe_grant("crm", generation, current(core).account, ())
    view = core.house.broker.ledger("crm")
    assert view.refresh_tokens == 18
    assert view.warning
    (caution,) = core.house.cautions.of("crm")
    assert caution.title == "18 of the 20 refresh tokens that Zoho keeps are used"
    core.advance(minutes=10)
    with pytest.raises(WizardError, match="refresh-tokens-budget"):
        core.house.authorization.begin("crm")
    assert core.house.authorization.begin("crm", force=True)


def test_every_ask_is_in_the_ledger_with_its_outcome(core: Core) -> None:
    grant = core.proved()
    core.house.cache.drop("crm")
    core.admin.fault("garbage", endpoint="oauth/v2/token")
    failure(core)
    core.house.broker.revoke(grant)
    since = core.now() - timedelta(hours=1)
    asks = [(ask.kind, ask.outcome) for ask in reversed(core.house.store.asks(since=since))]
    assert asks == [
        (AskKind.PREFLIGHT, "known-here"),
        (AskKind.PREFLIGHT, "valid"),
        (AskKind.CODE, "ok"),
        (AskKind.EXCHANGE, "ok"),
        (AskKind.REFRESH, "ok"),
        (AskKind.REFRESH, "not-json"),
        (AskKind.REVOKE, "ok"),
    ]
    view = core.house.broker.ledger("crm")
    assert view.token_requests_left == 4
    assert view.codes_left == 7


def test_an_ask_that_was_certainly_not_sent_is_tried_again_and_costs_nothing(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.sandbox.stop()
    refused = failure(core)
    assert refused.temporary
    assert not refused.sent
    outcomes = [ask.outcome for ask in core.house.broker.ledger("crm").asks]
    assert outcomes[:3] == ["not-sent"] * 3
    assert core.house.broker.ledger("crm").token_requests_left == 5


def test_forgetting_a_connection_leaves_neither_grant_nor_cached_token(core: Core) -> None:
    core.proved()
    core.house.broker.forget("crm")
    assert core.house.cache.get("crm") is None
    assert failure(core).code == "unknown-connection"


def test_a_refresh_that_nobody_needs_fits_whichever_way_zoho_counts(core: Core) -> None:
    core.proved()  # two pre-flights, an exchange and a refresh
    core.connection("two", core.house.store.clients()[0])
    core.climb("two", core.authorize("two").generation or 0)
    core.advance(seconds=61)
    assert failure(core, fresh=True).code == "client-budget"
    assert core.house.broker.access_token("crm").value
    view = core.house.broker.ledger("crm")
    assert (view.token_requests_left, view.spare_left) == (5, 0)
    core.house.cache.drop("crm")
    assert core.house.broker.access_token("crm").value  # needed: its own budget decides


def test_a_throttle_is_in_the_history_and_in_the_ledger_of_every_connection(core: Core) -> None:
    core.proved()
    core.connection("two", core.house.store.clients()[0])
    core.climb("two", core.authorize("two").generation or 0)
    assert not core.house.broker.ledger("two").counted_by_client
    core.house.cache.drop("crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    failure(core)
    view = core.house.broker.ledger("two")
    assert view.counted_by_client
    assert view.client_requests_left == 1
    assert view.next_free_at is not None
    assert core.house.store.history("crm")[0].kind == "counted-by-client"
    core.advance(hours=24, seconds=1)
    assert not core.house.broker.ledger("two").counted_by_client


def test_the_renewals_of_a_client_that_is_counted_as_one_are_spread(core: Core) -> None:
    grant = core.proved()
    names = [f"connection-{number}" for number in range(40)]
    grants = [replace(grant, connection=name) for name in names]
    throttle = Ask(AskKind.REFRESH, core.now(), "eu", grant.client_id, outcome="throttled")
    assert {lead([], each, 3600).total_seconds() for each in grants} == {300}
    leads = sorted(lead([throttle], each, 3600).total_seconds() for each in grants)
    assert 300 <= leads[0] < leads[-1] <= 1800
    windows = [sum(start <= each < start + 600 for each in leads) for start in leads]
    assert max(windows) <= 25  # of forty that would all have come at once


def test_a_counted_clients_next_token_is_renewed_at_its_own_time(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    failure(core)
    core.advance(minutes=10, seconds=1)
    token = core.house.broker.access_token("crm")
    assert token.renew_at is not None
    expected = lead(
        core.house.store.asks(since=core.now() - timedelta(days=1)), current(core), 3600
    )
    assert abs((token.expires_at - token.renew_at) - expected) < timedelta(seconds=1)
    assert expected > timedelta(seconds=300)


def test_twelve_connections_of_a_counted_client_go_on_for_hours_within_its_limit(
    core: Core,
) -> None:
    core.admin.change_settings(throttle_key="client")
    client, names = core.client(), [f"connection-{number}" for number in range(12)]
    for name in names:
        core.advance(minutes=3)
        core.connection(name, client)
        core.climb(name, core.authorize(name).generation or 0)
    core.house.cache.drop(names[0])
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    assert failure(core, names[0]).code == "throttled"
    core.admin.clear_journal()
    for _ in range(3 * 3600 // 150):
        core.advance(seconds=150)
        for name in names[1:]:
            token = core.house.broker.access_token(name).value
            assert core.sandbox.world.access_token(token, "eu")
    assert {entry["outcome"] for entry in core.refreshes()} == {"ok"}
    assert core.house.broker.access_token(names[0]).value


def test_what_zoho_answered_is_not_lost_where_it_cannot_be_written_down(core: Core) -> None:
    core.connection()

    def answer() -> str:
        with core.house.store.database.write() as c:
            c.exec_driver_sql("DELETE FROM asks")
        return "a token"

    ask = Ask(AskKind.REFRESH, core.now(), "eu", "1000.X", "crm", 1)
    assert Ledger(core.house.store, core.house.clock).record(ask, answer) == "a token"


def test_a_certificate_that_is_not_trusted_is_not_tried_again(core: Core) -> None:
    tried = []

    def refuse() -> None:
        tried.append(core.now())
        raise WizardError(Failure("network-tls", temporary=True, sent=False))

    ask = Ask(AskKind.REFRESH, core.now(), "eu", "1000.X", "crm", 1)
    with pytest.raises(WizardError, match="network-tls"):
        Ledger(core.house.store, core.house.clock).record(ask, refuse)
    assert len(tried) == 1
