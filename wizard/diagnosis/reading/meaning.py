"""What a text speaks of, and the tables by which it is found."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from wizard.diagnosis.evidence import Met
from wizard.diagnosis.reading.clues import Clues
from wizard.zoho import Zoho


@dataclass(frozen=True)
class Meaning:
    """A failure that a text speaks of."""

    code: str
    word: str = ""
    """Zoho's own."""
    met: Met = Met.UNKNOWN
    details: Mapping[str, str] = field(default_factory=dict)


Rule = Callable[[Clues, Zoho], Meaning | None]
"""Reads one thing; None: the text does not say it."""


def met_of(code: str, clues: Clues) -> Met:
    """Where a failure of `code` was met, as far as the text tells."""
    if code.startswith("zoho-page-"):
        return Met.CONSENT
    if code.startswith(("sign-in-", "sign-up-")):
        return Met.SIGN_IN
    if code.startswith("network-"):
        return Met.NETWORK
    if code != "invalid-code":
        return Met.CLIENT if code.startswith("invalid-client") else Met.UNKNOWN
    names = clues.names
    kinds = {*clues.values("grant_type")} & {"authorization_code", "refresh_token"}
    if kinds == {"authorization_code"} or (not kinds and "code_verifier" in names):
        return Met.EXCHANGE
    if kinds == {"refresh_token"} or (not kinds and "refresh_token" in names):
        return Met.REFRESH
    return Met.UNKNOWN


def status_of(clues: Clues) -> dict[str, str]:
    """The HTTP status of the answer, for the words that name it."""
    return {"status": str(clues.statuses[-1])} if clues.statuses else {}


@cache
def table(name: str) -> dict[str, Any]:
    """One table of `meanings.toml`."""
    return dict(_read("meanings.toml")[name])


@cache
def foreign_phrases() -> dict[str, str]:
    """What Zoho's pages say in other languages than English, and the failure it stands for."""
    languages = _read("languages.toml").values()
    phrases = (of_one[how] for how in ("seen", "guess") for of_one in languages if how in of_one)
    return {text.casefold(): code for each in phrases for text, code in each.items()}


def _read(name: str) -> dict[str, Any]:
    text = resources.files("wizard.diagnosis.reading").joinpath(name).read_text("utf-8")
    return tomllib.loads(text)
