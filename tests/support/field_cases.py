"""Cases of `tests/field`: public reports of failures, each with its confirmed cause."""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.model import Confidence, Explanation, FailureKind

ROOT = Path(__file__).parents[1] / "field"

WITHOUT_VERDICT = {
    "product-error",
    "token-alone",
    "secret-alone",
    "client-id-alone",
    "zoho-address",
}
"""Codes of explanations that say what was pasted, and not what failed."""


class Score(StrEnum):
    """How good an explanation is, given the true cause. The first that applies, from the bottom."""

    RIGHT_FIRST = "right first"
    RIGHT_AMONG = "right among"
    UNKNOWN = "unknown"
    WRONG = "wrong"
    CONFIDENTLY_WRONG = "confidently wrong"


@dataclass(frozen=True)
class FieldCase:
    """A failure as a person pastes it, in our own words where the report has no raw text."""

    name: str
    kind: str
    source: str
    confirmed: str
    """Why the cause is certain, in one sentence."""
    causes: tuple[str, ...]
    """Codes of the true cause. Any of them is right: a heading can say the same as a cause."""
    paste: str
    must: tuple[str, ...] = ()
    """Codes that the explanation must have in addition to a true one."""
    must_not: tuple[str, ...] = ()
    """Codes that it must not have."""
    names: tuple[str, ...] = ()
    """Facts that its text must contain: a scope, a host, a product."""
    never_names: tuple[str, ...] = ()

    def shortcomings(self, result: DiagnosisResult) -> list[str]:
        """What is not as it must be; empty if the explanation is right."""
        codes = codes_of(result.explanation)
        said = replace(result.explanation, failure=None)
        text = repr((said, result.understood))
        grade = score(result.explanation, self.causes)
        found = [] if grade in (Score.RIGHT_FIRST, Score.RIGHT_AMONG) else [str(grade)]
        found += [f"lacks {each}" for each in self.must if each not in codes]
        found += [f"has {each}" for each in self.must_not if each in codes]
        found += [f"doesn't name {each}" for each in self.names if each not in text]
        found += [f"names {each}" for each in self.never_names if each in text]
        return found


def codes_of(explanation: Explanation) -> tuple[str, ...]:
    """The code of an explanation and those of its causes, the most likely first."""
    return explanation.code, *(each.code for each in explanation.causes)


def score(explanation: Explanation, causes: Collection[str]) -> Score:
    """The score of an explanation whose true cause has any of the codes `causes`.

    An explanation without causes is as certain as a confirmed cause.
    """
    code, *ranked = codes_of(explanation)
    if explanation.kind is FailureKind.UNKNOWN or (code in WITHOUT_VERDICT and not ranked):
        return Score.UNKNOWN
    confirmed = {e.code for e in explanation.causes if e.confidence is Confidence.CONFIRMED}
    certain = confirmed if ranked else {code}
    if certain - set(causes):
        return Score.CONFIDENTLY_WRONG
    if code in causes or ranked[0] in causes:
        return Score.RIGHT_FIRST
    return Score.RIGHT_AMONG if set(ranked) & set(causes) else Score.WRONG


def load_cases(folder: str) -> tuple[FieldCase, ...]:
    """The cases of ``tuned`` or ``held_out``, by name."""
    return tuple(_load(path) for path in sorted((ROOT / folder).glob("*.toml")))


def _load(path: Path) -> FieldCase:
    table = tomllib.loads(path.read_text("utf-8"))
    values: dict[str, Any] = {
        key: tuple(each) if isinstance(each, list) else each for key, each in table.items()
    }
    return FieldCase(name=path.stem, **values)


def load_not_yet_right() -> tuple[str, ...]:
    """The names of the tuned cases that the wizard doesn't explain rightly yet."""
    table = tomllib.loads((ROOT / "not_yet_right.toml").read_text("utf-8"))
    return tuple(table["cases"])
