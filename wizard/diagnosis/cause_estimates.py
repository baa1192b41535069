"""How a check puts down what it thinks: a suspicion, with the signs for and against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from wizard.diagnosis.evidence import Evidence
from wizard.model import Confidence


@dataclass(frozen=True)
class EvidenceItem:
    """One thing that was seen and speaks for or against a cause; its words stand in the table."""

    code: str
    details: Mapping[str, str] = field(default_factory=dict)


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


def evidence_item(code: str, **details: str) -> EvidenceItem:
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
