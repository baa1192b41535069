"""Worlds in which something has gone wrong, each with the true cause: what a diagnosis is held to.

Every cause is made to happen in the simulated Zoho; nothing hands the judge a verdict. Where a
program met it that is not the wizard, its request and the answer are pasted.
"""

from support.failure_scenarios import (
    access_tokens,
    api_calls,
    authorization_codes,
    clients,
    refresh_tokens,
)
from support.failure_scenarios.scenario import FailureScenario, explain

__all__ = ["FAILURE_SCENARIOS", "FailureScenario", "explain"]

FAILURE_SCENARIOS = (
    *refresh_tokens.SCENARIOS,
    *access_tokens.SCENARIOS,
    *clients.SCENARIOS,
    *authorization_codes.SCENARIOS,
    *api_calls.SCENARIOS,
)
"""Where `decided` is False nothing that anybody could see decides."""
