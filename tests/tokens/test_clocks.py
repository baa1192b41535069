"""The clock jumps, or the computer sleeps: no token that Zoho calls expired is served."""

from datetime import timedelta

import pytest
from support.harness import Harness

from wizard.model import GrantState
from wizard.services import Services


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
def test_a_clock_jump_costs_one_refresh_and_serves_no_expired_token(
    harness: Harness, jumps: list[timedelta], min_ttl: int | None
) -> None:
    harness.add_verified_connection()
    off = timedelta()
    with Services.open(
        harness.services.settings, lambda: harness.simulator.clock() + off
    ) as services:
        harness.advance(minutes=20)
        services.tokens.access_token("crm")
        for jump in jumps:
            off += jump
            harness.controls.clear_journal()
            for _ in range(30):
                harness.advance(minutes=2)
                token = services.tokens.access_token("crm", min_ttl=min_ttl)
                assert harness.simulator.world.access_token(token.value, "eu")
            sent = len(harness.refresh_requests())
            assert sent <= 2, "one for the jump, and the regular one of the hour"
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    assert grant.state is GrantState.VERIFIED


def test_after_a_night_of_sleep_one_refresh_is_enough(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.clear_journal()
    harness.advance(hours=8)
    tokens = {harness.services.tokens.access_token("crm").value for _ in range(5)}
    assert len(tokens) == len(harness.refresh_requests()) == 1


def test_a_rate_limit_in_the_future_blocks_nobody(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    ahead = timedelta(days=300)
    with Services.open(
        harness.services.settings, lambda: harness.simulator.clock() + ahead
    ) as services:
        harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
        with pytest.raises(Exception, match="throttled"):
            services.tokens.access_token("crm")
    assert harness.services.tokens.access_token("crm").value
