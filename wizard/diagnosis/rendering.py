"""Render a diagnosis in words, the same for pages, terminal and JSON.

The other modules return codes and data. Nothing else in this package reads the message table,
except for the texts about a password change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlencode

from wizard.diagnosis.evidence import CauseEstimate, Evidence, EvidenceItem
from wizard.diagnosis.judgment import Diagnosis, is_decided, judge_evidence
from wizard.errors import explain, message
from wizard.model import AnswerOption, Cause, Confidence, Explanation, Failure, FailureKind
from wizard.timefmt import format_time


def render(diagnosis: Diagnosis) -> Explanation:
    """Explain a diagnosis. A confirmed cause gives the explanation its words, a likely one its
    fix."""
    known = dict(diagnosis.subject.details)
    if diagnosis.last_worked_at is not None:
        known.setdefault("since", format_time(diagnosis.last_worked_at, diagnosis.now))
    subject = replace(diagnosis.subject, details=known)
    explanation = replace(explain(subject, diagnosis.now), failure=diagnosis.failure)
    if diagnosis.failure_class:
        causes = tuple(_render_cause(each, subject, diagnosis.now) for each in diagnosis.causes)
        explanation = replace(
            explanation,
            failure_class=diagnosis.failure_class,
            class_title=message("classes", diagnosis.failure_class, **known),
            causes=causes,
            ruled_out=tuple(
                _render_cause(each, subject, diagnosis.now) for each in diagnosis.ruled_out
            ),
            question=message("questions", diagnosis.question, **known),
            answer_options=_answer_options(diagnosis),
        )
        if is_decided(causes):
            explanation = _with_leading_cause(explanation, causes[0])
    if diagnosis.incident is None:
        return explanation
    return _with_incident(explanation, diagnosis.incident, diagnosis.now)


def explain_evidence(evidence: Evidence) -> Explanation:
    """Judge evidence and explain what it shows."""
    return render(judge_evidence(evidence))


def explain_failure(failure: Failure, now: datetime | None = None, **details: str) -> Explanation:
    """Explain a failure of which only the failure itself and `details` are known."""
    return explain_evidence(Evidence(failure=failure, details=details, now=now))


def render_items(
    table: str, items: Iterable[EvidenceItem], now: datetime | None
) -> tuple[str, ...]:
    """The sentences for items of evidence, from one table of messages."""
    return tuple(message(table, each.code, **_formatted(each.details, now)) for each in items)


def _formatted(details: Mapping[str, str | datetime], now: datetime | None) -> dict[str, str]:
    return {
        name: format_time(value, now) if isinstance(value, datetime) else value
        for name, value in details.items()
    }


def _render_cause(estimate: CauseEstimate, subject: Failure, now: datetime | None) -> Cause:
    details = {**subject.details, **estimate.details}
    words = explain(replace(subject, code=estimate.code, details=details), now)
    return Cause(
        code=estimate.code,
        title=words.title,
        explanation=words.cause,
        confidence=estimate.confidence,
        evidence_for=render_items("evidence", estimate.evidence_for, now),
        evidence_against=render_items("evidence", estimate.evidence_against, now),
        fix=words.fix,
        next_steps=words.next_steps,
        group=message("answers", estimate.group),
    )


def _answer_options(diagnosis: Diagnosis) -> tuple[AnswerOption, ...]:
    """The possible answers, each with the previous ones, and where to give it."""
    name, options = diagnosis.connection, []
    for each in diagnosis.possible_answers:
        answers = (*diagnosis.answers, each)
        command = " --answer ".join((f"zoho-wizard diagnose {name}", *answers)) if name else ""
        query = urlencode([("answer", answer) for answer in answers])
        path = f"/connections/{name}?{query}" if name else ""
        options.append(AnswerOption(answers, message("answers", each), command, path))
    return tuple(options)


def _with_leading_cause(explanation: Explanation, cause: Cause) -> Explanation:
    explanation = replace(
        explanation, fix=cause.fix, next_steps=cause.next_steps or explanation.next_steps
    )
    if cause.confidence is Confidence.CONFIRMED:
        return replace(explanation, title=cause.title, cause=cause.explanation)
    return explanation


def _with_incident(
    explanation: Explanation, incident: Failure, now: datetime | None
) -> Explanation:
    """The explanation of the first connection, with the words for all of them. A rejected client
    keeps the fix of its own cause."""
    words = explain(incident, now, reason=explanation.title)
    return replace(
        explanation,
        code=incident.code,
        title=words.title,
        cause=words.cause,
        fix=explanation.fix if incident.kind is FailureKind.CLIENT else words.fix,
        next_steps=words.next_steps,
    )
