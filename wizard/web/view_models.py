"""From the nouns of the house to what the templates paint: words, tones and order. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from markupsafe import Markup

from wizard.errors import message_table
from wizard.model import (
    Explanation,
    Failure,
    Grant,
    GrantState,
    Organization,
    VerificationReport,
    VerificationStep,
)
from wizard.store import ConnectionOverview
from wizard.tokens import outcome_unknown_since
from wizard.transport import sanitize
from wizard.verification import headline
from wizard.zoho import ACCOUNT_SCOPE, describe_scope, product, products_of

MAX_FOREIGN_CHARACTERS = 300
"""Characters of a text that is not ours which a page shows; enough to recognize it by."""


@dataclass(frozen=True)
class StatusBadge:
    """A word for a state and the tone it is said in: ``good``, ``wait``, ``bad`` or none."""

    label: str
    tone: str = ""


GRANT_BADGES = {
    GrantState.NOT_VERIFIED: StatusBadge("Not proved yet", "wait"),
    GrantState.VERIFIED: StatusBadge("Proved", "good"),
    GrantState.MISMATCH: StatusBadge("Another account", "wait"),
    GrantState.NEEDS_REAUTHORIZATION: StatusBadge("Dead", "bad"),
    GrantState.REPLACED: StatusBadge("Replaced"),
    GrantState.REVOKED: StatusBadge("Revoked"),
}
WAITING_FOR_CONSENT = StatusBadge("Waiting for consent", "wait")
VERIFYING = StatusBadge("Proving", "wait")
NOT_AUTHORIZED = StatusBadge("Not connected")
CHECK_FAILED = StatusBadge("Check failed", "bad")
OUTCOME_UNKNOWN = StatusBadge("Outcome unknown", "wait")
CHECKING = StatusBadge("Checking", "wait")


@dataclass(frozen=True)
class ConnectionRow:
    """One line of the list of connections."""

    name: str
    status: StatusBadge
    detail: str
    checked_at: datetime | None = None

    @property
    def path(self) -> str:
        return f"/connections/{self.name}"


@dataclass(frozen=True)
class ScopeView:
    """A scope, its meaning, and why it is asked for where no task explains it."""

    scope: str
    description: str
    reason: str = ""


@dataclass(frozen=True)
class StepView:
    """One rung as painted; the finding explains why it is not simply passed."""

    title: str
    state: str
    evidence: Mapping[str, str]
    at: datetime
    explanation: Explanation | None

    @property
    def summary(self) -> str:
        """The evidence in one line; unfolded it stands in full."""
        return " · ".join(each for each in self.evidence.values() if each)


@dataclass(frozen=True)
class ReportView:
    """The proof of one grant, under way or done."""

    headline: str
    generation: int
    status: StatusBadge
    steps: tuple[StepView, ...]
    pending_steps: tuple[str, ...]
    at: datetime | None
    is_running: bool
    is_unfinished: bool
    steps_url: str
    """Where the rungs alone are answered, for pages that watch them."""

    def without_explanation(self, code: str) -> "ReportView":
        """The same without the finding `code` at its rungs, as the page shows it already."""
        steps = tuple(
            replace(each, explanation=None)
            if each.explanation and each.explanation.code == code
            else each
            for each in self.steps
        )
        return replace(self, steps=steps)


def scope_views(scope: Sequence[str]) -> list[ScopeView]:
    """Each scope beside its meaning."""
    reasons = {ACCOUNT_SCOPE: "always asked for: it tells whom the receipt is about"}
    return [ScopeView(each, describe_scope(each), reasons.get(each, "")) for each in scope]


def grant_badge(grant: Grant | None, report: VerificationReport | None) -> StatusBadge:
    """The word for a grant and what its receipt says."""
    return _grant_badge(grant, report is not None and report.has_failed)


def _grant_badge(grant: Grant | None, has_failed_check: bool) -> StatusBadge:
    if grant is None:
        return NOT_AUTHORIZED
    if grant.state in (GrantState.NOT_VERIFIED, GrantState.VERIFIED) and has_failed_check:
        return CHECK_FAILED
    return GRANT_BADGES[grant.state]


def connection_row(
    overview: ConnectionOverview, now: datetime, checking_names: Collection[str] = ()
) -> ConnectionRow:
    """The line of one connection; those `checking` are being asked now."""
    grant = overview.grant or overview.candidate
    status = _grant_badge(grant, overview.has_failed_check)
    if outcome_unknown_since(grant, overview.unanswered_refresh, now):
        status = OUTCOME_UNKNOWN
    if overview.candidate is not None and overview.candidate.state is GrantState.MISMATCH:
        status = GRANT_BADGES[GrantState.MISMATCH]
    elif overview.open_attempt is not None and status.tone != "good":
        status = WAITING_FOR_CONSENT
    if overview.connection.name in checking_names:
        status = CHECKING
    has_account = grant is not None and grant.account is not None
    detail = (
        headline(grant) if grant and has_account else describe_scope(overview.connection.scope[0])
    )
    return ConnectionRow(overview.connection.name, status, detail, overview.checked_at)


def health_summary(total: int, unsettled: Sequence[ConnectionRow]) -> str:
    """Health at a glance, in one sentence; of `total` connections all but `unsettled` are well."""
    failing = sum(each.status.tone == "bad" for each in unsettled)
    working = total - sum(each.status.tone != "good" for each in unsettled)
    if failing:
        failing_text = f"{failing} of {total} need{'s' if failing == 1 else ''} you."
        return (
            f"{failing_text} The rest was proved when last looked at."
            if failing < total
            else failing_text
        )
    if working == total:
        return f"{'It was' if working == 1 else f'All {working} were'} proved when last looked at."
    return f"{working} of {total} proved."


def step_title(name: str) -> str:
    """The words for a rung's name."""
    table = message_table()["verification-steps"]
    if name.startswith("read:"):
        return str(table["read"]).format(product=product(name.removeprefix("read:")).title)
    return str(table[name])


def step_view(step: VerificationStep, explain: Callable[[Failure], Explanation]) -> StepView:
    """A rung, painted; `explain` tells why it is not simply passed."""
    explanation = explain(step.failure) if step.failure else None
    return StepView(step_title(step.name), step.state.value, step.evidence, step.at, explanation)


def expected_steps(scope: Sequence[str]) -> tuple[str, ...]:
    """The names of the rungs that a grant of `scope` is going to be asked to climb."""
    reads = (f"read:{each.id}" for each in products_of(scope))
    return ("refresh", "identity", "organization", *reads, "scope", "clock")


def report_view(
    grant: Grant,
    report: VerificationReport | None,
    is_verifying: bool,
    explain: Callable[[Failure], Explanation],
) -> ReportView:
    """The receipt of `grant`; `climbing` tells that this process is proving it now, in which case
    a finished receipt is the one before and says nothing yet."""
    if is_verifying and report is not None and report.finished_at is not None:
        report = None
    completed_steps = report.steps if report else ()
    is_finished = report is not None and report.finished_at is not None
    names = {each.name for each in completed_steps}
    pending_steps = (
        [] if is_finished else [name for name in expected_steps(grant.scope) if name not in names]
    )
    status = VERIFYING if is_verifying else grant_badge(grant, report)
    return ReportView(
        headline=_report_headline(grant, is_verifying),
        generation=grant.generation,
        status=status,
        steps=tuple(step_view(each, explain) for each in completed_steps),
        pending_steps=tuple(step_title(name) for name in pending_steps),
        at=report.finished_at or report.started_at if report else None,
        is_running=is_verifying,
        is_unfinished=not (is_verifying or is_finished) and grant.state is GrantState.NOT_VERIFIED,
        steps_url=f"/connections/{grant.connection}/verification-steps",
    )


def _report_headline(grant: Grant, is_verifying: bool) -> str:
    if grant.account is None and is_verifying:
        return "The refresh token is stored. Proving it with live calls…"
    return headline(grant)


def describe_organization(organization: Organization) -> str:
    """An organization in a few words."""
    environment = f", {organization.environment}" if organization.environment else ""
    return f"{product(organization.product).title}: {organization.name}{environment}"


# --- Filters of the templates ----------------------------------------------------------------


def capped(text: object, max_length: int = MAX_FOREIGN_CHARACTERS) -> str:
    """At most `most` characters of a text that others wrote."""
    written = str(text)
    return written if len(written) <= max_length else f"{written[:max_length]}…"


def sanitize_value(value: object) -> object:
    """A value as it is painted: text without what a copied line would carry into a terminal."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return sanitize(value)
