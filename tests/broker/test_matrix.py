"""What follows each thing that can happen to an ask of the accounts server, cell by cell: a code
is posted once and no more, a refresh and a revocation are repeated where that can help, and no
trouble on the way is taken for the end of a grant."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from asking import current
from core import ANNA, Core, query

from wizard.authorization.outcome import judge_exchange
from wizard.broker import retries
from wizard.errors import WizardError
from wizard.model import AskKind, AttemptState, Failure, GrantState
from wizard.zoho import load

TOKEN, REVOKE = "oauth/v2/token", "oauth/v2/revoke"
GONE = ""
"""The ask succeeded: there is no grant any more."""

Event = Callable[[Core, str], object]
"""Has it happen from now on, to what is asked at an endpoint."""


def fault(kind: str, status: int = 400) -> Event:
    """One of the sandbox's faults, for longer than anybody asks."""

    def lay(core: Core, endpoint: str) -> None:
        core.admin.change_settings(throttle_status=status)
        core.admin.fault(kind, endpoint=endpoint, times=99, seconds=60)
        if kind == "slow":  # a busy machine turns no other fault into a time-out
            core.house.transport.total_seconds = 1.0

    return lay


def unreachable(core: Core, _endpoint: str) -> None:
    core.sandbox.stop()


def other_secret(core: Core, _endpoint: str) -> None:
    core.admin.rotate_secret(core.registered["client_id"])


def spent(core: Core, endpoint: str) -> None:
    """The code is too old; the refresh token was removed with a change of password."""
    core.admin.change_password(ANNA)
    core.advance(seconds=121)


@dataclass(frozen=True)
class Row:
    """What an event comes to: the code of the failure, and how often was asked."""

    event: Event
    exchange: tuple[str, int] | None
    refresh: tuple[str, int]
    revoke: tuple[str, int] | None


UNKNOWN = ("outcome-unknown", 1)
MATRIX = {
    "certainly not sent": Row(unreachable, *[("network-refused", 3)] * 3),
    "sent, then a time-out": Row(fault("slow"), UNKNOWN, *[("network-timeout", 3)] * 2),
    "sent, then a reset": Row(fault("cut"), UNKNOWN, *[("network-reset", 3)] * 2),
    "maintenance": Row(fault("dc-down"), UNKNOWN, *[("data-centre-down", 3)] * 2),
    "an error of the server": Row(fault("server-error"), UNKNOWN, *[("data-centre-down", 3)] * 2),
    "the throttle, 200": Row(fault("throttle", 200), *[("throttled", 1)] * 3),
    "the throttle, 400": Row(fault("throttle", 400), *[("throttled", 1)] * 3),
    "the throttle, 429": Row(fault("throttle", 429), *[("throttled", 1)] * 3),
    # The older form of revocation asks for no client, so that its token ends all the same.
    "an error that names the client": Row(
        other_secret, ("invalid-client-secret", 1), ("invalid-client-secret", 1), (GONE, 1)
    ),
    "invalid_code": Row(spent, ("code-refused", 1), ("grant-dead", 2), (GONE, 1)),
    "a redirect": Row(fault("redirect"), *[("unexpected-redirect", 1)] * 3),
    "no JSON": Row(fault("garbage"), UNKNOWN, *[("not-json", 1)] * 2),
    "half a JSON": Row(fault("half"), UNKNOWN, *[("not-json", 1)] * 2),
    "JSON without a token": Row(fault("strange"), UNKNOWN, ("malformed-answer", 1), None),
    "a megabyte": Row(fault("oversize"), UNKNOWN, *[("answer-too-large", 1)] * 2),
}


def cells(ask: str) -> list[object]:
    """The cells of one column."""
    rows = ((name, row.event, getattr(row, ask)) for name, row in MATRIX.items())
    return [pytest.param(event, *cell, id=name) for name, event, cell in rows if cell is not None]


@pytest.fixture
def asked_for(core: Core) -> Core:
    """A proved connection whose cached token is gone."""
    core.proved()
    core.house.cache.drop("crm")
    core.advance(minutes=11)
    return core


def asks(core: Core, kind: AskKind) -> int:
    """How often was asked within the last ten minutes."""
    since = core.now() - timedelta(minutes=10)
    return sum(ask.kind is kind for ask in core.house.store.asks(since=since))


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except WizardError as error:
        return error.failure.code
    return GONE


@pytest.mark.parametrize(("event", "code", "times"), cells("exchange"))
def test_a_code_that_was_sent_is_never_sent_again(
    core: Core, event: Event, code: str, times: int
) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
    callback = query(core.consent(begun))
    event(core, TOKEN)
    done = core.house.authorization.complete(callback, {begun.cookie_name: begun.cookie_value})
    assert done.failure is not None
    assert done.failure.code == code
    assert asks(core, AskKind.EXCHANGE) == times
    unknown = code == "outcome-unknown"
    ended = AttemptState.OUTCOME_UNKNOWN if unknown else AttemptState.REFUSED
    assert done.attempt.state is ended
    assert bool(done.failure.retry_at) is (code == "throttled")
    assert core.house.store.grants("crm") == ()


@pytest.mark.parametrize(("event", "code", "times"), cells("refresh"))
def test_a_refresh_is_repeated_where_that_can_help_and_decides_nothing_else(
    asked_for: Core, event: Event, code: str, times: int
) -> None:
    event(asked_for, TOKEN)
    assert outcome(lambda: asked_for.house.broker.access_token("crm")) == code
    assert asks(asked_for, AskKind.REFRESH) == times
    dead = code == "grant-dead"
    assert current(asked_for).state is (GrantState.DEAD if dead else GrantState.PROVED)


@pytest.mark.parametrize(("event", "code", "times"), cells("revoke"))
def test_a_revocation_is_repeated_like_a_refresh_and_never_taken_for_granted(
    asked_for: Core, event: Event, code: str, times: int
) -> None:
    grant = current(asked_for)
    event(asked_for, REVOKE)
    assert outcome(lambda: asked_for.house.broker.revoke(grant)) == code
    assert asks(asked_for, AskKind.REVOKE) == times
    at_zoho = asked_for.sandbox.world.grants.refresh_tokens[grant.refresh_token]
    assert bool(at_zoho.ended) is (code == GONE)
    gone = GrantState.REVOKED if code == GONE else GrantState.PROVED
    assert current(asked_for).state is gone


def test_a_certificate_that_is_not_trusted_stops_everything_and_says_why(core: Core) -> None:
    untrusted = Failure("network-tls", temporary=True, sent=False)
    now = core.now()
    assert retries.pause(untrusted, 1, timedelta(0), now) is None
    state, failure = judge_exchange(untrusted, core.client(), load().data_centre("eu"), {})
    assert (state, failure.code) == (AttemptState.REFUSED, "network-tls")
