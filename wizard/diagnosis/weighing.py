"""How a check puts down what it thinks: a suspicion, with the signs for and against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from wizard.diagnosis.evidence import Evidence
from wizard.model import Confidence


@dataclass(frozen=True)
class Sign:
    """One thing that was seen and speaks for or against a cause; its words stand in the table."""

    code: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Suspicion:
    """A cause as a check weighs it; the words are put to it at the end."""

    code: str
    confidence: Confidence
    signs_for: tuple[Sign, ...] = ()
    signs_against: tuple[Sign, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    """Of a class whose causes stand in several groups: which."""

    def seen(self, *signs: Sign) -> "Suspicion":
        """The same, with more that speaks for it."""
        return replace(self, signs_for=(*self.signs_for, *signs))

    def against(self, *signs: Sign) -> "Suspicion":
        """The same, with more that speaks against it."""
        return replace(self, signs_against=(*self.signs_against, *signs))


Check = Callable[[Evidence], Suspicion | None]
"""Weighs one cause; None: the evidence does not suggest it at all."""


@dataclass(frozen=True)
class FailureClass:
    """Causes that Zoho answers alike."""

    code: str
    failures: frozenset[str]
    """Codes of the failures that belong to it."""
    checks: tuple[Check, ...]
    """The commonest cause in the field first: so they rank where the evidence does not decide."""


def within(group: str, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """The `checks`, with their causes in `group`."""

    def grouped(check: Check) -> Check:
        def weighed(evidence: Evidence) -> Suspicion | None:
            suspicion = check(evidence)
            return replace(suspicion, group=group) if suspicion else None

        return weighed

    return tuple(grouped(check) for check in checks)


def sign(code: str, **details: str) -> Sign:
    """A sign with the details of its words."""
    return Sign(code, details)


def counted(code: str, count: int, **details: str) -> Sign:
    """A sign with a number in its words; none and one have words of their own."""
    few = ("-none", "-one")
    return sign(code + few[count] if count < len(few) else code, count=str(count), **details)


def certain(code: str, *signs: Sign, **details: str) -> Suspicion:
    """Nothing else fits."""
    return Suspicion(code, Confidence.CERTAIN, signs, details=details)


def likely(code: str, *signs: Sign, **details: str) -> Suspicion:
    """Something speaks for it, nothing against."""
    return Suspicion(code, Confidence.LIKELY, signs, details=details)


def possible(code: str, *signs: Sign, **details: str) -> Suspicion:
    """Nothing decides."""
    return Suspicion(code, Confidence.POSSIBLE, signs, details=details)


def ruled_out(code: str, *signs: Sign) -> Suspicion:
    """It cannot be, because of these `signs`."""
    return Suspicion(code, Confidence.RULED_OUT, signs_against=signs)


def spoken(at: datetime, now: datetime | None) -> str:
    """A time of today by its hour, any other with its day."""
    here = at.astimezone()
    today = now is not None and here.date() == now.astimezone().date()
    return f"{here:%H:%M}" if today else f"{here.day} {here:%B, %H:%M}"
