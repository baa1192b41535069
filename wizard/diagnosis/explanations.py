"""Judges evidence: which class a failure is of, and its causes, ranked. Pure; asks nobody."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import chain

from wizard.diagnosis import (
    access_tokens,
    api_calls,
    authorization_codes,
    clients,
    refresh_tokens,
)
from wizard.diagnosis.cause_estimates import (
    AFFIRMED,
    ON_REFRESH,
    WHILE_CONNECTING,
    CauseEstimate,
    EvidenceItem,
    FailureClass,
    allowed_answers,
    apply_answer,
    is_denied,
    question_of,
)
from wizard.diagnosis.evidence import Evidence, Origin
from wizard.errors import explain, message
from wizard.model import AnswerOption, Cause, Confidence, Explanation, Failure
from wizard.model.failure_codes import class_of
from wizard.timefmt import format_time

CLASSES = (
    refresh_tokens.REFRESH_TOKEN_REFUSED,
    access_tokens.ACCESS_TOKEN_REFUSED,
    *authorization_codes.CLASSES,
    *clients.CLASSES,
    *api_calls.CLASSES,
)

CONFIDENCE_ORDER = tuple(Confidence)


def explain_evidence(evidence: Evidence) -> Explanation:
    """The finding that `evidence` bears: the words of its failure, its class, and the causes that
    Zoho answers alike, ranked by what separates them.

    One cause that is certain makes the finding its own; of a likely one the finding takes the
    remedy. Where no cause stands out, the finding asks the question that would decide, and offers
    the answers that a person may give.
    """
    failure = evidence.failure or Failure("nothing-wrong")
    if failure.code == "throttled" and evidence.attempt is not None:
        failure = replace(failure, code="consent-throttled")  # it is a consent that is lost
    known = {**_last_worked_details(evidence), **evidence.details, **failure.details}
    found = explain(replace(failure, details=known), evidence.now)
    found = replace(found, failure=evidence.failure)
    kind = failure_class_of(evidence)
    if kind is None:
        return found
    estimates, excluded = rank_causes(evidence, kind)
    causes = tuple(_to_cause(each, failure, known, evidence.now) for each in estimates)
    question = "" if is_decided(causes) else _question_of(estimates, kind)
    found = replace(
        found,
        failure_class=kind.code,
        class_title=message("classes", kind.code, **known),
        causes=causes,
        ruled_out=tuple(_to_cause(each, failure, known, evidence.now) for each in excluded),
        question=message("questions", question, **known),
        answer_options=_answer_options(question, estimates, kind, evidence),
    )
    return _with_leading_cause(causes[0], found) if is_decided(causes) else found


def explain_failure(failure: Failure, now: datetime | None = None, **details: str) -> Explanation:
    """The finding for `failure` where nothing is known but the failure itself and `details`."""
    return explain_evidence(Evidence(failure=failure, details=details, now=now))


def failure_class_of(evidence: Evidence) -> FailureClass | None:
    """The class of the failure; None for one with a single cause, which its words name."""
    code = evidence.failure.code if evidence.failure else ""
    if code == "invalid-code" and evidence.origin is Origin.EXCHANGE:
        return authorization_codes.CODE_REFUSED
    if code == "invalid-code" and evidence.origin is Origin.UNKNOWN and evidence.grant is None:
        chosen = (_CLASS_BY_ANSWER[each] for each in evidence.answers if each in _CLASS_BY_ANSWER)
        return next(chosen, authorization_codes.CODE_OR_REFRESH_TOKEN_REFUSED)
    return next((each for each in CLASSES if each.code == class_of(code)), None)


def rank_causes(
    evidence: Evidence, failure_class: FailureClass
) -> tuple[tuple[CauseEstimate, ...], tuple[CauseEstimate, ...]]:
    """The causes of a class that stand, the likeliest first, and those that are ruled out.

    A certain cause leaves no room for others; the only one that is left of several is likely.
    What a person has told is weighed last.
    """
    suspicions = (check(evidence) for check in failure_class.checks)
    ranked = _rank(each for each in suspicions if each is not None)
    excluded = tuple(each for each in ranked if each.confidence is Confidence.RULED_OUT)
    estimates = tuple(each for each in ranked if each.confidence is not Confidence.RULED_OUT)
    if estimates and estimates[0].confidence is Confidence.CONFIRMED:
        return estimates[:1], excluded
    if len(estimates) == 1 and excluded and estimates[0].confidence is Confidence.POSSIBLE:
        return (replace(estimates[0], confidence=Confidence.LIKELY),), excluded
    for answer in evidence.answers:
        estimates = _rank(apply_answer(answer, estimates, failure_class.code))
    excluded_after_answers = (
        e.with_evidence_for(AFFIRMED) if e.code in evidence.answers else e for e in excluded
    )
    return estimates, tuple(excluded_after_answers)


_CLASS_BY_ANSWER = {
    WHILE_CONNECTING: authorization_codes.CODE_REFUSED,
    ON_REFRESH: refresh_tokens.REFRESH_TOKEN_REFUSED,
}
"""The classes that Zoho has one word for, by the moment at which it was met."""


def _question_of(estimates: tuple[CauseEstimate, ...], failure_class: FailureClass) -> str:
    """The code of the question that is still open; empty: there is none."""
    if failure_class is authorization_codes.CODE_OR_REFRESH_TOKEN_REFUSED:
        return failure_class.code
    return question_of(estimates, failure_class.code)


def _answer_options(
    question: str,
    estimates: tuple[CauseEstimate, ...],
    failure_class: FailureClass,
    evidence: Evidence,
) -> tuple[AnswerOption, ...]:
    """What a person may answer, each with what was answered before."""
    if not question:
        return ()
    both = failure_class is authorization_codes.CODE_OR_REFRESH_TOKEN_REFUSED
    offered = tuple(_CLASS_BY_ANSWER) if both else allowed_answers(question, estimates)
    return tuple(
        AnswerOption((*evidence.answers, each), message("answers", each)) for each in offered
    )


def _rank(estimates: Iterable[CauseEstimate]) -> tuple[CauseEstimate, ...]:
    """The likeliest first, group by group where they stand in groups."""
    ranked = sorted(estimates, key=_sort_key)
    groups = dict.fromkeys(each.group for each in ranked)
    return tuple(chain(*([e for e in ranked if e.group == group] for group in groups)))


def is_decided(causes: tuple[Cause, ...]) -> bool:
    """Whether one cause stands out."""
    if not causes or causes[0].confidence is Confidence.POSSIBLE:
        return False
    return len(causes) == 1 or causes[0].confidence is not causes[1].confidence


def _sort_key(estimate: CauseEstimate) -> tuple[int, bool, int]:
    balance = len(estimate.evidence_for) - len(estimate.evidence_against)
    return CONFIDENCE_ORDER.index(estimate.confidence), is_denied(estimate), -balance


def _with_leading_cause(cause: Cause, explanation: Explanation) -> Explanation:
    """The finding with the remedy of its leading cause, and its words where that is certain."""
    explanation = replace(
        explanation, fix=cause.fix, next_steps=cause.next_steps or explanation.next_steps
    )
    if cause.confidence is Confidence.CONFIRMED:
        return replace(explanation, title=cause.title, cause=cause.explanation)
    return explanation


def _to_cause(
    estimate: CauseEstimate, failure: Failure, known: Mapping[str, str], now: datetime | None
) -> Cause:
    """The words of a suspicion."""
    details = {**known, **estimate.details}
    words = explain(replace(failure, code=estimate.code, details=details), now)
    return Cause(
        code=estimate.code,
        title=words.title,
        explanation=words.cause,
        confidence=estimate.confidence,
        evidence_for=_evidence_sentences(estimate.evidence_for),
        evidence_against=_evidence_sentences(estimate.evidence_against),
        fix=words.fix,
        next_steps=words.next_steps,
        group=message("answers", estimate.group),
    )


def _evidence_sentences(items: tuple[EvidenceItem, ...]) -> tuple[str, ...]:
    return tuple(message("evidence", each.code, **each.details) for each in items)


def _last_worked_details(evidence: Evidence) -> dict[str, str]:
    """When the grant is last known to have worked, for the question about what happened since."""
    if evidence.grant_record is None:
        return {}
    return {"since": format_time(evidence.grant_record.last_worked_at, evidence.now)}
