"""Scopes: their syntax, their meaning in words, which covers which; and scope presets.

A Zoho scope is ``Service.scopename.OPERATION`` (``ZohoCRM.modules.READ``), sometimes with another
level (``ZohoCRM.modules.leads.READ``). Zoho itself isn't consistent about the case of operations,
so it is ignored. ``ALL`` is every operation; a parent (``ZohoCRM.modules``) covers its children.
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
"""Requested for every connection: it names the account without any product."""

_OPENID = ("openid", "email", "profile", "phone")
_PART = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OPERATIONS = ("ALL", "CREATE", "READ", "UPDATE", "DELETE", "WRITE", "CREATE-UPDATE")


def parse_scope(text: str) -> tuple[str, ...]:
    """The scopes in ``text``, separated by commas, spaces or newlines, without duplicates.

    Raises ``malformed-scope`` with the first bad one, or ``scope-empty``.
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
    # "Modules" only says that leads or deals follow; any other family is informative.
    within = f" ({_describe_name(family)})" if rest and family.lower() != "modules" else ""
    return f"{title}: {verb} {what}{within}"


def missing_scopes(granted: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """The scopes of ``wanted`` that ``granted`` doesn't cover."""
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
    """Which part of a malformed scope is wrong."""
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
    """A purpose and the scopes it needs, without `ACCOUNT_SCOPE`."""

    id: str
    title: str
    product: str
    scope: tuple[str, ...]
    explanation: str
    """Why each scope is needed."""


@cache
def presets() -> tuple[Preset, ...]:
    """All presets, in the order of the table."""
    text = resources.files("wizard.zoho").joinpath("presets.toml").read_text("utf-8")
    return tuple(
        Preset(id=preset_id, scope=tuple(row.pop("scope")), **row)
        for preset_id, row in tomllib.loads(text).items()
    )


def preset(preset_id: str) -> Preset:
    """The preset with that id; raises ``unknown-preset``."""
    for each in presets():
        if each.id == preset_id:
            return each
    raise fail("unknown-preset", value=preset_id[:60])
