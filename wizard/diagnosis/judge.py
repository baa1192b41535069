"""Judges evidence: which class a failure is of, and its causes, ranked. Pure; asks nobody."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import chain

from wizard.diagnosis import access, answers, calls, clients, codes, grants
from wizard.diagnosis.evidence import Evidence, Met
from wizard.diagnosis.weighing import FailureClass, Sign, Suspicion
from wizard.errors import explain, phrase, spoken
from wizard.model import Answer, Cause, Confidence, Failure, Finding

CLASSES = (
    grants.REFRESH_TOKEN_REFUSED,
    access.ACCESS_TOKEN_REFUSED,
    *codes.CLASSES,
    *clients.CLASSES,
    *calls.CLASSES,
)

RANK = tuple(Confidence)


def judge(evidence: Evidence) -> Finding:
    """The finding that `evidence` bears: the words of its failure, its class, and the causes that
    Zoho answers alike, ranked by what separates them.

    One cause that is certain makes the finding its own; of a likely one the finding takes the
    remedy. Where no cause stands out, the finding asks the question that would decide, and offers
    the answers that a person may give.
    """
    failure = evidence.failure or Failure("nothing-wrong")
    if failure.code == "throttled" and evidence.attempt is not None:
        failure = replace(failure, code="consent-throttled")  # it is a consent that is lost
    known = {**_since(evidence), **evidence.details, **failure.details}
    found = explain(replace(failure, details=known), evidence.now)
    found = replace(found, failure=evidence.failure)
    kind = class_of(evidence)
    if kind is None:
        return found
    standing, excluded = weigh(evidence, kind)
    causes = tuple(_cause(each, failure, known, evidence.now) for each in standing)
    question = "" if decided(causes) else _question_of(standing, kind)
    found = replace(
        found,
        failure_class=kind.code,
        class_title=phrase("classes", kind.code, **known),
        causes=causes,
        ruled_out=tuple(_cause(each, failure, known, evidence.now) for each in excluded),
        question=phrase("questions", question, **known),
        answers=_answers(question, standing, kind, evidence),
    )
    return _led_by(causes[0], found) if decided(causes) else found


def finding_of(failure: Failure, now: datetime | None = None, **details: str) -> Finding:
    """The finding for `failure` where nothing is known but the failure itself and `details`."""
    return judge(Evidence(failure=failure, details=details, now=now))


def class_of(evidence: Evidence) -> FailureClass | None:
    """The class of the failure; None for one with a single cause, which its words name."""
    code = evidence.failure.code if evidence.failure else ""
    if code == "invalid-code" and evidence.met is Met.EXCHANGE:
        return codes.CODE_REFUSED
    if code == "invalid-code" and evidence.met is Met.UNKNOWN and evidence.grant is None:
        told = (_PARTS[each] for each in evidence.told if each in _PARTS)
        return next(told, codes.CODE_OR_REFRESH_TOKEN_REFUSED)
    return next((kind for kind in CLASSES if code in kind.failures), None)


def weigh(
    evidence: Evidence, kind: FailureClass
) -> tuple[tuple[Suspicion, ...], tuple[Suspicion, ...]]:
    """The causes of a class that stand, the likeliest first, and those that are ruled out.

    A certain cause leaves no room for others; the only one that is left of several is likely.
    What a person has told is weighed last.
    """
    suspicions = (check(evidence) for check in kind.checks)
    ranked = _ranked(each for each in suspicions if each is not None)
    excluded = tuple(each for each in ranked if each.confidence is Confidence.RULED_OUT)
    standing = tuple(each for each in ranked if each.confidence is not Confidence.RULED_OUT)
    if standing and standing[0].confidence is Confidence.CERTAIN:
        return standing[:1], excluded
    if len(standing) == 1 and excluded and standing[0].confidence is Confidence.POSSIBLE:
        return (replace(standing[0], confidence=Confidence.LIKELY),), excluded
    for told in evidence.told:
        standing = _ranked(answers.heard(told, standing, kind.code))
    said = (e.seen(answers.SAID) if e.code in evidence.told else e for e in excluded)
    return standing, tuple(said)


_PARTS = {
    answers.WHILE_CONNECTING: codes.CODE_REFUSED,
    answers.ON_REFRESH: grants.REFRESH_TOKEN_REFUSED,
}
"""The classes that Zoho has one word for, by the moment at which it was met."""


def _question_of(standing: tuple[Suspicion, ...], kind: FailureClass) -> str:
    """The code of the question that is still open; empty: there is none."""
    if kind is codes.CODE_OR_REFRESH_TOKEN_REFUSED:
        return kind.code
    return answers.question_of(standing, kind.code)


def _answers(
    question: str, standing: tuple[Suspicion, ...], kind: FailureClass, evidence: Evidence
) -> tuple[Answer, ...]:
    """What a person may answer, each with what was answered before."""
    if not question:
        return ()
    both = kind is codes.CODE_OR_REFRESH_TOKEN_REFUSED
    offered = tuple(_PARTS) if both else answers.answers_to(question, standing)
    return tuple(Answer((*evidence.told, each), phrase("answers", each)) for each in offered)


def _ranked(suspicions: Iterable[Suspicion]) -> tuple[Suspicion, ...]:
    """The likeliest first, group by group where they stand in groups."""
    ranked = sorted(suspicions, key=_weight)
    groups = dict.fromkeys(each.group for each in ranked)
    return tuple(chain(*([e for e in ranked if e.group == group] for group in groups)))


def decided(causes: tuple[Cause, ...]) -> bool:
    """Whether one cause stands out."""
    if not causes or causes[0].confidence is Confidence.POSSIBLE:
        return False
    return len(causes) == 1 or causes[0].confidence is not causes[1].confidence


def _weight(suspicion: Suspicion) -> tuple[int, bool, int]:
    balance = len(suspicion.signs_for) - len(suspicion.signs_against)
    return RANK.index(suspicion.confidence), answers.is_denied(suspicion), -balance


def _led_by(cause: Cause, found: Finding) -> Finding:
    """The finding with the remedy of its leading cause, and its words where that is certain."""
    found = replace(found, remedy=cause.remedy, steps=cause.steps or found.steps)
    if cause.confidence is Confidence.CERTAIN:
        return replace(found, title=cause.title, cause=cause.explanation)
    return found


def _cause(
    suspicion: Suspicion, failure: Failure, known: Mapping[str, str], now: datetime | None
) -> Cause:
    """The words of a suspicion."""
    details = {**known, **suspicion.details}
    words = explain(replace(failure, code=suspicion.code, details=details), now)
    return Cause(
        code=suspicion.code,
        title=words.title,
        explanation=words.cause,
        confidence=suspicion.confidence,
        evidence_for=_sentences(suspicion.signs_for),
        evidence_against=_sentences(suspicion.signs_against),
        remedy=words.remedy,
        steps=words.steps,
        group=phrase("answers", suspicion.group),
    )


def _sentences(signs: tuple[Sign, ...]) -> tuple[str, ...]:
    return tuple(phrase("signs", each.code, **each.details) for each in signs)


def _since(evidence: Evidence) -> dict[str, str]:
    """When the grant is last known to have worked, for the question about what happened since."""
    if evidence.life is None:
        return {}
    return {"since": spoken(evidence.life.worked_at, evidence.now)}
