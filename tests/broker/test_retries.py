"""How a refresh or a revocation is asked again, and when a data centre is left alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from asking import current, failure, left
from core import ANNA, Core

from wizard.broker.budgets import resting_until
from wizard.model import Ask, AskKind, GrantState
from wizard.transport import TOTAL_SECONDS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TOKEN = "oauth/v2/token"
WAY_THERE = {
    "cut": "network-reset",
    "slow": "network-timeout",
    "dc-down": "data-centre-down",
    "server-error": "data-centre-down",
}
"""Faults on the way, or of the server: worth asking again."""
NOT_ZOHO = {
    "garbage": "not-json",
    "half": "not-json",
    "strange": "malformed-answer",
    "oversize": "answer-too-large",
    "redirect": "unexpected-redirect",
}
"""Answers that are none of Zoho's."""


def lay(
    core: Core, kind: str, times: int, *, endpoint: str = TOKEN, processed: bool = False
) -> None:
    """Lay out a fault. Only where an answer is held back does the transport give up early, so that
    a busy machine turns no other fault into a time-out."""
    core.house.transport.total_seconds = 2.0 if kind == "slow" else TOTAL_SECONDS
    core.admin.fault(kind, endpoint=endpoint, times=times, seconds=60, processed=processed)


@pytest.fixture
def asked_for(core: Core) -> Core:
    """A proved connection whose cached token is gone."""
    core.proved()
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    return core


@pytest.mark.parametrize("kind", WAY_THERE)
def test_a_refresh_that_fails_on_the_way_is_asked_again(asked_for: Core, kind: str) -> None:
    lay(asked_for, kind, times=2)
    assert asked_for.house.broker.access_token("crm").value
    outcomes = [ask.outcome for ask in asked_for.house.broker.ledger("crm").asks]
    assert outcomes[:3] == ["ok", WAY_THERE[kind], WAY_THERE[kind]]


def test_with_a_token_to_go_on_with_a_failing_refresh_is_asked_for_once(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.admin.clear_journal()
    core.advance(seconds=left(core, first) - 200)
    core.admin.fault("dc-down", endpoint=TOKEN)
    assert core.house.broker.access_token("crm").stale
    assert len(core.refreshes()) == 1


@pytest.mark.parametrize("dated", [False, True])
def test_a_server_that_says_when_is_not_asked_before(asked_for: Core, dated: bool) -> None:
    until = asked_for.now() + timedelta(seconds=120)
    named = format_datetime(until, usegmt=True) if dated else "120"
    asked_for.admin.fault("dc-down", endpoint=TOKEN, retry_after=named)
    for _ in range(3):
        told = failure(asked_for)
        assert told.retry_at is not None
        assert abs((told.retry_at - until).total_seconds()) < 3
    assert len(asked_for.refreshes()) == 1
    asked_for.advance(seconds=122)
    assert asked_for.house.broker.access_token("crm").value


def test_a_short_wait_that_the_server_names_is_waited_for(asked_for: Core) -> None:
    begun = asked_for.now()
    asked_for.admin.fault("dc-down", endpoint=TOKEN, retry_after="7")
    assert asked_for.house.broker.access_token("crm").value
    assert (asked_for.now() - begun).total_seconds() >= 7


@pytest.mark.parametrize(("named", "seconds"), [("", 600), ("90", 90), ("1200", 1200)])
def test_a_throttle_is_obeyed_for_as_long_as_it_says_else_ten_minutes(
    asked_for: Core, named: str, seconds: int
) -> None:
    asked_for.admin.fault("throttle", endpoint=TOKEN, retry_after=named)
    for _ in range(3):
        throttled = failure(asked_for)
        assert throttled.code == "throttled"
        assert throttled.retry_at is not None
    assert len(asked_for.refreshes()) == 1
    asked_for.advance(seconds=seconds - 5)
    assert failure(asked_for).code == "throttled"
    asked_for.advance(seconds=6)
    assert asked_for.house.broker.access_token("crm").value


def test_a_throttle_is_known_in_any_language(asked_for: Core) -> None:
    asked_for.admin.change_settings(localised_throttle=True)
    asked_for.admin.fault("throttle", endpoint="oauth/v2/token")
    assert failure(asked_for).code == "throttled"


# --- A data centre that does not answer is left alone --------------------------------------------


def test_after_five_failures_in_a_row_nobody_asks_for_half_a_minute(asked_for: Core) -> None:
    core = asked_for
    core.admin.fault("dc-down", endpoint=TOKEN, times=99)
    assert failure(core).code == "data-centre-down"
    resting = failure(core)
    assert resting.code == "zoho-resting"
    assert resting.retry_at is not None
    assert len(core.refreshes()) == 5
    assert 0 < (resting.retry_at - core.now()).total_seconds() <= 30
    assert failure(core).code == "zoho-resting"
    assert len(core.refreshes()) == 5


def test_after_the_rest_one_ask_tries_and_an_answer_ends_it(asked_for: Core) -> None:
    core = asked_for
    core.admin.fault("dc-down", endpoint=TOKEN, times=6)
    failure(core), failure(core)
    core.advance(minutes=11)  # its own budget is free again, too
    resting = failure(core)
    assert resting.code == "zoho-resting"
    assert len(core.refreshes()) == 6
    assert resting.retry_at is not None
    core.advance(seconds=(resting.retry_at - core.now()).total_seconds() + 1)
    assert core.house.broker.access_token("crm").value
    core.house.cache.drop("crm")
    assert core.house.broker.access_token("crm").value


def row(*outcomes: str, every: int = 1) -> list[Ask]:
    """Refreshes with these outcomes, the newest first and at `NOW`."""
    spans = [timedelta(seconds=every * number) for number in range(len(outcomes))]
    return [
        Ask(AskKind.REFRESH, NOW - span, "eu", "1000.X", "crm", 1, outcome=outcome)
        for span, outcome in zip(spans, outcomes, strict=True)
    ]


@pytest.mark.parametrize(
    ("failures", "seconds"), [(5, 30), (6, 60), (7, 120), (8, 240), (9, 300), (50, 300)]
)
def test_each_further_failure_doubles_the_rest_up_to_five_minutes(
    failures: int, seconds: int
) -> None:
    asks = row(*["network-timeout"] * failures)
    assert resting_until(asks, NOW) == NOW + timedelta(seconds=seconds)
    assert resting_until(asks, NOW + timedelta(seconds=seconds)) is None


def test_while_one_tries_the_others_wait_unless_it_died_on_the_way() -> None:
    failed = row(*["data-centre-down"] * 5)
    after = NOW + timedelta(seconds=31)
    probe = replace(row("asked")[0], at=after)
    assert resting_until([probe, *failed], after) == after + timedelta(seconds=30)
    assert resting_until([probe, *failed], after + timedelta(seconds=30)) is None


@pytest.mark.parametrize("answer", ["ok", "invalid-code", "throttled", "invalid-client"])
def test_an_answer_of_zohos_whatever_it_says_begins_the_count_anew(answer: str) -> None:
    failed = ["data-centre-down"] * 4
    assert resting_until(row(*failed, answer, *failed), NOW) is None


def test_what_never_left_neither_counts_nor_ends_the_count() -> None:
    assert resting_until(row(*["not-sent"] * 9), NOW) is None
    failed = ["data-centre-down", "not-sent"] * 5
    assert resting_until(row(*failed), NOW) == NOW + timedelta(seconds=30)


# --- A network fault is no verdict ---------------------------------------------------------------


@pytest.mark.parametrize("processed", [False, True])
def test_no_series_of_faults_marks_a_healthy_grant_dead_and_the_real_end_is_seen(
    core: Core, processed: bool
) -> None:
    core.proved()
    for kind in (*WAY_THERE, *NOT_ZOHO, "throttle"):
        core.house.cache.drop("crm")
        core.admin.clear_faults()
        lay(core, kind, times=9, processed=processed)
        assert failure(core).code != "grant-dead"
        assert current(core).state is GrantState.PROVED
        core.advance(minutes=11)
    core.admin.clear_faults()
    core.admin.change_password(ANNA)
    core.admin.clear_journal()
    assert failure(core).code == "grant-dead"
    assert [each["outcome"] for each in core.refreshes()] == ["invalid_code"] * 2


# --- Revocation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WAY_THERE)
def test_a_revocation_whose_answer_was_lost_is_asked_again(asked_for: Core, kind: str) -> None:
    lay(asked_for, kind, times=2, endpoint="revoke", processed=True)
    asked_for.house.broker.revoke(current(asked_for))
    assert current(asked_for).state is GrantState.REVOKED
