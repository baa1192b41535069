"""What is told, to whom it has arrived, and what is told again."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from bench.installation import issue_grants, store_connections
from support.diagnosis import add_verified_connection, revoke_by_other_program
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.notification_server import Inbox

from wizard.model import Failure, GrantState
from wizard.monitoring.notifications import REMIND
from wizard.monitoring.service import CheckRun


@pytest.fixture
def told(harness: Harness, inbox: Inbox) -> Harness:
    """A home that tells the inbox."""
    harness.services.store.monitoring.set_notify_command(inbox.url)
    return harness


def check(harness: Harness, remind: timedelta = REMIND) -> tuple[Failure, ...]:
    """Look at all connections and tell, as `watch` does."""
    return harness.services.monitoring.notify(harness.services.monitoring.run_checks(), remind)


def many(harness: Harness, count: int) -> list[str]:
    """That many proved connections of anna's with one client."""
    store_connections(harness.services.store, *issue_grants(harness, count))
    return [each.name for each in harness.services.store.connections.all()]


def authorize(harness: Harness, *names: str) -> None:
    for name in names:
        harness.verify(name, harness.authorize(name).generation or 0)


def dead(harness: Harness, name: str) -> bool:
    grant = harness.services.store.grants.get(name)
    return grant is not None and grant.state is GrantState.NEEDS_REAUTHORIZATION


def test_seven_that_die_after_the_eighth_are_told_and_each_once(
    told: Harness, inbox: Inbox
) -> None:
    first, *others = many(told, 8)
    grant = told.services.store.grants.get(first)
    assert grant is not None
    revoke_by_other_program(told, grant)
    check(told)
    (message,) = inbox.taken()
    assert (message["connections"], message["new"], message["known"]) == ([first], [first], [])
    told.advance(hours=2)
    told.controls.change_password(ANNA)
    check(told)
    (message,) = inbox.taken()
    assert message["connections"] == [first, *others]
    assert (message["new"], message["known"]) == (others, [first])
    assert all(dead(told, name) for name in others)
    check(told)
    assert inbox.taken() == []


def test_what_arrived_is_known_and_what_did_not_is_sent_again(told: Harness, inbox: Inbox) -> None:
    add_verified_connection(told, "books", email=CARLA, organization=FIRST_ORGANIZATION)
    add_verified_connection(told, "crm")
    for person in (ANNA, CARLA):
        told.controls.change_password(person)
    inbox.judge = lambda message: 503 if message["sign_in_as"] == CARLA else 200
    (failure,) = check(told)
    assert failure.code == "notification-failed"
    assert [each["sign_in_as"] for each in inbox.taken()] == [CARLA, ANNA]
    inbox.judge = lambda _message: 204
    assert check(told) == ()
    (message,) = inbox.taken()
    assert (message["sign_in_as"], message["new"]) == (CARLA, ["books"])
    assert told.services.store.monitoring.notify_failure() is None


def test_what_nobody_could_be_told_of_is_told_once_somebody_can(
    harness: Harness, inbox: Inbox
) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.change_password(ANNA)
    check(harness)
    harness.services.store.monitoring.set_notify_command(inbox.url)
    check(harness)
    assert [each["new"] for each in inbox.taken()] == [["crm"]]


def test_a_failed_all_clear_is_sent_again(told: Harness, inbox: Inbox) -> None:
    add_verified_connection(told, "crm")
    told.controls.change_password(ANNA)
    check(told)
    authorize(told, "crm")
    inbox.judge = lambda _message: 500
    assert check(told)
    inbox.judge = lambda _message: 200
    assert check(told) == check(told) == ()
    assert [each["event"] for each in inbox.taken()] == ["incident", "all-well", "all-well"]


def test_a_test_notification_that_arrives_does_not_cancel_the_all_clear_that_is_due(
    told: Harness, inbox: Inbox
) -> None:
    add_verified_connection(told, "crm")
    told.controls.change_password(ANNA)
    check(told)
    authorize(told, "crm")
    inbox.judge = lambda _message: 500
    assert check(told)
    inbox.taken()
    inbox.judge = lambda _message: 200
    assert told.services.monitoring.test() is None
    assert check(told) == check(told) == ()
    assert [each["event"] for each in inbox.taken()] == ["test", "all-well"]


def test_an_all_clear_stays_due_when_a_later_failure_is_told_to_nobody(
    told: Harness, inbox: Inbox
) -> None:
    add_verified_connection(told, "books", email=CARLA, organization=FIRST_ORGANIZATION)
    add_verified_connection(told, "crm")
    told.controls.change_password(ANNA)
    check(told)
    authorize(told, "crm")
    told.controls.change_password(CARLA)
    inbox.judge = lambda _message: 500
    assert check(told)
    done = told.authorize("books", CARLA, FIRST_ORGANIZATION)
    told.verify("books", done.generation or 0)
    inbox.taken()
    inbox.judge = lambda _message: 200
    assert told.services.monitoring.test() is None
    assert check(told) == check(told) == ()
    assert [each["event"] for each in inbox.taken()] == ["test", "all-well"]


def test_a_connection_that_was_removed_and_added_again_is_told_when_it_dies(
    told: Harness, inbox: Inbox
) -> None:
    for _ in range(2):
        grant = add_verified_connection(told, "crm")
        assert grant.generation == 1
        revoke_by_other_program(told, grant)
        check(told)
        (message,) = inbox.taken()
        assert (message["event"], message["new"]) == ("incident", ["crm"])
        told.services.tokens.remove_connection("crm")


def test_a_dead_connection_that_is_removed_ends_in_an_all_clear(
    told: Harness, inbox: Inbox
) -> None:
    add_verified_connection(told, "books", email=CARLA, organization=FIRST_ORGANIZATION)
    add_verified_connection(told, "crm")
    told.services.token_cache.remove("crm")
    told.controls.change_password(ANNA)
    told.services.checks.check(["crm"])
    assert told.services.monitoring.notify_rejected("crm") == ()
    told.services.tokens.remove_connection("crm")
    check(told)
    check(told)
    assert [each["event"] for each in inbox.taken()] == ["incident", "all-well"]


@pytest.mark.parametrize("well", [True, False])
def test_after_a_failure_the_next_check_tells_even_if_nothing_is_new(
    told: Harness, inbox: Inbox, well: bool
) -> None:
    add_verified_connection(told, "crm")
    if not well:
        told.controls.change_password(ANNA)
        check(told)
    inbox.judge = lambda _message: 500
    assert told.services.monitoring.test()
    inbox.taken()
    inbox.judge = lambda _message: 200
    check(told)
    (message,) = inbox.taken()
    expected = ("all-well", None) if well else ("incident", True)
    assert (message["event"], message.get("reminder")) == expected
    assert told.services.store.monitoring.notify_failure() is None
    check(told)
    assert inbox.taken() == []


@pytest.mark.parametrize(("hours", "reminded"), [(21, False), (23.9, True)])
def test_what_stays_broken_is_told_again_after_a_day(
    told: Harness, inbox: Inbox, hours: float, reminded: bool
) -> None:
    add_verified_connection(told, "crm")
    told.controls.change_password(ANNA)
    check(told)
    assert not inbox.taken()[0]["reminder"]
    told.advance(hours=hours)
    check(told, timedelta(0))
    assert inbox.taken() == [], "no reminders were wanted"
    check(told)
    messages = inbox.taken()
    assert [(each["reminder"], each["new"], each["known"]) for each in messages] == (
        [(True, [], ["crm"])] if reminded else []
    )
    check(told)
    assert inbox.taken() == []


def throttled(harness: Harness) -> None:
    """The connection ``waiting`` of anna's, which Zoho's limits keep from being asked."""
    grant = add_verified_connection(harness, "waiting")
    harness.services.token_cache.remove("waiting")
    for _ in range(5):
        harness.services.tokens.refresh_grant(grant)
    harness.services.token_cache.remove("waiting")


def test_what_is_certain_is_told_before_the_limits_are_waited_for(
    told: Harness, inbox: Inbox
) -> None:
    throttled(told)
    add_verified_connection(told, "crm", email=CARLA, organization=FIRST_ORGANIZATION)
    told.controls.change_password(CARLA)
    before: list[dict[str, Any]] = []

    def wait(until: datetime) -> bool:
        before.extend(inbox.taken())
        told.advance(seconds=(until - told.now()).total_seconds())
        return True

    def tell(found: CheckRun) -> None:
        told.services.monitoring.tell_certain(found)

    look = told.services.monitoring.run_checks(wait=wait, before_wait=tell)
    assert [each["new"] for each in before] == [["crm"]]
    assert [each.name for each in look.results if not each.is_working] == ["crm"]
    told.services.monitoring.notify(look)
    assert inbox.taken() == [], "and not again after the wait"


def test_a_death_that_was_told_while_a_check_went_on_is_no_all_clear_and_no_news(
    told: Harness, inbox: Inbox
) -> None:
    add_verified_connection(told, "crm")
    look = told.services.monitoring.run_checks()
    assert look.is_healthy
    told.services.token_cache.remove("crm")
    told.controls.change_password(ANNA)
    told.services.checks.check(["crm"])
    assert told.services.monitoring.notify_rejected("crm") == ()
    told.services.monitoring.notify(look)
    check(told)
    assert [each["event"] for each in inbox.taken()] == ["incident"]
