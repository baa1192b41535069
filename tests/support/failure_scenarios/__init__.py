"""Failure scenarios, each with its true cause, against which a diagnosis is checked.

Every cause is produced in the simulated Zoho; nothing passes a result to the diagnosis. If another
program encountered the failure, its request and the response are pasted.
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
"""If `decided` is False, no available evidence decides."""
