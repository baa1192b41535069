"""Facts of an answer, and their comparison with what the simulator answers. Pure.

A fact is a status, a name or a code word, never a value that could be a secret or name the account.
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from wizard.comparison.probes import Fact, Facts, Probe, ProbeTable
from wizard.credential_formats import TOKEN
from wizard.transport import HttpResponse, parse_json
from wizard.zoho import DataCenter, Zoho

ABSENT = "absent"
"""A fact that the answer doesn't have."""
CONTEXT = ("status", "body", "members")
"""Facts that help to understand any difference."""

_CODE_WORD = re.compile(
    r"(?=.{1,60}\Z)(?:Bearer|[A-Z0-9][A-Z0-9_.-]*|[a-z0-9][a-z0-9_.-]*|[A-Za-z][a-z]+(?:[A-Z][a-z]+)+)"
)
"""In one case or in camel case. A name begins with one capital letter."""
_MEMBER_NAME = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}")
_MAX_SHOWN_NUMBER = 10_000_000
"""A longer one may be an ID."""


class Outcome(StrEnum):
    """What a comparison found about a rule."""

    AS_SIMULATED = "as_simulated"
    DIFFERS = "differs"
    NOT_COMPARED = "not_compared"


@dataclass(frozen=True)
class KnownValues:
    """What the facts of an answer are relative to."""

    zoho: Zoho
    data_center: DataCenter
    scope: tuple[str, ...]
    state: str = field(default="", repr=False)
    issued: frozenset[str] = field(default=frozenset(), repr=False)
    """Access tokens of earlier answers."""


@dataclass(frozen=True)
class Observation:
    """The facts of one answer, or why there are none."""

    facts: Facts | None
    reason: str = ""
    """A key of the table of reasons; empty if there are facts."""


@dataclass(frozen=True)
class Difference:
    """One answer that differs from the simulator's."""

    request: str
    """Which request; `wizard/comparison/probes.toml` describes it."""
    call: str
    """Its method, host and path."""
    expected: Mapping[str, str]
    """By fact: what the simulator answers."""
    seen: Mapping[str, str]
    """By fact: what Zoho answered, without secrets and without anything that names the account."""


@dataclass(frozen=True)
class RuleComparison:
    """What was found about one rule of the simulator."""

    rule: str
    confidence: str
    """How certain it was: sure, likely or guess."""
    outcome: Outcome
    reason: str | None
    """Why it wasn't compared; null if it was."""
    answers: int
    """How many answers were compared."""
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class ComparisonReport:
    """The result of `compare`, which contains no secret and doesn't name the account."""

    version: str
    compared_at: datetime
    location: str
    """The data center."""
    is_live: bool
    """False: it was a simulator."""
    revocation: str
    """What happened to the refresh token: `revoked`, `not-issued` or `failed`."""
    counts: Mapping[str, int]
    """By outcome: how many rules."""
    rules: tuple[RuleComparison, ...]


# --- Facts ----------------------------------------------------------------------------------------


def facts_of(response: HttpResponse, names: Iterable[str], known: KnownValues) -> Facts:
    """The named facts of a response, and `CONTEXT`."""
    return {name: _fact(name, response, known) for name in dict.fromkeys((*names, *CONTEXT))}


def redirect_facts(status: int, host: str, names: Iterable[str], known: KnownValues) -> Facts:
    """The named facts of a redirect to `host`, which is empty for a relative URL."""
    is_own = host in ("", urlsplit(known.data_center.accounts_server).hostname)
    redirect = "the accounts server" if is_own else "another host"
    found: Facts = {"status": status, "redirect": redirect}
    return {name: found.get(name, ABSENT) for name in dict.fromkeys((*names, *CONTEXT))}


def callback_facts(url: str, names: Iterable[str], known: KnownValues) -> Facts:
    """The named facts of a callback URL."""
    query = "".join(url.split()).partition("?")[2]
    pairs = parse_qsl(query, keep_blank_values=True)
    values = dict(pairs)
    found: Facts = {
        "parameters": tuple(sorted(_member_name(name) for name, _ in pairs)),
        "parameter_order": tuple(_member_name(name) for name, _ in pairs),
        "code": "present" if values.get("code") else ABSENT,
        "code_format": "1000.(32 hex).(32 hex)"
        if TOKEN.fullmatch(values.get("code", ""))
        else "other",
        "state": "unchanged" if values.get("state") == known.state else "changed",
        "accounts_server_encoding": "none"
        if "accounts-server=http://" in query or "accounts-server=https://" in query
        else "percent",
        "last_character": "&" if query.endswith("&") else "none",
    }
    return {name: found[name] for name in names}


def _fact(name: str, response: HttpResponse, known: KnownValues) -> Fact:
    if name in _FACTS:
        return _FACTS[name](response, known)
    source, _, path = name.partition(".")
    part = {"id_token": 0, "claims": 1}.get(source)
    document = response.json if part is None else _id_token_part(response, part)
    return _member(document, path.split("."))


def _body_kind(response: HttpResponse, _known: KnownValues) -> Fact:
    text = response.body.decode("utf-8", "replace")
    if response.json is not None:
        return "json"
    if not text.strip():
        return "blank" if text else "empty"
    return "html" if text.lstrip().startswith("<") else "text"


def _last_character(response: HttpResponse, _known: KnownValues) -> Fact:
    last = response.body.decode("utf-8", "replace")[-1:]
    return {"}": "}", "\n": "line break", "": "none"}.get(last, "other")


def _accounts_servers(response: HttpResponse, known: KnownValues) -> Fact:
    """Whether every listed accounts server is that of the table."""
    listed = response.json.get("locations") if isinstance(response.json, dict) else None
    table = {each.location: each.accounts_server for each in known.zoho.data_centers}
    is_as_in_table = isinstance(listed, dict) and listed.items() <= table.items()
    return "as in the table" if is_as_in_table else "different"


def _issuer(response: HttpResponse, known: KnownValues) -> Fact:
    issuer = response.json.get("issuer") if isinstance(response.json, dict) else None
    return "the accounts server" if issuer == known.data_center.accounts_server else "different"


def _api_domain(response: HttpResponse, known: KnownValues) -> Fact:
    named = response.issued("api_domain")
    return "the data center’s" if named == known.data_center.api_domain else "different"


def _granted(response: HttpResponse) -> str:
    scope = response.issued("scope")
    return scope if isinstance(scope, str) else ""


def _scopes(response: HttpResponse, known: KnownValues) -> Fact:
    granted = set(re.split(r"[\s,]+", _granted(response)))
    requested = set(known.scope)
    if granted == requested:
        return "as requested"
    return "fewer" if granted < requested else "more" if granted > requested else "different"


def _scope_separator(response: HttpResponse, _known: KnownValues) -> Fact:
    found = {"," in _granted(response): "comma", " " in _granted(response): "space"}
    return found.get(True, "none")


def _access_token(response: HttpResponse, known: KnownValues) -> Fact:
    token = response.issued("access_token")
    if not token:
        return ABSENT
    return "repeated" if isinstance(token, str) and token in known.issued else "new"


def _refresh_token(response: HttpResponse, _known: KnownValues) -> Fact:
    return "present" if response.issued_values("refresh_token") else ABSENT


def _media_type(response: HttpResponse, _known: KnownValues) -> Fact:
    named = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return named if re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", named) else ABSENT


_FACTS: Mapping[str, Callable[[HttpResponse, KnownValues], Fact]] = {
    "status": lambda response, _: response.status,
    "media_type": _media_type,
    "body": _body_kind,
    "members": lambda response, _: _member(response.json, ["members"]),
    "redirect": lambda _response, _: ABSENT,
    "last_character": _last_character,
    "accounts_servers": _accounts_servers,
    "issuer": _issuer,
    "api_domain": _api_domain,
    "scopes": _scopes,
    "scope_separator": _scope_separator,
    "access_token": _access_token,
    "refresh_token": _refresh_token,
}
"""Any other fact is a code word in the JSON, as ``json.error.title``, or the names of an object's
members, as ``json.error.members``. The header of the ID token is ``id_token``, its payload is
``claims``."""


def _id_token_part(response: HttpResponse, part: int) -> Any:
    """The header (0) or the claims (1) of the ID token."""
    with suppress(ValueError, IndexError):
        encoded = str(response.issued("id_token")).split(".")[part]
        return parse_json(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    return None


def _member(document: Any, path: list[str]) -> Fact:
    """What is at `path` in a JSON value: a code word, or the names of an object's members."""
    for name in path:
        if isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        elif isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, dict) and name == "members":
            return tuple(sorted(map(_member_name, document)))
        else:
            return ABSENT
    return _code_word(document)


def _code_word(value: Any) -> Fact:
    """A value that can be only a code; anything else is described."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        return value if abs(value) < _MAX_SHOWN_NUMBER else "a long number"
    if isinstance(value, str):
        if not _CODE_WORD.fullmatch(value):
            return "other text"
        is_long_number = value.isdigit() and int(value) >= _MAX_SHOWN_NUMBER
        return "other text" if is_long_number else value
    return (
        "an object"
        if isinstance(value, dict)
        else "a list"
        if isinstance(value, list)
        else "a number"
    )


def _member_name(name: str) -> str:
    return name if _MEMBER_NAME.fullmatch(name) else "(other name)"


# --- Comparison -----------------------------------------------------------------------------------


def compare(
    table: ProbeTable, observations: Mapping[str, Observation]
) -> tuple[RuleComparison, ...]:
    """Compare each rule of the table with what was seen, by the ID of the probe."""
    compared = (_compare_rule(table, rule, observations) for rule in table.compared_rules)
    others = (
        RuleComparison(rule, table.confidences[rule], Outcome.NOT_COMPARED, reason, 0, ())
        for rule, reason in table.not_compared.items()
    )
    return tuple(sorted((*compared, *others), key=lambda each: each.rule))


def _compare_rule(
    table: ProbeTable, rule: str, observations: Mapping[str, Observation]
) -> RuleComparison:
    answers, differences, reasons = 0, [], []
    for each, probe, expected in table.expectations():
        if each != rule:
            continue
        observation = observations[probe.id]
        if observation.facts is None:
            reasons.append(observation.reason)
            continue
        answers += 1
        if any(observation.facts[name] != value for name, value in expected.items()):
            differences.append(_difference(probe, expected, observation.facts))
    confidence = table.confidences[rule]
    if not answers:
        return RuleComparison(rule, confidence, Outcome.NOT_COMPARED, reasons[0], 0, ())
    outcome = Outcome.DIFFERS if differences else Outcome.AS_SIMULATED
    return RuleComparison(rule, confidence, outcome, None, answers, tuple(differences))


def _difference(probe: Probe, expected: Facts, seen: Facts) -> Difference:
    shown = {*expected, *CONTEXT}
    return Difference(
        probe.id,
        probe.call,
        {name: _text(value) for name, value in expected.items()},
        {name: _text(value) for name, value in seen.items() if name in shown},
    )


def _text(fact: Fact) -> str:
    return ", ".join(fact) if isinstance(fact, tuple) else str(fact)
