"""The words of the terminal for how a connection is."""

from datetime import datetime

from wizard.model import Grant, GrantState
from wizard.store import ConnectionOverview
from wizard.tokens import outcome_unknown_since

STATE_LABELS = {
    GrantState.VERIFIED: "✓ proved",
    GrantState.NOT_VERIFIED: "… not proved yet",
    GrantState.MISMATCH: "≠ waits for your decision",
    GrantState.NEEDS_REAUTHORIZATION: "✗ dead",
    GrantState.REPLACED: "– replaced",
    GrantState.REVOKED: "– revoked",
}

NOT_AUTHORIZED = "○ not authorized yet"
CHECK_FAILED = "✗ check failed"
"""Of a grant that Zoho has not refused for good: what the page of connections says, too."""

OUTCOME_UNKNOWN_LABEL = "? outcome unknown"
OUTCOME_UNKNOWN = "outcome_unknown"
"""In JSON, instead of the state of the grant: its refresh token may be lost."""


def state_label(
    grant: Grant, has_failed_check: bool, outcome_unknown_at: datetime | None = None
) -> str:
    """The word for a grant; the last check failed, or the outcome of its last refresh is
    unknown."""
    if outcome_unknown_at is not None:
        return OUTCOME_UNKNOWN_LABEL
    is_accepted = grant.state in (GrantState.VERIFIED, GrantState.NOT_VERIFIED)
    return CHECK_FAILED if has_failed_check and is_accepted else STATE_LABELS[grant.state]


def overview_label(row: ConnectionOverview, now: datetime) -> str:
    """The word for a connection in the list."""
    if row.grant is None:
        return "… authorization under way" if row.open_attempt else NOT_AUTHORIZED
    if row.candidate is not None and row.candidate.state is GrantState.MISMATCH:
        return STATE_LABELS[GrantState.MISMATCH]
    unknown_at = outcome_unknown_since(row.grant, row.unanswered_refresh, now)
    return state_label(row.grant, row.has_failed_check, unknown_at)


def overview_state(row: ConnectionOverview, now: datetime) -> str | None:
    """The state of a connection in JSON; None where nothing has been granted."""
    if outcome_unknown_since(row.grant, row.unanswered_refresh, now):
        return OUTCOME_UNKNOWN
    return row.grant.state if row.grant else None
