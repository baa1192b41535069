"""Cached access tokens: handed out, renewed early, served while Zoho is down."""

import os

from asking import current, failure, left
from core import Core

from wizard.model import GrantState


def test_a_good_token_is_handed_out_again_without_asking(core: Core) -> None:
    core.proved()
    before = len(core.refreshes())
    tokens = {core.house.broker.access_token("crm").value for _ in range(20)}
    assert len(tokens) == 1
    assert len(core.refreshes()) == before


def test_a_token_is_renewed_five_minutes_before_its_end_and_a_minute_at_most_later(
    core: Core,
) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.advance(seconds=left(core, first) - 301)
    assert core.house.broker.access_token("crm").value == first.value
    patience = os.getpid() % 61  # each process has its own, so that they do not all ask at once
    core.advance(seconds=patience + 2)
    second = core.house.broker.access_token("crm")
    assert second.value != first.value
    assert left(core, second) > 3500
    assert not second.stale


def test_a_caller_may_ask_for_more_life(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.advance(minutes=40)
    assert core.house.broker.access_token("crm").value == first.value
    assert core.house.broker.access_token("crm", min_ttl=1800).value != first.value


def test_a_fresh_token_is_made_at_most_once_a_minute(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.advance(seconds=61)
    second = core.house.broker.access_token("crm", fresh=True)
    assert second.value != first.value
    assert core.house.broker.access_token("crm", fresh=True).value == second.value


def test_while_zoho_is_down_a_token_is_served_stale_as_long_as_it_is_safe(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.admin.fault("dc-down", endpoint="oauth/v2/token", times=100)
    core.advance(seconds=left(core, first) - 200)
    served = core.house.broker.access_token("crm")
    assert served.value == first.value
    assert served.stale
    core.advance(seconds=81)
    down = failure(core)
    assert down.code == "data-centre-down"
    assert down.temporary
    core.admin.clear_faults()
    assert not core.house.broker.access_token("crm").stale
    assert current(core).state is GrantState.PROVED


def test_no_token_is_handed_out_with_less_than_two_minutes(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.advance(seconds=left(core, first) - 119)
    assert left(core, core.house.broker.access_token("crm", min_ttl=0)) > 3500


def test_a_token_whose_life_zoho_does_not_tell_is_renewed_in_its_half(core: Core) -> None:
    core.admin.change_settings(access_token_life=300)
    core.proved()
    first = core.house.broker.access_token("crm")
    assert first.renew_at is not None
    # Half, less what a slow machine's answer took: its life counts from when it was asked for.
    assert 120 < (first.expires_at - first.renew_at).total_seconds() <= 150
    assert core.house.broker.access_token("crm").value == first.value


def test_a_token_of_a_grant_that_was_replaced_meanwhile_is_not_cached(core: Core) -> None:
    late = core.proved()
    token = core.house.broker.refresh_grant(late)
    core.climb("crm", core.authorize("crm").generation or 0)
    core.house.broker.keep(late, token)
    cached = core.house.cache.get("crm")
    assert cached is not None
    assert cached.generation == current(core).generation == 2
    assert cached.value != token.access_token


def test_a_token_of_a_grant_that_died_meanwhile_is_not_cached(core: Core) -> None:
    grant = core.proved()
    token = core.house.broker.refresh_grant(grant)
    core.house.broker.revoke(grant)
    core.house.broker.keep(grant, token)
    assert core.house.cache.get("crm") is None


def test_a_connection_without_a_proved_grant_has_no_token(core: Core) -> None:
    core.connection()
    assert failure(core).code == "no-grant"
    core.authorize("crm")
    assert failure(core).code == "not-proved"
    assert failure(core, "crn").code == "unknown-connection"


def test_a_script_that_wants_a_fresh_token_a_hundred_times_a_minute_gets_one(core: Core) -> None:
    core.proved()
    core.advance(minutes=11)
    core.admin.clear_journal()
    tokens = set()
    for _ in range(100):
        tokens.add(core.house.broker.access_token("crm", fresh=True).value)
        core.advance(seconds=0.5)
    assert len(tokens) == len(core.refreshes()) == 1
