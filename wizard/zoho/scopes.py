"""Scopes: their grammar, their words, and what covers what.

A Zoho scope reads ``Service.scopename.OPERATION`` (``ZohoCRM.modules.READ``), sometimes with a
further level (``ZohoCRM.modules.leads.READ``). Operations are written in any case by Zoho itself
and are compared without it. ``ALL`` stands for every operation; a parent (``ZohoCRM.modules``)
covers its children.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from wizard.errors import fail

ACCOUNT_SCOPE = "AaaServer.profile.READ"
"""Asked for with every connection: it alone tells who consented, in every product's absence."""

_OPENID = ("openid", "email", "profile", "phone")
_PART = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OPERATIONS = ("ALL", "CREATE", "READ", "UPDATE", "DELETE", "WRITE", "CREATE-UPDATE")


def parse_scope(text: str) -> tuple[str, ...]:
    """The scopes in ``text``, parted by commas, blanks or newlines, in order and without doubles.

    Raises ``malformed-scope`` naming the first bad one, or ``scope-empty``.
    """
    found: dict[str, str] = {}
    for part in re.split(r"[\s,;]+", text):
        if not part:
            continue
        if not _well_formed(part):
            raise fail("malformed-scope", scope=part[:80], hint=_malformed_hint(part))
        found.setdefault(part.lower(), part)
    if not found:
        raise fail("scope-empty")
    return tuple(found.values())


def describe_scope(scope: str) -> str:
    """What a scope allows, in plain words: ``Zoho CRM: read leads``."""
    known = _table()
    if scope.lower() in known["whole"]:
        return str(known["whole"][scope.lower()])
    service, *names, operation = scope.split(".")
    title = known["services"].get(service.lower(), service)
    verb = known["operations"].get(operation.lower(), operation.lower())
    family, *rest = names
    what = ", ".join(_describe_name(name) for name in rest) or _describe_name(family)
    # "Modules" are what users know as leads or deals; any other family says something.
    within = f" ({_describe_name(family)})" if rest and family.lower() != "modules" else ""
    return f"{title}: {verb} {what}{within}"


def missing_scopes(granted: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """The scopes of ``wanted`` that ``granted`` does not cover; empty when all are covered."""
    have = [_split(scope) for scope in granted]
    return tuple(scope for scope in wanted if not any(_covers(one, _split(scope)) for one in have))


def _well_formed(scope: str) -> bool:
    if scope.lower() in _OPENID:
        return True
    *names, operation = scope.split(".")
    return (
        len(names) >= 2
        and all(_PART.fullmatch(name) for name in names)
        and operation.upper() in _OPERATIONS
    )


def _malformed_hint(scope: str) -> str:
    """Which part of a bad scope is bad; the key of a few words in the table."""
    names = scope.split(".")
    if len(names) < 3:
        return f"Service.name.OPERATION has three parts or more, this has {len(names)}"
    bad = next((name for name in names[:-1] if not _PART.fullmatch(name)), None)
    if bad is not None:
        return f"“{bad}” is no name"
    return f"“{names[-1]}” is none of {', '.join(_OPERATIONS)}"


def _split(scope: str) -> tuple[tuple[str, ...], str]:
    *names, operation = scope.lower().split(".")
    return tuple(names), operation


def _covers(one: tuple[tuple[str, ...], str], other: tuple[tuple[str, ...], str]) -> bool:
    (names, operation), (wanted, wanted_operation) = one, other
    everything = names[1:] == ("fullaccess",) and names[:1] == wanted[:1]
    if not everything and wanted[: len(names)] != names:
        return False
    return operation in ("all", wanted_operation) and bool(names or one == other)


def _describe_name(name: str) -> str:
    known = _table()["names"]
    return str(known.get(name.lower()) or re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower())


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = resources.files("wizard.zoho").joinpath("scopes.toml").read_text("utf-8")
    return tomllib.loads(text)


@dataclass(frozen=True)
class Preset:
    """A task and what it needs. `ALWAYS` is not repeated here; every connection asks for it."""

    id: str
    title: str
    product: str
    scope: tuple[str, ...]
    explanation: str
    """Why each scope is needed, in plain words."""


@cache
def presets() -> tuple[Preset, ...]:
    """Every preset of the table, in its order."""
    text = resources.files("wizard.zoho").joinpath("presets.toml").read_text("utf-8")
    return tuple(
        Preset(id=preset_id, scope=tuple(row.pop("scope")), **row)
        for preset_id, row in tomllib.loads(text).items()
    )


def preset(preset_id: str) -> Preset:
    """The preset of that id; raises ``unknown-preset``."""
    for each in presets():
        if each.id == preset_id:
            return each
    raise fail("unknown-preset", value=preset_id[:60])
