"""What a person is asked where nothing decides, and what the answer weighs.

An answer is said and not seen. It makes a cause likely, never certain; what is denied becomes less
likely and is not ruled out, since somebody else may have done it; and no word moves what the
evidence has decided.
"""

from collections.abc import Mapping
from dataclasses import replace

from wizard.diagnosis.weighing import Suspicion, sign
from wizard.errors import words
from wizard.model import Confidence

NONE, NO = "none", "no"
"""Nothing of what was asked; of a single thing it reads as ``no``."""

WHILE_CONNECTING, ON_REFRESH = "while-connecting", "on-refresh"
MOMENTS = (WHILE_CONNECTING, ON_REFRESH)
"""When a word was met that Zoho has for two classes: the answers to that question."""

ASKED: Mapping[str, tuple[str, ...]] = {
    "app-removed": ("app-removed", "token-revoked-elsewhere"),
    "refresh-token-evicted": ("refresh-token-evicted",),
    "token-revoked-elsewhere": ("token-revoked-elsewhere", "refresh-token-evicted"),
    "refresh-token-refused": ("password-changed", "user-deactivated", "app-removed"),
    "access-token-refused": ("access-token-of-other-data-centre", "access-token-expired"),
    "code-refused": ("code-expired", "code-used"),
    "redirect-uri-refused": ("redirect-uri-differs", "redirect-uri-unregistered"),
    "consent-refused": ("consent-rejected",),
    "consents-used-up": ("codes-used-up", "too-many-refresh-tokens"),
    "no-organization-there": ("wrong-person-signed-in", "product-not-set-up"),
    "no-refresh-token-given": ("consent-not-shown", "access-type-online"),
    "dies-within-the-hour": ("no-refresh-token-stored", "expiry-arithmetic"),
    "client-unknown": ("client-of-other-data-centre", "client-id-wrong", "client-deleted"),
    "secret-refused": ("secret-of-other-data-centre", "secret-renewed"),
    "not-a-token-request": ("token-request-by-get", "token-request-as-json"),
    "permission-refused": (
        *("role-without-right", "organization-not-reached", "environment-differs"),
    ),
    "organization-refused": ("organization-not-reached", "environment-differs"),
    "refused-without-a-reason": ("role-without-right",),
    "too-many-requests": ("throttled-by-others",),
    "wrong-address": ("wrong-host", "wrong-version"),
    "not-zohos-answer": ("captive-portal", "zoho-answers-with-a-page"),
    "certificate-refused": ("tls-inspected",),
}
"""The question of a cause or of a class → the causes that it names."""

OF_ANSWERS = ("you-say", "you-deny", "you-deny-others")
"""The signs that an answer leaves."""
SAID, DENIED, LEFT = (sign(code) for code in OF_ANSWERS)


def question_of(standing: tuple[Suspicion, ...], kind: str) -> str:
    """The code of the question that would decide between the causes `standing` of class `kind`:
    the leading one's own, else that of the class; empty where a person has answered it."""
    own = standing[0].code if standing else ""
    open_ones = (each for each in (own, kind) if _named(each, standing))
    return next(open_ones, "")


def answers_to(question: str, standing: tuple[Suspicion, ...]) -> tuple[str, ...]:
    """The words that may be told to `question`."""
    named = _named(question, standing)
    others = any(each.code not in named and DENIED not in each.signs_against for each in standing)
    denial = (NO if len(named) == 1 else NONE,) if named and others else ()
    return (*named, *denial)


def heard(told: str, standing: tuple[Suspicion, ...], kind: str) -> tuple[Suspicion, ...]:
    """The causes `standing` as they weigh after a person has `told` one of them, or that it is none
    of those that the question names. What is certain stays, and so does everything where what was
    told is none of them."""
    if any(each.confidence is Confidence.CERTAIN for each in standing):
        return standing
    if told in (NONE, NO):
        return _without(_named(question_of(standing, kind), standing), standing)
    if all(each.code != told for each in standing):
        return standing
    return tuple(_believed(each) if each.code == told else _lowered(each) for each in standing)


def known() -> tuple[str, ...]:
    """Everything that can be told."""
    return tuple(words()["answers"])


def is_denied(suspicion: Suspicion) -> bool:
    """Whether a person has said that it was not so."""
    return DENIED in suspicion.signs_against


def _named(question: str, standing: tuple[Suspicion, ...]) -> tuple[str, ...]:
    """What `question` names of the causes that stand, without what was denied already."""
    could_be = {each.code for each in standing if not is_denied(each)}
    return tuple(code for code in ASKED.get(question, ()) if code in could_be)


def _without(denied: tuple[str, ...], standing: tuple[Suspicion, ...]) -> tuple[Suspicion, ...]:
    """What is left when these are `denied`; the only one that is, is likely."""
    found = [_lowered(e).against(DENIED) if e.code in denied else e for e in standing]
    left = [each for each in found if not is_denied(each)]
    if denied and len(left) == 1 and left[0].confidence is Confidence.POSSIBLE:
        likely = replace(left[0], confidence=Confidence.LIKELY).seen(LEFT)
        found[found.index(left[0])] = likely
    return tuple(found)


def _believed(suspicion: Suspicion) -> Suspicion:
    return replace(suspicion, confidence=Confidence.LIKELY).seen(SAID)


def _lowered(suspicion: Suspicion) -> Suspicion:
    return replace(suspicion, confidence=Confidence.POSSIBLE)
