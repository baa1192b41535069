"""A wait that the server names: obeyed for an hour at most, and set aside by a person, once."""

from datetime import timedelta

import pytest
from asking import current, failure
from core import Core
from shell import Shell
from visiting import Visitor

from wizard.broker import Need
from wizard.model import RungState
from wizard.web import LaunchTokens, create_app
from wizard.zoho import limits

TOKEN = "oauth/v2/token"
YEAR_2999 = "Wed, 01 Jan 2999 00:00:00 GMT"
OFFER = "Ask once in spite of the wait"
FAULTS = {"throttle": "throttled", "dc-down": "data-centre-down"}


def locked_out(core: Core, kind: str = "throttle", named: str = YEAR_2999) -> Core:
    """A proved connection without a cached token, of whose client Zoho wants to hear nothing."""
    core.proved()
    core.advance(minutes=11)  # so that the budget is whole
    core.house.cache.drop("crm")
    core.admin.fault(kind, endpoint=TOKEN, retry_after=named)
    assert failure(core).code == FAULTS[kind]
    core.admin.clear_faults()
    core.admin.clear_journal()
    return core


def insisted(core: Core) -> str:
    """Check the connection although Zoho wants to be left alone; the code of what failed."""
    [verdict] = core.house.looks.at(["crm"], need=Need.INSISTED)
    return verdict.failure.code if verdict.failure else ""


@pytest.mark.parametrize("kind", FAULTS)
def test_a_wait_until_the_year_2999_ends_after_an_hour(core: Core, kind: str) -> None:
    locked_out(core, kind)
    told = failure(core)
    assert told.retry_at is not None
    assert told.retry_at - core.now() <= timedelta(hours=1)
    core.advance(minutes=61)
    assert core.house.broker.access_token("crm").value


@pytest.mark.parametrize("kind", FAULTS)
def test_a_person_has_it_asked_once_and_a_good_answer_ends_the_wait_for_all(
    core: Core, kind: str
) -> None:
    locked_out(core, kind)
    assert insisted(core) == ""
    assert len(core.refreshes()) == 1
    core.house.cache.drop("crm")
    assert core.house.broker.access_token("crm").value
    noted = [each.kind for each in core.house.store.history("crm")]
    assert noted.count("wait-ignored") == 1


def test_a_person_has_it_asked_once_even_where_it_fails_on_the_way(core: Core) -> None:
    locked_out(core)
    core.admin.fault("dc-down", endpoint=TOKEN, times=9)
    [verdict] = core.house.looks.at(["crm"], need=Need.INSISTED)
    assert verdict.failure is not None
    assert verdict.failure.code == "data-centre-down"
    assert len([e for e in core.admin.journal() if e["path"].endswith(TOKEN)]) == 1
    asked = [ask.outcome for ask in core.house.broker.ledger("crm").asks]
    assert asked.count("data-centre-down") == 1
    assert failure(core).code == "throttled"


def test_nobody_is_asked_beyond_our_own_budget(core: Core) -> None:
    locked_out(core)
    core.admin.fault("throttle", endpoint=TOKEN, times=99, retry_after="3600")
    codes = [insisted(core) for _ in range(9)]
    left = core.house.broker.ledger("crm").token_requests_left
    assert left == 0
    assert codes == ["throttled"] * 5 + ["token-budget"] * 4


def test_a_dead_grant_is_found_dead_in_spite_of_the_wait(core: Core) -> None:
    locked_out(core)
    core.admin.change_password("anna@zylker.example")
    assert insisted(core) == "grant-dead"
    assert [each["outcome"] for each in core.refreshes()] == ["invalid_code"] * 2


def test_the_command_asks_about_one_connection_in_spite_of_the_wait(
    shell: Shell, stored: Core
) -> None:
    locked_out(stored)
    held = shell.run("check", "crm")
    assert held.code == 4
    assert "zoho-wizard check crm --ignore-wait" in held.err
    assert shell.run("check", "--ignore-wait").code == 2
    assert shell.run("check", "--all", "--ignore-wait").code == 2
    assert stored.refreshes() == []
    done = shell.run("check", "crm", "--ignore-wait")
    assert (done.code, len(stored.refreshes())) == (0, 1)
    assert "had it asked once in spite of that" in shell.run("show", "crm").out
    assert shell.run("token", "crm").code == 0


def signed_in(core: Core) -> Visitor:
    """A browser that is signed in to the pages of this house."""
    launch = LaunchTokens()
    visitor = Visitor(create_app(core.house, launch=launch).test_client(), core.house, launch)
    visitor.sign_in()
    return visitor


def test_the_page_offers_a_consent_in_spite_of_the_wait_within_the_budget(core: Core) -> None:
    visitor = signed_in(locked_out(core))
    held = visitor.send("/connections/crm/authorize")
    assert (held.status_code, "Go on all the same" in held.text) == (503, True)
    for _ in range(limits().codes_budget):
        assert visitor.send("/connections/crm/authorize", force="yes").status_code == 303
        core.advance(seconds=1)
    assert visitor.send("/connections/crm/authorize", force="yes").status_code == 503


def test_the_page_offers_to_ask_in_spite_of_the_wait(core: Core) -> None:
    locked_out(core)
    grant = current(core)
    assert [rung.state for rung in core.climb("crm", grant.generation)] == [RungState.FAILED]
    visitor = signed_in(core)
    assert OFFER in visitor.get("/connections/crm").text
    assert visitor.send("/connections/crm/prove").status_code == 303
    core.house.climber.stop()
    assert core.refreshes() == []
    assert visitor.send("/connections/crm/prove", **{"ignore-wait": "yes"}).status_code == 303
    core.house.climber.stop()
    assert len(core.refreshes()) == 1
    assert OFFER not in visitor.get("/connections/crm").text
