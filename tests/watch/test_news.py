"""What is told, to whom it has arrived, and what is told again."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from bench.place import consented, fill
from core import ANNA, CARLA, PRODUCTION, Core
from inbox import Inbox
from scenes import proved, revoke_outside

from wizard.model import Failure, GrantState
from wizard.watch import REMIND, Look


@pytest.fixture
def told(core: Core, inbox: Inbox) -> Core:
    """A home that tells the inbox."""
    core.house.store.set_notify_command(inbox.url)
    return core


def check(core: Core, remind: timedelta = REMIND) -> tuple[Failure, ...]:
    """Look at all connections and tell, as `watch` does."""
    return core.house.alarm.tell(core.house.alarm.look(), remind)


def many(core: Core, count: int) -> list[str]:
    """That many proved connections of anna's with one client."""
    fill(core.house.store, *consented(core, count))
    return [each.name for each in core.house.store.connections()]


def authorize(core: Core, *names: str) -> None:
    for name in names:
        core.climb(name, core.authorize(name).generation or 0)


def dead(core: Core, name: str) -> bool:
    grant = core.house.store.grant(name)
    return grant is not None and grant.state is GrantState.DEAD


def test_seven_that_die_after_the_eighth_are_told_and_each_once(told: Core, inbox: Inbox) -> None:
    first, *others = many(told, 8)
    grant = told.house.store.grant(first)
    assert grant is not None
    revoke_outside(told, grant)
    check(told)
    (message,) = inbox.taken()
    assert (message["connections"], message["new"], message["known"]) == ([first], [first], [])
    told.advance(hours=2)
    told.admin.change_password(ANNA)
    check(told)
    (message,) = inbox.taken()
    assert message["connections"] == [first, *others]
    assert (message["new"], message["known"]) == (others, [first])
    assert all(dead(told, name) for name in others)
    check(told)
    assert inbox.taken() == []


def test_what_arrived_is_known_and_what_did_not_is_sent_again(told: Core, inbox: Inbox) -> None:
    proved(told, "books", email=CARLA, organization=PRODUCTION)
    proved(told, "crm")
    for person in (ANNA, CARLA):
        told.admin.change_password(person)
    inbox.judge = lambda message: 503 if message["sign_in_as"] == CARLA else 200
    (failure,) = check(told)
    assert failure.code == "notification-failed"
    assert [each["sign_in_as"] for each in inbox.taken()] == [CARLA, ANNA]
    inbox.judge = lambda _message: 204
    assert check(told) == ()
    (message,) = inbox.taken()
    assert (message["sign_in_as"], message["new"]) == (CARLA, ["books"])
    assert told.house.store.notify_failure() is None


def test_what_nobody_could_be_told_of_is_told_once_somebody_can(core: Core, inbox: Inbox) -> None:
    proved(core, "crm")
    core.admin.change_password(ANNA)
    check(core)
    core.house.store.set_notify_command(inbox.url)
    check(core)
    assert [each["new"] for each in inbox.taken()] == [["crm"]]


def test_a_failed_all_clear_is_sent_again(told: Core, inbox: Inbox) -> None:
    proved(told, "crm")
    told.admin.change_password(ANNA)
    check(told)
    authorize(told, "crm")
    inbox.judge = lambda _message: 500
    assert check(told)
    inbox.judge = lambda _message: 200
    assert check(told) == check(told) == ()
    assert [each["event"] for each in inbox.taken()] == ["trouble", "all-well", "all-well"]


@pytest.mark.parametrize("well", [True, False])
def test_after_a_failure_the_next_check_tells_even_if_nothing_is_new(
    told: Core, inbox: Inbox, well: bool
) -> None:
    proved(told, "crm")
    if not well:
        told.admin.change_password(ANNA)
        check(told)
    inbox.judge = lambda _message: 500
    assert told.house.alarm.test()
    inbox.taken()
    inbox.judge = lambda _message: 200
    check(told)
    (message,) = inbox.taken()
    expected = ("all-well", None) if well else ("trouble", True)
    assert (message["event"], message.get("reminder")) == expected
    assert told.house.store.notify_failure() is None
    check(told)
    assert inbox.taken() == []


@pytest.mark.parametrize(("hours", "reminded"), [(21, False), (23.9, True)])
def test_what_stays_broken_is_told_again_after_a_day(
    told: Core, inbox: Inbox, hours: float, reminded: bool
) -> None:
    proved(told, "crm")
    told.admin.change_password(ANNA)
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


def throttled(core: Core) -> None:
    """The connection ``waiting`` of anna's, which Zoho's limits keep from being asked."""
    grant = proved(core, "waiting")
    core.house.cache.drop("waiting")
    for _ in range(5):
        core.house.broker.refresh_grant(grant)
    core.house.cache.drop("waiting")


def test_what_is_certain_is_told_before_the_limits_are_waited_for(told: Core, inbox: Inbox) -> None:
    throttled(told)
    proved(told, "crm", email=CARLA, organization=PRODUCTION)
    told.admin.change_password(CARLA)
    before: list[dict[str, Any]] = []

    def wait(until: datetime) -> bool:
        before.extend(inbox.taken())
        told.advance(seconds=(until - told.now()).total_seconds())
        return True

    def tell(found: Look) -> None:
        told.house.alarm.tell_certain(found)

    look = told.house.alarm.look(wait=wait, before_wait=tell)
    assert [each["new"] for each in before] == [["crm"]]
    assert [each.name for each in look.verdicts if not each.works] == ["crm"]
    told.house.alarm.tell(look)
    assert inbox.taken() == [], "and not again after the wait"


def test_a_death_that_was_told_while_a_check_went_on_is_no_all_clear_and_no_news(
    told: Core, inbox: Inbox
) -> None:
    proved(told, "crm")
    look = told.house.alarm.look()
    assert look.well
    told.house.cache.drop("crm")
    told.admin.change_password(ANNA)
    told.house.looks.at(["crm"])
    assert told.house.alarm.raise_dead("crm") == ()
    told.house.alarm.tell(look)
    check(told)
    assert [each["event"] for each in inbox.taken()] == ["trouble"]
