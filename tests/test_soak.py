"""A week of `make soak`."""

import pytest
from soak.months import soak


@pytest.mark.slow
def test_a_simulated_week_loses_no_token_and_rejects_no_grant_that_works() -> None:
    figures = soak(days=8)
    assert figures.failures == {}
    assert figures.expiries > 1000
    assert min(figures.kills, figures.password_changes, figures.reauthorizations) > 0
