"""What the templates show of the model: labels, tones and order. Pure."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from markupsafe import Markup, escape

from wizard.connection_details import (
    EvidenceText,
    describe_access,
    describe_evidence,
    headline,
    is_access_token_rejected,
    step_title,
)
from wizard.errors import describe_outcome, message, state_label, status_labels
from wizard.model import (
    Explanation,
    Failure,
    FailureKind,
    Grant,
    GrantState,
    Organization,
    StepState,
    VerificationReport,
    VerificationStep,
)
from wizard.model.failure import codes_with
from wizard.model.states import ActivityKind, ConnectionState, ConnectionStatus, ShownState, Tone
from wizard.store import ConnectionOverview
from wizard.transport import sanitize
from wizard.zoho import ACCOUNT_SCOPE, describe_scope, product, products_of, unusual_scopes

MAX_FOREIGN_CHARACTERS = 300
"""Characters that a page shows of a text from outside."""


class CardTone(StrEnum):
    """What a card asks of the reader; its color and its mark."""

    INFORMATION = "information"
    """Nothing is wrong."""
    WAITING = "waiting"
    """It passes, without the reader."""
    WARNING = "warning"
    ERROR = "error"


def card_tone(explanation: Explanation) -> CardTone:
    """The tone of the card that explains a failure."""
    is_nothing = explanation.code.startswith("nothing-to-")
    if explanation.exit_code == 0 or is_nothing or explanation.code in codes_with("caused_by_user"):
        return CardTone.INFORMATION
    if explanation.kind in (FailureKind.NOT_FOUND, FailureKind.SESSION):
        return CardTone.INFORMATION
    is_temporary = explanation.failure is not None and explanation.failure.temporary
    if explanation.kind in (FailureKind.LIMIT, FailureKind.API_LIMIT, FailureKind.BUSY):
        return CardTone.WAITING
    return CardTone.WARNING if is_temporary else CardTone.ERROR


@dataclass(frozen=True)
class StatusBadge:
    """The label of a state, and its tone."""

    label: str
    tone: Tone = Tone.NEUTRAL


def status_badges(status: ConnectionStatus, now: datetime) -> tuple[StatusBadge, ...]:
    """The badges of a connection: its state, its activity, or both."""
    labels = status_labels(status, now)
    return tuple(
        StatusBadge(label, each.tone) for label, each in zip(labels, status.shown, strict=True)
    )


def state_badge(state: ShownState, **details: str) -> StatusBadge:
    """The badge of an item of a re-authorization, or of a destination."""
    return StatusBadge(state_label(state, **details), state.tone)


@dataclass(frozen=True)
class ConnectionRow:
    """One row of the list of connections."""

    name: str
    state: ConnectionState
    badges: tuple[StatusBadge, ...]
    detail: str
    checked_at: datetime | None = None
    check_failure: str = ""
    """What the last check found, in words; empty if it passed or the state says it."""
    email: str = ""
    """Its account; empty if it isn't known yet."""
    owner: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""

    @property
    def needs_attention(self) -> bool:
        """Whether it doesn't work, or waits for the user's decision."""
        return self.state.tone in (Tone.BAD, Tone.WAIT)

    @property
    def path(self) -> str:
        return f"/connections/{self.name}"


@dataclass(frozen=True)
class ScopeView:
    """A scope and its meaning."""

    scope: str
    description: str
    is_always_requested: bool = False
    """It isn't chosen: it tells which account approved."""
    note: str = ""


@dataclass(frozen=True)
class StepView:
    """One step of a verification; `explanation` says why it didn't pass."""

    title: str
    state: str
    evidence: tuple[EvidenceText, ...]
    at: datetime
    explanation: Explanation | None

    @property
    def summary(self) -> str:
        """The evidence in one line."""
        return " · ".join(each.text for each in self.evidence)


@dataclass(frozen=True)
class ReportView:
    """The verification report of one grant, running or finished."""

    headline: str
    """Empty while nothing is known yet."""
    generation: int
    badges: tuple[StatusBadge, ...]
    steps: tuple[StepView, ...]
    pending_steps: tuple[str, ...]
    at: datetime | None
    is_running: bool
    is_unfinished: bool
    is_outdated: bool
    """Zoho has rejected the refresh token since, or the access token."""
    steps_url: str
    """The URL of only the steps, for pages that poll them."""

    @property
    def passed_count(self) -> int:
        """Steps that didn't fail."""
        return sum(each.state != StepState.FAILED for each in self.steps)

    @property
    def passed_at(self) -> datetime | None:
        """When a step last passed."""
        return max((each.at for each in self.steps if each.state == StepState.PASSED), default=None)

    def without_explanation(self, code: str) -> "ReportView":
        """The same without explanations of failure `code`, which the page already shows."""
        steps = tuple(
            replace(each, explanation=None)
            if each.explanation and each.explanation.code == code
            else each
            for each in self.steps
        )
        return replace(self, steps=steps)


def scope_views(scope: Sequence[str]) -> list[ScopeView]:
    """Each scope with its meaning."""
    notes = {each: message("scope-notes", "unusual-here") for each in unusual_scopes(scope)}
    return [
        ScopeView(each, describe_scope(each), each == ACCOUNT_SCOPE, notes.get(each, ""))
        for each in scope
    ]


def connection_row(
    overview: ConnectionOverview, now: datetime, checking_names: Collection[str] = ()
) -> ConnectionRow:
    """The row of one connection; those in `checking_names` are being checked."""
    name, grant = overview.connection.name, overview.grant or overview.candidate
    status = overview.status(now, ActivityKind.CHECKING if name in checking_names else None)
    account = grant.account if grant else None
    detail = (
        describe_access(grant)
        if grant and account
        else describe_scope(overview.connection.scope[0])
    )
    detail = detail[:1].upper() + detail[1:]
    check = status.last_check
    says_more = status.state in (ConnectionState.VERIFIED, ConnectionState.NOT_VERIFIED)
    return ConnectionRow(
        name,
        status.state,
        status_badges(status, now),
        detail,
        checked_at=check.at if check else None,
        check_failure=describe_outcome(check.outcome, name=name)
        if check and check.failure and says_more
        else "",
        email=account.email if account else "",
        owner=overview.connection.owner,
        tags=overview.connection.tags,
        note=overview.connection.note,
    )


def step_view(step: VerificationStep, explain: Callable[[Failure], Explanation]) -> StepView:
    """A step; `explain` explains why it didn't pass."""
    explanation = explain(step.failure) if step.failure else None
    evidence = tuple(map(describe_evidence, step.evidence))
    return StepView(step_title(step.name), step.state.value, evidence, step.at, explanation)


def expected_steps(scope: Sequence[str]) -> tuple[str, ...]:
    """The names of the steps that verify a grant of `scope`."""
    reads = (f"read:{each.id}" for each in products_of(scope))
    return ("refresh", "identity", "organization", *reads, "scope", "clock")


def report_view(
    grant: Grant,
    report: VerificationReport | None,
    is_verifying: bool,
    badges: tuple[StatusBadge, ...],
    explain: Callable[[Failure], Explanation],
) -> ReportView:
    """The report of `grant`. While `is_verifying`, a finished report is from an earlier
    verification and isn't shown."""
    if is_verifying and report is not None and report.finished_at is not None:
        report = None
    completed_steps = report.steps if report else ()
    is_finished = report is not None and report.finished_at is not None
    names = {each.name for each in completed_steps}
    pending_steps = (
        [] if is_finished else [name for name in expected_steps(grant.scope) if name not in names]
    )
    return ReportView(
        headline="" if grant.account is None and is_verifying else headline(grant, completed_steps),
        generation=grant.generation,
        badges=badges,
        steps=tuple(step_view(each, explain) for each in completed_steps),
        pending_steps=tuple(step_title(name) for name in pending_steps),
        at=report.finished_at or report.started_at if report else None,
        is_running=is_verifying,
        is_unfinished=not (is_verifying or is_finished) and grant.state is GrantState.NOT_VERIFIED,
        is_outdated=grant.state is GrantState.NEEDS_REAUTHORIZATION
        or is_access_token_rejected(completed_steps),
        steps_url=f"/connections/{grant.connection}/verification-steps",
    )


def describe_organization(organization: Organization) -> str:
    """Describe an organization in a few words."""
    environment = f", {organization.environment}" if organization.environment else ""
    return f"{product(organization.product).title}: {organization.name}{environment}"


# --- Filters of the templates ----------------------------------------------------------------


def seconds_until(until: datetime | None, now: datetime) -> int:
    """Seconds to wait: at least 1 if `until` is given, else 0."""
    return max(1, round((until - now).total_seconds())) if until else 0


def capped(text: object, max_length: int = MAX_FOREIGN_CHARACTERS) -> str:
    """At most `max_length` characters of a text from outside."""
    written = str(text)
    return written if len(written) <= max_length else f"{written[:max_length]}…"


def prose(text: str, max_length: int = 1000) -> Markup:
    """At most `max_length` characters of a message, with what is in backticks as code."""
    escaped = str(escape(sanitize(capped(text, max_length))))
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped))  # noqa: S704 escaped


def sanitize_value(value: object) -> object:
    """A value for a page: text without control characters, which a copied line would carry into a
    terminal."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return sanitize(value)
