"""A cause with the evidence for and against it, and how a person's answer changes it. Pure.

An answer makes a cause likely, never confirmed. A cause that a person denies becomes less likely
but isn't ruled out: somebody else may be responsible. No answer changes what the evidence decided.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from wizard.diagnosis.evidence import Evidence
from wizard.model import Confidence
from wizard.model.failure_codes import question_causes


@dataclass(frozen=True)
class EvidenceItem:
    """One thing that was seen and speaks for or against a cause; its words stand in the table."""

    code: str
    details: Mapping[str, str | datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class CauseEstimate:
    """A cause as a check weighs it; the words are put to it at the end."""

    code: str
    confidence: Confidence
    evidence_for: tuple[EvidenceItem, ...] = ()
    evidence_against: tuple[EvidenceItem, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    """Of a class whose causes stand in several groups: which."""

    def with_evidence_for(self, *items: EvidenceItem) -> "CauseEstimate":
        """The same, with more that speaks for it."""
        return replace(self, evidence_for=(*self.evidence_for, *items))

    def with_evidence_against(self, *items: EvidenceItem) -> "CauseEstimate":
        """The same, with more that speaks against it."""
        return replace(self, evidence_against=(*self.evidence_against, *items))


CauseCheck = Callable[[Evidence], CauseEstimate | None]
"""Weighs one cause; None: the evidence does not suggest it at all."""


@dataclass(frozen=True)
class FailureClass:
    """Causes that Zoho answers alike."""

    code: str
    checks: tuple[CauseCheck, ...]
    """The commonest cause in the field first: so they rank where the evidence does not decide."""


def in_group(group: str, checks: tuple[CauseCheck, ...]) -> tuple[CauseCheck, ...]:
    """The `checks`, with their causes in `group`."""

    def add_group(check: CauseCheck) -> CauseCheck:
        def grouped_check(evidence: Evidence) -> CauseEstimate | None:
            estimate = check(evidence)
            return replace(estimate, group=group) if estimate else None

        return grouped_check

    return tuple(add_group(check) for check in checks)


def evidence_item(code: str, **details: str | datetime) -> EvidenceItem:
    """A sign with the details of its words."""
    return EvidenceItem(code, details)


def counted_evidence_item(code: str, count: int, **details: str) -> EvidenceItem:
    """A sign with a number in its words; none and one have words of their own."""
    few = ("-none", "-one")
    return evidence_item(
        code + few[count] if count < len(few) else code, count=str(count), **details
    )


def confirmed(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Nothing else fits."""
    return CauseEstimate(code, Confidence.CONFIRMED, items, details=details)


def likely(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Something speaks for it, nothing against."""
    return CauseEstimate(code, Confidence.LIKELY, items, details=details)


def possible(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Nothing decides."""
    return CauseEstimate(code, Confidence.POSSIBLE, items, details=details)


def ruled_out(code: str, *items: EvidenceItem) -> CauseEstimate:
    """It cannot be, because of these `signs`."""
    return CauseEstimate(code, Confidence.RULED_OUT, evidence_against=items)


NONE, NO = "none", "no"
"""Nothing of what was asked; of a single thing it reads as ``no``."""

WHILE_CONNECTING, ON_REFRESH = "while-connecting", "on-refresh"
ORIGIN_ANSWERS = (WHILE_CONNECTING, ON_REFRESH)
"""When a word was met that Zoho has for two classes: the answers to that question."""

ANSWER_EVIDENCE_CODES = ("you-say", "you-deny", "you-deny-others")
"""The signs that an answer leaves."""
AFFIRMED, DENIED, OTHERS_DENIED = (evidence_item(code) for code in ANSWER_EVIDENCE_CODES)


def question_of(estimates: tuple[CauseEstimate, ...], class_code: str) -> str:
    """The code of the question that would decide between the causes `standing` of class `kind`:
    the leading one's own, else that of the class; empty where a person has answered it."""
    own = estimates[0].code if estimates else ""
    open_ones = (each for each in (own, class_code) if _open_causes(each, estimates))
    return next(open_ones, "")


def allowed_answers(question: str, estimates: tuple[CauseEstimate, ...]) -> tuple[str, ...]:
    """The words that may be told to `question`."""
    named = _open_causes(question, estimates)
    others = any(
        each.code not in named and DENIED not in each.evidence_against for each in estimates
    )
    denial = (NO if len(named) == 1 else NONE,) if named and others else ()
    return (*named, *denial)


def apply_answer(
    answer: str, estimates: tuple[CauseEstimate, ...], class_code: str
) -> tuple[CauseEstimate, ...]:
    """The causes `standing` as they weigh after a person has `told` one of them, or that it is none
    of those that the question names. What is certain stays, and so does everything where what was
    told is none of them."""
    if any(each.confidence is Confidence.CONFIRMED for each in estimates):
        return estimates
    if answer in (NONE, NO):
        return _deny(_open_causes(question_of(estimates, class_code), estimates), estimates)
    if all(each.code != answer for each in estimates):
        return estimates
    return tuple(_affirm(each) if each.code == answer else _lower(each) for each in estimates)


def known_answers() -> tuple[str, ...]:
    """Everything that can be told."""
    causes = (cause for named in question_causes().values() for cause in named)
    return tuple(dict.fromkeys((*ORIGIN_ANSWERS, NONE, NO, *causes)))


def is_denied(estimate: CauseEstimate) -> bool:
    """Whether a person has said that it was not so."""
    return DENIED in estimate.evidence_against


def _open_causes(question: str, estimates: tuple[CauseEstimate, ...]) -> tuple[str, ...]:
    """What `question` names of the causes that stand, without what was denied already."""
    could_be = {each.code for each in estimates if not is_denied(each)}
    return tuple(code for code in question_causes().get(question, ()) if code in could_be)


def _deny(
    denied_codes: tuple[str, ...], estimates: tuple[CauseEstimate, ...]
) -> tuple[CauseEstimate, ...]:
    """What is left when these are `denied`; the only one that is, is likely."""
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
