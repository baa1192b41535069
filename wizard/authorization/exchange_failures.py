"""What a failed exchange means: refused, or nobody knows."""

from collections.abc import Mapping
from dataclasses import replace

from wizard.model import AttemptState, Client, Failure
from wizard.zoho import DataCenter

DEFINITE_FAILURES = frozenset(
    {
        "invalid-client",
        "invalid-client-secret",
        "invalid-code",
        "invalid-redirect-uri",
        "invalid-scope",
        "missing-org-info",
        "general-error",
        "unknown-oauth-error",
        "throttled",
        "unexpected-redirect",
    }
)
"""Failures after which no token can exist. After any other that was sent, one may."""


def classify_exchange_failure(
    failure: Failure, client: Client, data_center: DataCenter, details: Mapping[str, str]
) -> tuple[AttemptState, Failure]:
    """The end of an attempt whose one POST failed, and the failure named by what it means here:
    an unknown client in a foreign data centre is a switch in the console that is off."""
    code, failure_details = failure.code, {**details, **failure.details}
    state = AttemptState.FAILED
    if failure.sent and code not in DEFINITE_FAILURES:
        state, failure_details["reason"], code = (
            AttemptState.OUTCOME_UNKNOWN,
            code,
            "outcome-unknown",
        )
    elif code == "invalid-client" and data_center.location != client.location:
        code = "multi-dc-off"
    elif code == "invalid-code":
        code = "code-refused"
    return state, replace(failure, code=code, details=failure_details)
