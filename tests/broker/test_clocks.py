"""Our clock jumps, or the computer sleeps: no token that Zoho calls expired is handed out."""

from datetime import timedelta

import pytest
from core import Core

from wizard.house import House
from wizard.model import GrantState


@pytest.mark.parametrize(
    "jumps",
    [
        pytest.param([timedelta(minutes=10)], id="ten minutes on"),
        pytest.param([timedelta(days=1), timedelta(days=-1)], id="a day and back"),
        pytest.param([timedelta(days=-1), timedelta(days=1)], id="a day back and on again"),
        pytest.param([timedelta(hours=-1)], id="an hour back in the middle of a life"),
    ],
)
@pytest.mark.parametrize("min_ttl", [None, 600])
def test_a_clock_that_jumps_costs_one_refresh_and_serves_no_dead_token(
    core: Core, jumps: list[timedelta], min_ttl: int | None
) -> None:
    core.proved()
    off = timedelta()
    with House.open(core.house.settings, lambda: core.sandbox.clock() + off) as house:
        core.advance(minutes=20)
        house.broker.access_token("crm")
        for jump in jumps:
            off += jump
            core.admin.clear_journal()
            for _ in range(30):
                core.advance(minutes=2)
                token = house.broker.access_token("crm", min_ttl=min_ttl)
                assert core.sandbox.world.access_token(token.value, "eu")
            assert len(core.refreshes()) <= 3  # one for the jump, and the hour's own
    grant = core.house.store.grant("crm")
    assert grant is not None
    assert grant.state is GrantState.PROVED


def test_after_a_nights_sleep_one_refresh_is_enough(core: Core) -> None:
    core.proved()
    core.admin.clear_journal()
    core.advance(hours=8)
    tokens = {core.house.broker.access_token("crm").value for _ in range(5)}
    assert len(tokens) == len(core.refreshes()) == 1


def test_a_throttle_that_stands_in_the_future_holds_nobody_up(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    ahead = timedelta(days=300)
    with House.open(core.house.settings, lambda: core.sandbox.clock() + ahead) as house:
        core.admin.fault("throttle", endpoint="oauth/v2/token")
        with pytest.raises(Exception, match="throttled"):
            house.broker.access_token("crm")
    assert core.house.broker.access_token("crm").value
