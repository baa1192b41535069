"""Judge evidence: determine the class of a failure, and rank its causes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import chain

from wizard.diagnosis import api_calls, authorization_codes, clients, programs, tokens
from wizard.diagnosis.evidence import (
    AFFIRMED,
    ON_REFRESH,
    WHILE_CONNECTING,
    CauseEstimate,
    Evidence,
    FailureClass,
    Origin,
    allowed_answers,
    apply_answer,
    evidence_item,
    is_denied,
    question_of,
)
from wizard.model import Cause, Confidence, Failure
from wizard.model.failure import class_of
from wizard.tables import read_table

CLASSES = (
    tokens.REFRESH_TOKEN_REFUSED,
    tokens.ACCESS_TOKEN_REFUSED,
    *authorization_codes.CLASSES,
    *clients.CLASSES,
    *api_calls.CLASSES,
    *programs.CLASSES,
)

CONFIDENCE_ORDER = tuple(Confidence)


@dataclass(frozen=True)
class Diagnosis:
    """What the evidence shows about a failure, as codes and data. `wizard.diagnosis.rendering` adds
    the words."""

    failure: Failure | None
    """What was observed; None: nothing failed."""
    subject: Failure
    """The failure that is explained, with all known details."""
    now: datetime | None = None
    last_worked_at: datetime | None = None
    """When the grant last worked, for the question about what happened since."""
    failure_class: str = ""
    causes: tuple[CauseEstimate, ...] = ()
    """The most likely first."""
    ruled_out: tuple[CauseEstimate, ...] = ()
    question: str = ""
    """The code of the question that would decide; empty if nothing is open."""
    answers: tuple[str, ...] = ()
    """The answers so far."""
    possible_answers: tuple[str, ...] = ()
    """The possible answers to the question."""
    connection: str = ""
    """The connection whose page and command accept an answer; empty if there is none."""
    incident: Failure | None = None
    """The incident of several connections, of which this is the first."""


def judge_evidence(evidence: Evidence) -> Diagnosis:
    """Rank the causes of a failure by the evidence. If it doesn't decide, the diagnosis has a
    question, and the possible answers."""
    failure = evidence.failure or Failure("nothing-wrong")
    if failure.code == "throttled" and evidence.attempt is not None:
        failure = replace(failure, code="consent-throttled")  # the authorization is lost
    record = evidence.grant_record
    diagnosis = Diagnosis(
        failure=evidence.failure,
        subject=replace(failure, details={**evidence.details, **failure.details}),
        now=evidence.now,
        last_worked_at=record.last_worked_at if record else None,
        answers=evidence.answers,
    )
    failure_class = failure_class_of(evidence)
    if failure_class is None:
        return diagnosis
    causes, ruled_out = rank_causes(evidence, failure_class)
    question = "" if is_decided(causes) else _question_of(causes, failure_class)
    return replace(
        diagnosis,
        failure_class=failure_class.code,
        causes=causes,
        ruled_out=ruled_out,
        question=question,
        possible_answers=_possible_answers(question, causes, failure_class),
    )


def failure_class_of(evidence: Evidence) -> FailureClass | None:
    """The class of the failure; None if the failure has a single cause."""
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
    """The causes of a class, the most likely first, and the excluded ones.

    A confirmed cause excludes all others; a single remaining one is likely. Answers are applied
    last. If nothing decides, the causes of most public reports are first, with the number of these.
    """
    reports = reported_causes().get(failure_class.code, {})
    suspicions = [each for check in failure_class.checks if (each := check(evidence))]
    suspicions.sort(key=lambda each: -len(reports.get(each.code, ())))
    ranked = _rank(suspicions)
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
    if not any(each.evidence_for or each.evidence_against for each in estimates):
        estimates = tuple(_with_reports(each, reports) for each in estimates)
    return estimates, tuple(excluded_after_answers)


@cache
def reported_causes() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The public reports in which a cause was confirmed: class → cause → reports."""
    return read_table("diagnosis/reported_causes.toml")


def _with_reports(estimate: CauseEstimate, reports: Mapping[str, tuple[str, ...]]) -> CauseEstimate:
    count, total = len(reports.get(estimate.code, ())), sum(map(len, reports.values()))
    if not count:
        return estimate
    item = evidence_item("in-reports", count=str(count), total=str(total))
    return estimate.with_evidence_for(item)


_CLASS_BY_ANSWER = {
    WHILE_CONNECTING: authorization_codes.CODE_REFUSED,
    ON_REFRESH: tokens.REFRESH_TOKEN_REFUSED,
}
"""The classes that share one error of Zoho's, by when it was returned."""


def _question_of(estimates: tuple[CauseEstimate, ...], failure_class: FailureClass) -> str:
    """The code of the open question; empty if there is none."""
    if failure_class is authorization_codes.CODE_OR_REFRESH_TOKEN_REFUSED:
        return failure_class.code
    return question_of(estimates, failure_class.code)


def _possible_answers(
    question: str, estimates: tuple[CauseEstimate, ...], failure_class: FailureClass
) -> tuple[str, ...]:
    if question and failure_class is authorization_codes.CODE_OR_REFRESH_TOKEN_REFUSED:
        return tuple(_CLASS_BY_ANSWER)
    return allowed_answers(question, estimates)


def _rank(estimates: Iterable[CauseEstimate]) -> tuple[CauseEstimate, ...]:
    """The most likely first, group by group."""
    ranked = sorted(estimates, key=_sort_key)
    groups = dict.fromkeys(each.group for each in ranked)
    return tuple(chain(*([e for e in ranked if e.group == group] for group in groups)))


def is_decided(causes: Sequence[Cause | CauseEstimate]) -> bool:
    """Whether one cause is more likely than all others."""
    if not causes or causes[0].confidence is Confidence.POSSIBLE:
        return False
    return len(causes) == 1 or causes[0].confidence is not causes[1].confidence


def _sort_key(estimate: CauseEstimate) -> tuple[int, bool, int]:
    balance = len(estimate.evidence_for) - len(estimate.evidence_against)
    return CONFIDENCE_ORDER.index(estimate.confidence), is_denied(estimate), -balance
