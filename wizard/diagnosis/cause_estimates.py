"""A cause with the evidence for and against it, and how a user's answer changes it. Pure.

An answer makes a cause likely, never confirmed. A denied cause becomes less likely but isn't ruled
out, because someone else may be responsible. An answer doesn't change what the evidence decided.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from wizard.diagnosis.evidence import Evidence
from wizard.model import Confidence
from wizard.model.failure_codes import question_causes


@dataclass(frozen=True)
class EvidenceItem:
    """One observation for or against a cause. Its sentence is in the message table."""

    code: str
    details: Mapping[str, str | datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class CauseEstimate:
    """A cause with its confidence and evidence, without words."""

    code: str
    confidence: Confidence
    evidence_for: tuple[EvidenceItem, ...] = ()
    evidence_against: tuple[EvidenceItem, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    """The group of the cause, in a class with several groups."""

    def with_evidence_for(self, *items: EvidenceItem) -> "CauseEstimate":
        """The same with more evidence for it."""
        return replace(self, evidence_for=(*self.evidence_for, *items))

    def with_evidence_against(self, *items: EvidenceItem) -> "CauseEstimate":
        """The same with more evidence against it."""
        return replace(self, evidence_against=(*self.evidence_against, *items))


CauseCheck = Callable[[Evidence], CauseEstimate | None]
"""Estimates one cause; None: the evidence doesn't suggest it."""


@dataclass(frozen=True)
class FailureClass:
    """Causes with the same error from Zoho."""

    code: str
    checks: tuple[CauseCheck, ...]
    """The most common cause first, which is their order if the evidence doesn't decide."""


def in_group(group: str, checks: tuple[CauseCheck, ...]) -> tuple[CauseCheck, ...]:
    """`checks` whose causes belong to `group`."""

    def add_group(check: CauseCheck) -> CauseCheck:
        def grouped_check(evidence: Evidence) -> CauseEstimate | None:
            estimate = check(evidence)
            return replace(estimate, group=group) if estimate else None

        return grouped_check

    return tuple(add_group(check) for check in checks)


def evidence_item(code: str, **details: str | datetime) -> EvidenceItem:
    """An item of evidence with the values of its sentence."""
    return EvidenceItem(code, details)


def counted_evidence_item(code: str, count: int, **details: str) -> EvidenceItem:
    """An item of evidence with a number; zero and one have their own sentences."""
    few = ("-none", "-one")
    return evidence_item(
        code + few[count] if count < len(few) else code, count=str(count), **details
    )


def confirmed(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Nothing else fits."""
    return CauseEstimate(code, Confidence.CONFIRMED, items, details=details)


def likely(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Some evidence is for it, none against it."""
    return CauseEstimate(code, Confidence.LIKELY, items, details=details)


def possible(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Nothing decides."""
    return CauseEstimate(code, Confidence.POSSIBLE, items, details=details)


def ruled_out(code: str, *items: EvidenceItem) -> CauseEstimate:
    """The `items` exclude it."""
    return CauseEstimate(code, Confidence.RULED_OUT, evidence_against=items)


NONE, NO = "none", "no"
"""Denies all causes that a question names; ``no`` if that is one."""

WHILE_CONNECTING, ON_REFRESH = "while-connecting", "on-refresh"
ORIGIN_ANSWERS = (WHILE_CONNECTING, ON_REFRESH)
"""The answers to the question when Zoho returned an error that belongs to two classes."""

ANSWER_EVIDENCE_CODES = ("you-say", "you-deny", "you-deny-others")
"""The codes of evidence from answers."""
AFFIRMED, DENIED, OTHERS_DENIED = (evidence_item(code) for code in ANSWER_EVIDENCE_CODES)


def question_of(estimates: tuple[CauseEstimate, ...], class_code: str) -> str:
    """The code of the question that would decide: the leading cause's own, otherwise that of the
    class. Empty if it was answered."""
    own = estimates[0].code if estimates else ""
    open_ones = (each for each in (own, class_code) if _open_causes(each, estimates))
    return next(open_ones, "")


def allowed_answers(question: str, estimates: tuple[CauseEstimate, ...]) -> tuple[str, ...]:
    """The answers to a question."""
    named = _open_causes(question, estimates)
    others = any(
        each.code not in named and DENIED not in each.evidence_against for each in estimates
    )
    denial = (NO if len(named) == 1 else NONE,) if named and others else ()
    return (*named, *denial)


def apply_answer(
    answer: str, estimates: tuple[CauseEstimate, ...], class_code: str
) -> tuple[CauseEstimate, ...]:
    """The causes after an answer: one of them, or none of those that the question names. A
    confirmed cause doesn't change, and neither does anything if the answer isn't among the causes.
    """
    if any(each.confidence is Confidence.CONFIRMED for each in estimates):
        return estimates
    if answer in (NONE, NO):
        return _deny(_open_causes(question_of(estimates, class_code), estimates), estimates)
    if all(each.code != answer for each in estimates):
        return estimates
    return tuple(_affirm(each) if each.code == answer else _lower(each) for each in estimates)


def known_answers() -> tuple[str, ...]:
    """All possible answers."""
    causes = (cause for named in question_causes().values() for cause in named)
    return tuple(dict.fromkeys((*ORIGIN_ANSWERS, NONE, NO, *causes)))


def is_denied(estimate: CauseEstimate) -> bool:
    """Whether the user denied it."""
    return DENIED in estimate.evidence_against


def _open_causes(question: str, estimates: tuple[CauseEstimate, ...]) -> tuple[str, ...]:
    """The causes that a question names, without excluded and denied ones."""
    could_be = {each.code for each in estimates if not is_denied(each)}
    return tuple(code for code in question_causes().get(question, ()) if code in could_be)


def _deny(
    denied_codes: tuple[str, ...], estimates: tuple[CauseEstimate, ...]
) -> tuple[CauseEstimate, ...]:
    """The causes without the denied ones; a single remaining one is likely."""
    found = [
        _lower(e).with_evidence_against(DENIED) if e.code in denied_codes else e for e in estimates
    ]
    left = [each for each in found if not is_denied(each)]
    if denied_codes and len(left) == 1 and left[0].confidence is Confidence.POSSIBLE:
        likely = replace(left[0], confidence=Confidence.LIKELY).with_evidence_for(OTHERS_DENIED)
        found[found.index(left[0])] = likely
    return tuple(found)


def _affirm(estimate: CauseEstimate) -> CauseEstimate:
    return replace(estimate, confidence=Confidence.LIKELY).with_evidence_for(AFFIRMED)


def _lower(estimate: CauseEstimate) -> CauseEstimate:
    return replace(estimate, confidence=Confidence.POSSIBLE)
