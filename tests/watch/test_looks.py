"""A look at many connections: the cheapest asks, Zoho's limits, and what fails together."""

import threading
from collections import Counter
from datetime import datetime

import pytest
from bench.place import consented, fill, live
from core import ANNA, Core
from repairing import accept
from scenes import client_of, proved

from wizard.diagnosis.patterns import Reach
from wizard.errors import WizardError
from wizard.model import Grant, GrantState, Rung
from wizard.watch import AT_ONCE, Look, Verdict


def look(core: Core, *names: str) -> Look:
    """Look at connections, by default at all."""
    core.admin.clear_journal()
    return core.house.alarm.look(names or None)


def verdict(core: Core, name: str = "crm") -> Verdict:
    return look(core, name).verdicts[0]


def asked(core: Core) -> Counter[str]:
    """What was asked of Zoho, by the last word of its path."""
    return Counter(entry["path"].rsplit("/", 1)[-1] for entry in core.admin.journal())


def grant_of(core: Core, name: str) -> Grant:
    grant = core.house.store.grant(name)
    assert grant is not None
    return grant


def many(core: Core, count: int) -> list[str]:
    """That many proved connections of anna's, ten a client, none with a living access token."""
    fill(core.house.store, *consented(core, count))
    return [each.name for each in core.house.store.connections()]


def test_what_dies_just_after_it_was_connected_is_told_together_before_it_can_be_asked(
    core: Core,
) -> None:
    client = core.client()
    for number in range(7):
        core.connection(f"crm-{number}", client)
        accept(core, f"crm-{number}")
    core.admin.change_password(ANNA)
    seen = look(core)
    assert "token" not in asked(core), "Zoho's limits are used up by connecting"
    trouble, *others = seen.troubles
    assert not others
    assert len(trouble.names) == 7
    assert trouble.email == ANNA
    assert trouble.finding.exit_code == 4
    assert trouble.finding.failure is not None
    dead = [each for each in core.house.store.unsettled() if each.grant and each.grant.failure]
    assert not dead, "no verdict has fallen"
    assert set(core.house.repairs.refused()) == set(trouble.names) == set(trouble.to_repair)
    assert trouble.finding.failure.retry_at is not None
    (stored,) = core.house.troubles.stored()
    assert stored.names == trouble.names, "the page tells the same"
    core.advance(minutes=11)
    look(core)
    assert {grant_of(core, name).state for name in trouble.names} == {GrantState.DEAD}


# --- the cheapest ask -----------------------------------------------------------------------------


def test_a_token_that_lives_is_read_with_and_no_new_one_is_made(core: Core) -> None:
    core.proved()
    assert verdict(core).works
    assert asked(core) == {"Leads": 1}


def test_without_a_living_token_one_is_made_and_programs_get_it(core: Core) -> None:
    core.proved()
    core.advance(hours=2)
    assert verdict(core).works
    assert asked(core) == {"token": 1, "Leads": 1}
    assert core.house.broker.access_token("crm").value
    assert asked(core) == {"token": 1, "Leads": 1}


def test_a_refused_token_is_witness_enough_that_one_refusal_means_death(core: Core) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    assert verdict(core).dead
    assert asked(core) == {"Leads": 1, "token": 1}


def test_a_death_leaves_what_was_proved_before_in_its_receipt(core: Core) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    verdict(core)
    receipt = core.house.store.receipt("crm")
    assert receipt is not None
    states = {rung.name: rung.state.value for rung in receipt.rungs}
    assert (states["refresh"], states["read:crm"]) == ("failed", "passed")


def test_where_no_product_can_be_read_the_accounts_server_is_asked_who_consented(
    core: Core,
) -> None:
    core.connection("crm", scope=("AaaServer.profile.READ", "ZohoSign.account.READ"))
    accept(core, "crm")
    core.admin.clear_journal()
    assert verdict(core).works
    assert asked(core) == {"info": 1}


def test_what_failed_last_time_is_asked_again(core: Core) -> None:
    core.proved()
    core.admin.fault("dc-down", endpoint="crm/v8/org", times=2)
    assert not core.house.looks.at(["crm"], whole=True)[0].works
    assert verdict(core).works
    assert asked(core) == {"org": 1, "Leads": 1}
    assert verdict(core).works
    assert asked(core) == {"Leads": 1}


def test_a_refusal_of_the_client_is_not_forgotten_while_a_token_lives(core: Core) -> None:
    client = core.client()
    core.connection("crm", client)
    accept(core, "crm")
    secret = core.admin.rotate_secret(client.client_id)
    found = core.house.looks.at(["crm"], whole=True)[0]
    assert found.failure is not None
    assert found.failure.code == "invalid-client-secret"
    again = verdict(core)
    assert again.failure is not None
    assert again.failure.code == "invalid-client-secret"
    core.house.store.set_secret(client.client_id, "eu", secret)
    assert verdict(core).works


def test_a_verdict_is_about_the_generation_that_is_in_use_when_it_falls(core: Core) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    seen = []

    def authorize_meanwhile(_name: str, rung: Rung) -> None:
        if not seen:
            seen.append(rung)
            done = core.authorize("crm")
            core.house.store.prove_grant("crm", done.generation or 0, 1)

    (found,) = core.house.looks.at(["crm"], see=authorize_meanwhile)
    assert seen[0].state == "failed"
    assert found.works
    assert found.grant is not None
    assert found.grant.generation == 2
    assert grant_of(core, "crm").state is GrantState.PROVED


def end_token(core: Core, name: str = "crm") -> str:
    """End the access token of a connection at Zoho, and nothing else."""
    value = core.house.broker.access_token(name).value
    world = core.sandbox.world
    token = world.access_token(value, "eu")
    assert token is not None
    world.grants.end(token, "revoked")
    return value


def test_a_token_that_a_check_saw_rejected_is_handed_out_by_nobody(core: Core) -> None:
    grant = core.proved()
    for _ in range(5):
        core.house.broker.refresh_grant(grant)
    rejected = end_token(core)
    assert verdict(core).suspected
    assert asked(core) == {"Leads": 1}
    assert verdict(core).suspected, "it is still known when it is no longer asked with"
    assert asked(core) == {}
    replaced = core.house.broker.access_token("crm").value
    assert replaced != rejected
    assert verdict(core).works
    core.advance(seconds=61)
    end_token(core)
    assert verdict(core).suspected
    with pytest.raises(WizardError) as error:
        core.house.broker.access_token("crm")
    assert error.value.failure.code == "token-budget"
    assert error.value.failure.retry_at is not None


def test_a_check_replaces_a_rejected_token_at_most_once_a_minute_with_everybody_else(
    core: Core,
) -> None:
    core.proved()
    core.house.broker.access_token("crm", rejected=end_token(core))
    end_token(core)
    assert verdict(core).suspected
    assert asked(core) == {"Leads": 1}
    core.advance(seconds=61)
    assert verdict(core).works
    rejected = end_token(core)
    with pytest.raises(WizardError, match="token-rejected"):
        core.house.broker.access_token("crm", rejected=rejected)


def test_tokens_that_died_together_are_not_handed_out_while_the_limits_are_used_up(
    core: Core,
) -> None:
    client = core.client()
    names = [f"crm-{number}" for number in range(5)]
    for name in names:
        core.connection(name, client)
        accept(core, name)
    core.admin.change_password(ANNA)
    seen = look(core)
    assert all(each.suspected for each in seen.verdicts)
    for name in names:
        assert core.house.cache.get(name) is None
        with pytest.raises(WizardError, match="grant-dead"):
            core.house.broker.access_token(name)


# --- many -----------------------------------------------------------------------------------------


def test_two_hundred_are_looked_at_five_at_once_and_each_asked_once(core: Core) -> None:
    names = many(core, 200)
    live(core, names)
    pause = 0.03
    core.admin.fault("slow", seconds=pause, times=1000)
    seen = Counter[str]()
    core.admin.clear_journal()
    verdicts = core.house.looks.at(names, told=lambda found: seen.update([found.name]))
    assert all(each.works for each in verdicts)
    assert [each.name for each in verdicts] == names
    assert seen == Counter(names)
    assert asked(core) == {"Leads": 200}
    ends = [datetime.fromisoformat(entry["at"]).timestamp() for entry in core.admin.journal()]
    ends.sort()
    # The sixth could only begin when the first had ended.
    assert all(b - a > pause * 0.9 for a, b in zip(ends, ends[AT_ONCE:], strict=False))


@pytest.mark.parametrize("key", ["refresh_token", "client"])
def test_the_limits_are_kept_whichever_way_zoho_counts(core: Core, key: str) -> None:
    core.admin.change_settings(throttle_key=key)
    names = many(core, 10)
    core.admin.change_password(ANNA)

    first = look(core)

    assert asked(core)["token"] <= 9
    assert {entry["outcome"] for entry in core.admin.journal()} == {"invalid_code"}
    (cause,) = first.troubles
    assert cause.reach is Reach.ACCOUNT
    assert len(cause.names) == 8, "two asks for the first, whose death then speaks for the others"
    assert sorted(cause.to_repair) == names
    assert len(cause.suspects) == 2

    def wait(until: datetime) -> bool:
        core.advance(seconds=(until - core.now()).total_seconds())
        return True

    core.admin.clear_journal()
    last = core.house.alarm.look(wait=wait)
    assert all(each.dead for each in last.verdicts)
    assert {entry["outcome"] for entry in core.admin.journal()} == {"invalid_code"}


def test_what_cannot_be_asked_yet_is_no_verdict(core: Core) -> None:
    names = many(core, 10)
    for _ in range(6):
        core.house.broker.refresh_grant(grant_of(core, names[0]))
    found = look(core, names[0])
    assert found.verdicts[0].open
    assert found.troubles[0].open
    assert not found.well
    assert asked(core) == {}
    assert core.house.troubles.stored() == ()


# --- what fails together --------------------------------------------------------------------------


def test_a_data_centre_that_is_down_is_left_alone_and_nothing_is_dead(core: Core) -> None:
    names = many(core, 20)
    core.admin.fault("dc-down", location="eu", times=1000)
    found = look(core)
    (cause,) = found.troubles
    assert cause.reach is Reach.DATA_CENTRE
    assert cause.names == tuple(names)
    assert cause.finding.title == "Europe could not be reached: 20 connections wait"
    assert all(each.unreached for each in found.verdicts)
    assert sum(asked(core).values()) < len(names)
    core.admin.clear_faults()
    core.advance(minutes=11)
    assert look(core, *names[:6]).well


def test_one_answer_that_broke_is_asked_for_again(core: Core) -> None:
    names = many(core, 10)[:2]
    look(core, *names)
    core.admin.fault("cut", endpoint="Leads")
    assert look(core, *names).well
    assert asked(core)["Leads"] == 3


def test_a_product_that_does_not_answer_is_not_a_data_centre_that_is_down(core: Core) -> None:
    proved(core, "crm")
    core.connection(
        "books", client_of(core, "crm"), ("AaaServer.profile.READ", "ZohoBooks.settings.READ")
    )
    accept(core, "books")
    core.admin.fault("dc-down", endpoint="crm/v8", times=9)
    (cause,) = look(core).troubles
    assert cause.finding.title == "1 connection in Europe could not be reached"
    assert cause.names == ("crm",)


def test_one_look_tells_an_app_that_was_removed_from_an_account_that_lost_all(core: Core) -> None:
    proved(core, "books")
    proved(core, "crm")
    core.admin.revoke_app(ANNA, client_of(core, "crm").client_id)
    (cause,) = look(core).troubles
    assert {each.code for each in cause.finding.ruled_out} >= {"password-changed"}


def test_those_with_a_refused_client_who_go_on_for_now_are_named(core: Core) -> None:
    client = core.client()
    for name in ("crm", "leads"):
        core.connection(name, client)
        accept(core, name)
    core.house.cache.drop("crm")
    core.admin.rotate_secret(client.client_id)
    (cause,) = look(core).troubles
    assert (cause.names, cause.suspects) == (("crm",), ("leads",))
    assert cause.tokens_until is not None
    assert not cause.to_repair


def test_threads_that_look_at_once_do_not_pass_the_budget_together(core: Core) -> None:
    names = many(core, 10)
    core.admin.clear_journal()
    looks = [threading.Thread(target=core.house.looks.at, args=([name],)) for name in names]
    for each in looks:
        each.start()
    for each in looks:
        each.join()
    assert asked(core)["token"] == 9
