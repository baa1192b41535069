"""What a person is asked where nothing decides, and what the answer weighs.

An answer is said and not seen. It makes a cause likely, never certain; what is denied becomes less
likely and is not ruled out, since somebody else may have done it; and no word moves what the
evidence has decided.
"""

from dataclasses import replace

from wizard.diagnosis.cause_estimates import CauseEstimate, evidence_item
from wizard.errors import message_table
from wizard.model import Confidence
from wizard.model.failure_codes import question_causes

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
    return tuple(message_table()["answers"])


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
