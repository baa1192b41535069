"""Why a refresh token died: each cause made to happen, and judged by what anybody can see of it."""

import re
from collections.abc import Callable

import pytest
from core import ANNA, CARLA, PRODUCTION, Core
from scenes import client_of, codes, diagnosed, notice, proved, told
from worlds.deaths import (
    DEATHS,
    change_password,
    deactivate,
    evict,
    forget_password,
    remove_app,
    remove_both_apps,
    reset_by_administrator,
    revoke,
    revoke_both,
)

from wizard.model import Confidence, GrantState

CERTAIN, LIKELY = Confidence.CERTAIN, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT

OF_THE_ACCOUNT, OF_THE_CLIENT = (change_password, deactivate), (remove_app, evict, revoke)
Death = Callable[[Core], None]


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_that_nobody_else_saw_is_told_without_a_guess(core: Core, death: Death) -> None:
    proved(core, "crm")
    death(core)
    notice(core, "crm")
    found = diagnosed(core, most=0)
    assert found.failure_class == "refresh-token-refused"
    assert codes(found, POSSIBLE) == {
        "password-changed",
        "app-removed",
        "refresh-token-evicted",
        "user-deactivated",
        "token-revoked-elsewhere",
    }
    assert not codes(found, CERTAIN) | codes(found, LIKELY)
    assert f"change the password of {ANNA}, deactivate that user, or remove" in found.question
    assert found.steps[0].command == "zoho-wizard reauthorize crm"


@pytest.mark.parametrize(
    ("deaths", "beside", "same_client"),
    [
        (DEATHS, (), ()),
        ((*OF_THE_ACCOUNT, remove_both_apps), ("books",), ()),
        (OF_THE_CLIENT, ("books",), ()),
        ((remove_app, revoke_both), ("books",), ("leads",)),
        (OF_THE_ACCOUNT, ("books", "desk"), ()),
    ],
)
def test_worlds_that_differ_in_nothing_visible_get_the_same_finding(
    core: Core, deaths: tuple[Death, ...], beside: tuple[str, ...], same_client: tuple[str, ...]
) -> None:
    said = []
    for death in deaths:
        for name in (*beside, "crm"):
            proved(core, name)
        for name in same_client:
            proved(core, name, client_of(core, "crm"))
        death(core)
        notice(core, "crm")
        found = told(diagnosed(core))
        # The question says since when, which is all that differs.
        question = re.sub(r"(?i)since [^:?]+(?::\d\d)?", "", str(found["question"]))
        said.append({**found, "question": question})
        core.admin.deactivate_user(ANNA, deactivated=False)
        core.advance(hours=1)
        for name in (*beside, "crm", *same_client):
            core.house.broker.forget(name)
    assert all(each == said[0] for each in said)


@pytest.mark.parametrize("death", [*OF_THE_ACCOUNT, forget_password, reset_by_administrator])
def test_of_two_clients_that_died_together_the_account_is_asked_about_first(
    core: Core, death: Death
) -> None:
    proved(core, "crm")
    proved(core, "books")
    death(core)
    notice(core, "crm", "books")
    found = diagnosed(core)
    assert [each.code for each in found.causes][:2] == ["password-changed", "user-deactivated"]
    assert found.causes[0].evidence_for == ("At the same time died, of this account: books.",)
    assert "untick" in found.causes[0].remedy
    assert not codes(found, CERTAIN) | codes(found, LIKELY), "two may have met by chance"
    assert found.question


@pytest.mark.parametrize("death", OF_THE_ACCOUNT)
def test_three_clients_that_died_together_make_likely_what_ends_an_account(
    core: Core, death: Death
) -> None:
    for name in ("crm", "books", "desk"):
        proved(core, name)
    death(core)
    notice(core, "crm", "books", "desk")
    found = diagnosed(core)
    assert codes(found, LIKELY) == {"password-changed", "user-deactivated"}
    assert found.causes[0].code == "password-changed", "the commonest comes first"
    assert "deactivate that user" in found.question, "and the other is asked about"


def test_three_clients_that_died_at_different_times_are_no_pattern(core: Core) -> None:
    for name in ("books", "desk", "crm"):
        proved(core, name)
    for name in ("books", "desk", "crm"):
        core.admin.revoke_app(ANNA, client_of(core, name).client_id)
        notice(core, name)
        core.advance(hours=2)
        for other in ("desk", "crm"):
            grant = core.house.store.grant(other)
            assert grant is not None
            if grant.state is GrantState.PROVED:
                core.climb(other, grant.generation)
    found = diagnosed(core)
    assert not codes(found, LIKELY)


@pytest.mark.parametrize("replaced", ["forgot_password", "admin_reset"])
def test_a_password_that_is_replaced_without_the_box_ends_nothing(
    core: Core, replaced: str
) -> None:
    grant = proved(core, "crm")
    getattr(core.admin, replaced)(ANNA)
    core.advance(hours=1)
    assert [rung.failure for rung in core.climb("crm", grant.generation)] == [None] * 6


def test_a_relative_that_has_not_been_heard_of_is_asked_and_found_dead(core: Core) -> None:
    proved(core, "crm")
    proved(core, "books")
    change_password(core)
    notice(core, "crm")
    found = diagnosed(core)
    assert "books" in found.causes[0].evidence_for[0]
    books = core.house.store.grant("books")
    assert books is not None
    assert books.state is GrantState.DEAD


@pytest.mark.parametrize("death", OF_THE_CLIENT)
def test_another_client_that_lives_on_rules_the_password_out(core: Core, death: Death) -> None:
    proved(core, "books")
    proved(core, "crm")
    death(core)
    notice(core, "crm")
    found = diagnosed(core, most=1)
    assert codes(found, RULED_OUT) == {"password-changed", "user-deactivated"}
    assert codes(found, POSSIBLE) >= {"app-removed", "refresh-token-evicted"}
    assert "“books”" in found.ruled_out[0].evidence_against[0]
    assert not core.refreshes(), "a living access token served"


def test_a_client_whose_three_connections_died_at_once_was_removed(core: Core) -> None:
    proved(core, "books")
    first = proved(core, "crm")
    for name in ("leads", "sync"):
        proved(core, name, client_of(core, first.connection))
    remove_app(core)
    notice(core, "crm", "leads", "sync")
    found = diagnosed(core)
    assert codes(found, LIKELY) == {"app-removed"}
    assert found.causes[0].code == "app-removed"
    assert "password-changed" in codes(found, RULED_OUT)


def test_the_oldest_alone_may_have_been_pushed_out(core: Core) -> None:
    oldest = proved(core, "crm")
    proved(core, "leads", client_of(core, oldest.connection))
    evict(core)
    notice(core, "crm")
    found = diagnosed(core)
    # The younger one was granted after the older last worked: it proves only what came since.
    assert "refresh-token-evicted" in codes(found, POSSIBLE)
    assert not codes(found, CERTAIN) | codes(found, LIKELY)


def test_the_oldest_that_worked_lately_leaves_two_causes(core: Core) -> None:
    oldest = proved(core, "crm")
    proved(core, "leads", client_of(core, oldest.connection))
    core.climb("crm", oldest.generation)
    core.advance(minutes=1)
    evict(core)
    notice(core, "crm")
    found = diagnosed(core)
    assert codes(found, POSSIBLE) == {"refresh-token-evicted", "token-revoked-elsewhere"}


def test_twenty_younger_tokens_make_the_eviction_likely(core: Core) -> None:
    oldest = proved(core, "crm")
    client = client_of(core, oldest.connection)
    for number in range(20):
        name = f"crm-{number}"
        core.connection(name, client)
        begun = core.house.authorization.begin(name, force=True)
        core.finish(begun, core.consent(begun))
        core.climb(name, 1)
        core.advance(minutes=5)
    notice(core, "crm")
    found = diagnosed(core)
    assert codes(found, LIKELY) == {"refresh-token-evicted"}
    assert "20 refresh tokens" in found.causes[0].evidence_for[0]


def test_a_witness_that_was_granted_after_the_death_is_none(core: Core) -> None:
    proved(core, "crm")
    change_password(core)
    proved(core, "books")
    notice(core, "crm")
    assert "password-changed" in codes(diagnosed(core), POSSIBLE)


def test_somebody_elses_connection_is_no_witness(core: Core) -> None:
    client = core.client("Shared")
    proved(core, "carlas", client, CARLA, PRODUCTION)
    proved(core, "crm", client)
    change_password(core)
    notice(core, "crm")
    assert codes(diagnosed(core, most=0), POSSIBLE) >= {"password-changed", "app-removed"}


def test_a_death_that_was_not_noticed_is_found_by_asking(core: Core) -> None:
    proved(core, "crm")
    proved(core, "books")
    change_password(core)
    found = diagnosed(core)
    assert found.code == "grant-dead"
    assert codes(found, LIKELY) | codes(found, POSSIBLE) >= {"password-changed"}


def test_a_dead_grant_is_not_asked_again(core: Core) -> None:
    proved(core, "crm")
    change_password(core)
    first = diagnosed(core)
    assert told(diagnosed(core, most=0)) == told(first)


def test_every_page_and_command_shows_the_same_finding(core: Core) -> None:
    proved(core, "crm")
    proved(core, "books")
    change_password(core)
    notice(core, "crm", "books")
    step = core.house.diagnosis.step_of("crm")
    assert step.finding is not None
    assert told(step.finding) == told(diagnosed(core))
