"""What is notified, whether it arrived, and what is sent again."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from bench.installation import issue_grants, store_connections
from support.diagnosis import add_verified_connection, revoke_by_other_program
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.notification_server import Inbox

from wizard.model import Failure, GrantState
from wizard.monitoring.notifications import DEFAULT_REMINDER_INTERVAL
from wizard.monitoring.service import CheckRun


@pytest.fixture
def notified(harness: Harness, inbox: Inbox) -> Harness:
    """Services that notify the inbox."""
    harness.services.store.monitoring.set_notify_command(inbox.url)
    return harness


def check(harness: Harness, remind: timedelta = DEFAULT_REMINDER_INTERVAL) -> tuple[Failure, ...]:
    """Check all connections and notify, as `monitor` does."""
    return harness.services.monitoring.notify(harness.services.monitoring.run_checks(), remind)


def many(harness: Harness, count: int) -> list[str]:
    """Verified connections of anna's with one client."""
    store_connections(harness.services.store, *issue_grants(harness, count))
    return [each.name for each in harness.services.store.connections.all()]


def authorize(harness: Harness, *names: str) -> None:
    for name in names:
        harness.verify(name, harness.authorize(name).generation or 0)


def is_rejected(harness: Harness, name: str) -> bool:
    grant = harness.services.store.grants.get(name)
    return grant is not None and grant.state is GrantState.NEEDS_REAUTHORIZATION


@pytest.mark.slow
def test_seven_rejections_after_the_eighth_are_notified_once_each(
    notified: Harness, inbox: Inbox
) -> None:
    first, *others = many(notified, 8)
    grant = notified.services.store.grants.get(first)
    assert grant is not None
    revoke_by_other_program(notified, grant)
    check(notified)
    (message,) = inbox.taken()
    assert (message["connections"], message["new"], message["known"]) == ([first], [first], [])
    notified.advance(hours=2)
    notified.controls.change_password(ANNA)
    check(notified)
    (message,) = inbox.taken()
    assert message["connections"] == [first, *others]
    assert (message["new"], message["known"]) == (others, [first])
    assert all(is_rejected(notified, name) for name in others)
    check(notified)
    assert inbox.taken() == []


def test_delivered_notifications_are_recorded_and_failed_ones_sent_again(
    notified: Harness, inbox: Inbox
) -> None:
    add_verified_connection(notified, "books", email=CARLA, organization=FIRST_ORGANIZATION)
    add_verified_connection(notified, "crm")
    for person in (ANNA, CARLA):
        notified.controls.change_password(person)
    inbox.judge = lambda message: 503 if message["sign_in_as"] == CARLA else 200
    (failure,) = check(notified)
    assert failure.code == "notification-failed"
    assert [each["sign_in_as"] for each in inbox.taken()] == [CARLA, ANNA]
    inbox.judge = lambda _message: 204
    assert check(notified) == ()
    (message,) = inbox.taken()
    assert (message["sign_in_as"], message["new"]) == (CARLA, ["books"])
    assert notified.services.store.monitoring.notify_failure() is None


def test_causes_without_a_notification_command_are_notified_once_there_is_one(
    harness: Harness, inbox: Inbox
) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.change_password(ANNA)
    check(harness)
    harness.services.store.monitoring.set_notify_command(inbox.url)
    check(harness)
    assert [each["new"] for each in inbox.taken()] == [["crm"]]


def test_a_cause_is_not_notified_again_after_a_check_that_could_not_ask(
    notified: Harness, inbox: Inbox
) -> None:
    add_verified_connection(notified, "crm")
    grant = notified.services.store.grants.get("crm")
    assert grant is not None
    notified.controls.delete_client(grant.client_id)
    notified.services.token_cache.remove("crm")
    check(notified)
    assert [each["new"] for each in inbox.taken()] == [["crm"]]
    with notified.services.locks.verification("crm"):
        check(notified)
    check(notified)
    assert inbox.taken() == []


def test_a_failed_all_clear_is_sent_again(notified: Harness, inbox: Inbox) -> None:
    add_verified_connection(notified, "crm")
    notified.controls.change_password(ANNA)
    check(notified)
    authorize(notified, "crm")
    inbox.judge = lambda _message: 500
    assert check(notified)
    inbox.judge = lambda _message: 200
    assert check(notified) == check(notified) == ()
    assert [each["event"] for each in inbox.taken()] == ["incident", "all-well", "all-well"]


def test_a_test_notification_does_not_cancel_a_pending_all_clear(
    notified: Harness, inbox: Inbox
) -> None:
    add_verified_connection(notified, "crm")
    notified.controls.change_password(ANNA)
    check(notified)
    authorize(notified, "crm")
    inbox.judge = lambda _message: 500
    assert check(notified)
    inbox.taken()
    inbox.judge = lambda _message: 200
    assert notified.services.monitoring.test() is None
    assert check(notified) == check(notified) == ()
    assert [each["event"] for each in inbox.taken()] == ["test", "all-well"]


@pytest.mark.slow
def test_an_all_clear_remains_pending_when_a_later_failure_is_not_notified(
    notified: Harness, inbox: Inbox
) -> None:
    add_verified_connection(notified, "books", email=CARLA, organization=FIRST_ORGANIZATION)
    add_verified_connection(notified, "crm")
    notified.controls.change_password(ANNA)
    check(notified)
    authorize(notified, "crm")
    notified.controls.change_password(CARLA)
    inbox.judge = lambda _message: 500
    assert check(notified)
    done = notified.authorize("books", CARLA, FIRST_ORGANIZATION)
    notified.verify("books", done.generation or 0)
    inbox.taken()
    inbox.judge = lambda _message: 200
    assert notified.services.monitoring.test() is None
    assert check(notified) == check(notified) == ()
    assert [each["event"] for each in inbox.taken()] == ["test", "all-well"]


def test_a_connection_removed_and_added_again_is_notified_when_rejected(
    notified: Harness, inbox: Inbox
) -> None:
    for _ in range(2):
        grant = add_verified_connection(notified, "crm")
        assert grant.generation == 1
        revoke_by_other_program(notified, grant)
        check(notified)
        (message,) = inbox.taken()
        assert (message["event"], message["new"]) == ("incident", ["crm"])
        notified.services.tokens.remove_connection("crm")


def test_removing_a_rejected_connection_sends_an_all_clear(notified: Harness, inbox: Inbox) -> None:
    add_verified_connection(notified, "books", email=CARLA, organization=FIRST_ORGANIZATION)
    add_verified_connection(notified, "crm")
    notified.services.token_cache.remove("crm")
    notified.controls.change_password(ANNA)
    notified.services.checks.check(["crm"])
    assert notified.services.monitoring.notify_rejected("crm") == ()
    notified.services.tokens.remove_connection("crm")
    check(notified)
    check(notified)
    assert [each["event"] for each in inbox.taken()] == ["incident", "all-well"]


@pytest.mark.parametrize("well", [True, False])
def test_after_a_failure_the_next_check_notifies_even_without_news(
    notified: Harness, inbox: Inbox, well: bool
) -> None:
    add_verified_connection(notified, "crm")
    if not well:
        notified.controls.change_password(ANNA)
        check(notified)
    inbox.judge = lambda _message: 500
    assert notified.services.monitoring.test()
    inbox.taken()
    inbox.judge = lambda _message: 200
    check(notified)
    (message,) = inbox.taken()
    expected = ("all-well", None) if well else ("incident", True)
    assert (message["event"], message.get("reminder")) == expected
    assert notified.services.store.monitoring.notify_failure() is None
    check(notified)
    assert inbox.taken() == []


@pytest.mark.parametrize(("hours", "reminded"), [(21, False), (23.9, True)])
def test_a_lasting_failure_is_notified_again_after_a_day(
    notified: Harness, inbox: Inbox, hours: float, reminded: bool
) -> None:
    add_verified_connection(notified, "crm")
    notified.controls.change_password(ANNA)
    check(notified)
    assert not inbox.taken()[0]["reminder"]
    notified.advance(hours=hours)
    check(notified, timedelta(0))
    assert inbox.taken() == [], "reminders were off"
    check(notified)
    messages = inbox.taken()
    assert [(each["reminder"], each["new"], each["known"]) for each in messages] == (
        [(True, [], ["crm"])] if reminded else []
    )
    check(notified)
    assert inbox.taken() == []


def add_rate_limited(harness: Harness) -> None:
    """The connection ``waiting`` of anna's, which can't be checked because of Zoho's limits."""
    grant = add_verified_connection(harness, "waiting")
    harness.services.token_cache.remove("waiting")
    for _ in range(5):
        harness.services.tokens.refresh_grant(grant)
    harness.services.token_cache.remove("waiting")


def test_certain_failures_are_notified_before_waiting_for_the_limits(
    notified: Harness, inbox: Inbox
) -> None:
    add_rate_limited(notified)
    add_verified_connection(notified, "crm", email=CARLA, organization=FIRST_ORGANIZATION)
    notified.controls.change_password(CARLA)
    before: list[dict[str, Any]] = []

    def wait(until: datetime) -> bool:
        before.extend(inbox.taken())
        notified.advance(seconds=(until - notified.now()).total_seconds())
        return True

    def notify(found: CheckRun) -> None:
        notified.services.monitoring.notify_certain(found)

    check_run = notified.services.monitoring.run_checks(wait=wait, before_wait=notify)
    assert [each["new"] for each in before] == [["crm"]]
    assert [each.name for each in check_run.results if not each.is_working] == ["crm"]
    notified.services.monitoring.notify(check_run)
    assert inbox.taken() == [], "and not again after the wait"


def test_a_rejection_notified_during_a_check_is_no_all_clear_and_no_news(
    notified: Harness, inbox: Inbox
) -> None:
    add_verified_connection(notified, "crm")
    check_run = notified.services.monitoring.run_checks()
    assert check_run.is_healthy
    notified.services.token_cache.remove("crm")
    notified.controls.change_password(ANNA)
    notified.services.checks.check(["crm"])
    assert notified.services.monitoring.notify_rejected("crm") == ()
    notified.services.monitoring.notify(check_run)
    check(notified)
    assert [each["event"] for each in inbox.taken()] == ["incident"]
