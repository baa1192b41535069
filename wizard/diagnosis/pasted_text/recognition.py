"""What a text speaks of, and the tables by which it is found."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from wizard.diagnosis.evidence import Origin
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.zoho import Zoho


@dataclass(frozen=True)
class RecognizedFailure:
    """A failure that a text speaks of."""

    code: str
    zoho_error: str = ""
    """Zoho's own."""
    origin: Origin = Origin.UNKNOWN
    details: Mapping[str, str] = field(default_factory=dict)


Rule = Callable[[ParsedText, Zoho], RecognizedFailure | None]
"""Reads one thing; None: the text does not say it."""


def origin_of(code: str, parsed: ParsedText) -> Origin:
    """Where a failure of `code` was met, as far as the text tells."""
    if code.startswith("zoho-page-"):
        return Origin.CONSENT
    if code.startswith(("sign-in-", "sign-up-")):
        return Origin.SIGN_IN
    if code.startswith("network-"):
        return Origin.NETWORK
    if code != "invalid-code":
        return Origin.CLIENT if code.startswith("invalid-client") else Origin.UNKNOWN
    names = parsed.names
    kinds = {*parsed.values("grant_type")} & {"authorization_code", "refresh_token"}
    if kinds == {"authorization_code"} or (not kinds and "code_verifier" in names):
        return Origin.EXCHANGE
    if kinds == {"refresh_token"} or (not kinds and "refresh_token" in names):
        return Origin.REFRESH
    return Origin.UNKNOWN


def status_details(parsed: ParsedText) -> dict[str, str]:
    """The HTTP status of the answer, for the words that name it."""
    return {"status": str(parsed.statuses[-1])} if parsed.statuses else {}


@cache
def recognition_table(name: str) -> dict[str, Any]:
    """One table of `recognized_texts.toml`."""
    return dict(_read_toml("recognized_texts.toml")[name])


@cache
def translated_phrases() -> dict[str, str]:
    """What Zoho's pages say in other languages than English, and the failure it stands for."""
    languages = _read_toml("languages.toml").values()
    phrases = (
        of_one[how] for how in ("observed", "assumed") for of_one in languages if how in of_one
    )
    return {text.casefold(): code for each in phrases for text, code in each.items()}


def _read_toml(name: str) -> dict[str, Any]:
    text = resources.files("wizard.diagnosis.pasted_text").joinpath(name).read_text("utf-8")
    return tomllib.loads(text)
