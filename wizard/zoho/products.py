"""Products with their hosts, their organizations and their cheapest reads; scopes; scope presets.

A Zoho scope is ``Service.scopename.OPERATION`` (``ZohoCRM.modules.READ``), sometimes with another
level (``ZohoCRM.modules.leads.READ``). Zoho itself isn't consistent about the case of operations,
so it is ignored. ``ALL`` is every operation; a parent (``ZohoCRM.modules``) covers its children.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

from wizard.errors import fail
from wizard.tables import read_table

ACCOUNT_SCOPE = "AaaServer.profile.READ"
"""Requested for every connection: it names the account without any product."""

ENVIRONMENTS = ("Production", "Sandbox", "Developer")
"""The environments of an organization that a product may name."""

_OPENID = ("openid", "email", "profile", "phone")
_PART = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OPERATION = re.compile(r"[A-Za-z][A-Za-z_-]*")
_KNOWN_OPERATIONS = ("ALL", "CREATE", "READ", "UPDATE", "DELETE", "WRITE", "CREATE-UPDATE")
"""The usual ones; products have others, such as ``ZohoMCP.tool.execute``."""


def parse_scope(text: str) -> tuple[str, ...]:
    """The scopes in ``text``, separated by commas, spaces or newlines, without duplicates.

    Raises ``malformed-scope`` with the first bad one, or ``scope-empty``.
    """
    found: dict[str, str] = {}
    for part in re.split(r"[\s,;]+", text):
        if not part:
            continue
        if not is_well_formed_scope(part):
            raise fail("malformed-scope", scope=part[:80], hint=_malformed_hint(part))
        found.setdefault(part.lower(), part)
    if not found:
        raise fail("scope-empty")
    return tuple(found.values())


def describe_scope(scope: str) -> str:
    """What a scope allows, in plain words: ``Zoho CRM: read leads``.

    One with fewer than three parts, as a server may grant, is returned as it is.
    """
    known = _scope_table()
    if scope.lower() in known["whole"]:
        return str(known["whole"][scope.lower()])
    if scope.count(".") < 2:
        return scope
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


def has_added_scopes(
    granted: Iterable[str], before: Iterable[str], requested: Iterable[str]
) -> bool:
    """Whether ``granted`` covers ``before``, and some of ``requested`` that ``before`` doesn't."""
    granted, before = tuple(granted), tuple(before)
    new = missing_scopes(before, requested)
    return not missing_scopes(granted, before) and missing_scopes(granted, new) != new


def is_well_formed_scope(scope: str) -> bool:
    """Whether a form accepts `scope`."""
    if scope.lower() in _OPENID:
        return True
    *names, operation = scope.split(".")
    return (
        len(names) >= 2
        and all(_PART.fullmatch(name) for name in names)
        and _OPERATION.fullmatch(operation) is not None
    )


def unusual_scopes(scope: Iterable[str]) -> tuple[str, ...]:
    """The scopes whose operation isn't a usual one. They may be right, or misspelled."""
    return tuple(
        each
        for each in scope
        if "." in each and each.rpartition(".")[2].upper() not in _KNOWN_OPERATIONS
    )


@lru_cache(maxsize=1_000)  # the connections of a file often have the same scopes
def suggest_scope(scope: str) -> str:
    """A scope with a known spelling of each part of ``scope``; empty if no part is unknown and
    similar to a known one."""
    *names, operation = scope.split(".")
    if not names:
        return ""
    service, *words = names
    known = _known_parts()
    spelled = [
        _nearest(service, known["services"]),
        *(_nearest(each, known["names"]) for each in words),
        _nearest(operation, known["operations"]),
    ]
    suggested = ".".join(spelled)
    return "" if suggested.lower() == scope.lower() else suggested


def _nearest(part: str, known: Mapping[str, str]) -> str:
    """The known part that is similar to ``part``; ``part`` itself if it's known, or if none is."""
    if part.lower() in known:
        return part
    near = get_close_matches(part.lower(), [*known], n=1, cutoff=0.8)
    return known[near[0]] if near else part


@cache
def _known_parts() -> Mapping[str, Mapping[str, str]]:
    """The parts of the scopes in the tables, as they are usually spelled, by their lower case."""
    scopes = [scope for each in presets() for scope in each.scope]
    scopes += [probe.scope for each in products() for probe in each.probes]
    scopes += [each.organizations.scope for each in products() if each.organizations]
    services = [each.service for each in products()]
    services += [each.service for each in other_products() if each.service]
    names = [*_scope_table()["names"], *(name for each in scopes for name in each.split(".")[1:-1])]
    operations = [*_KNOWN_OPERATIONS, *(each.rpartition(".")[2] for each in scopes)]
    parts = {"services": services, "names": names, "operations": operations}
    return {
        kind: {each.lower(): each for each in reversed(values)} for kind, values in parts.items()
    }


def _malformed_hint(scope: str) -> str:
    """Which part of a malformed scope is wrong."""
    names = scope.split(".")
    if len(names) < 3:
        return "the last part is missing" if len(names) == 2 else "two parts are missing"
    bad = next((name for name in names[:-1] if not _PART.fullmatch(name)), None)
    if bad is not None:
        return f"“{bad}” isn’t a name"
    return f"“{names[-1]}” isn’t an operation such as {', '.join(_KNOWN_OPERATIONS)}"


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
    known = _scope_table()["names"]
    return str(known.get(name.lower()) or re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower())


@cache
def _scope_table() -> dict[str, dict[str, Any]]:
    return read_table("zoho/scopes.toml")


@dataclass(frozen=True)
class Preset:
    """A purpose and the scopes it needs, without `ACCOUNT_SCOPE`."""

    id: str
    title: str
    product: str
    scope: tuple[str, ...]
    explanation: str
    """What it allows, then why it needs the other scopes."""


@cache
def presets() -> tuple[Preset, ...]:
    """All presets, in the order of the table."""
    return tuple(
        Preset(id=preset_id, scope=tuple(row.pop("scope")), **row)
        for preset_id, row in read_table("zoho/presets.toml").items()
    )


def preset(preset_id: str) -> Preset:
    """The preset with that id; raises ``unknown-preset``."""
    for each in presets():
        if each.id == preset_id:
            return each
    nearest = ", ".join(get_close_matches(preset_id, [each.id for each in presets()], 3))
    raise fail("unknown-preset", value=preset_id[:60], nearest=nearest)


@dataclass(frozen=True)
class OrganizationListing:
    """The call that lists the organizations that a token reaches in a product."""

    path: str
    scope: str
    """The scope it needs."""
    rows: str
    """The path of the rows in the response, separated by dots."""
    id: str
    name: str
    environment: str = ""
    """The field with the environment, such as Production; empty if the product has none."""


@dataclass(frozen=True)
class Probe:
    """One cheap read that verifies a token in a product."""

    scope: str
    path: str
    noun: str
    """What is read, in words."""
    params: Mapping[str, str] = field(default_factory=dict, hash=False)
    organization_parameter: str = ""
    """The query parameter for the organization's id, or the header ``orgId``."""


@dataclass(frozen=True)
class Product:
    """A Zoho product as the wizard verifies it."""

    id: str
    title: str
    service: str
    """The first part of its scopes."""
    host: str
    """``www`` (the API domain) or the label that replaces ``accounts``."""
    api_path: str
    """The path at which its API begins there: ``/crm/v8``."""
    probes: tuple[Probe, ...]
    organizations: OrganizationListing | None = None
    binds_organization: bool = False
    """A consent binds the token to one organization or environment."""
    accept: str = "application/json"

    def probe_for(self, scope: Iterable[str]) -> Probe | None:
        """The most informative read that ``scope`` allows; None if it allows none."""
        granted = tuple(scope)
        return next(
            (each for each in self.probes if not missing_scopes(granted, (each.scope,))), None
        )

    def can_list_organizations(self, scope: Iterable[str]) -> bool:
        """Whether the product lists organizations, and ``scope`` allows it."""
        return self.organizations is not None and not missing_scopes(
            scope, (self.organizations.scope,)
        )


@cache
def products() -> tuple[Product, ...]:
    """All products, in the order of the table."""
    return tuple(
        Product(
            id=product_id,
            probes=tuple(Probe(**probe) for probe in row.pop("probes")),
            organizations=OrganizationListing(**row.pop("organizations"))
            if "organizations" in row
            else None,
            **row,
        )
        for product_id, row in read_table("zoho/products.toml").items()
    )


def product(product_id: str) -> Product:
    """The product with that id; raises ``unknown-product``."""
    for each in products():
        if each.id == product_id:
            return each
    raise fail("unknown-product", value=product_id[:60])


def product_of(scope: str) -> Product | None:
    """The product of a scope; None for the account itself and for unknown services."""
    service = scope.partition(".")[0].lower()
    return next((each for each in products() if each.service.lower() == service), None)


def products_of(scope: Iterable[str]) -> tuple[Product, ...]:
    """The products of ``scope``, each once, in its order."""
    found = (product_of(each) for each in scope)
    return tuple(dict.fromkeys(each for each in found if each is not None))


class Credential(StrEnum):
    """What a product accepts from a program."""

    OAUTH = "oauth"
    OWN_KEY = "own-key"
    """A key from the product's own settings."""
    MCP_URL = "mcp-url"
    """An access token, or the URL of a server, which is a password."""
    APP_PASSWORD = "app-password"  # noqa: S105 a kind, no secret


@dataclass(frozen=True)
class OtherProduct:
    """A product that the wizard recognizes, but doesn't verify."""

    id: str
    title: str
    hosts: tuple[str, ...]
    """Hosts without the domain of a data center, or domains without its ending."""
    path: str = ""
    """The first part of its paths on the shared API domain."""
    service: str = ""
    """The first part of its scopes."""
    credential: Credential = Credential.OAUTH
    key: str = ""
    """What it accepts in place of an access token, in words."""
    where: str = ""
    """Where to find that."""

    @property
    def uses_oauth(self) -> bool:
        """Whether it accepts access tokens."""
        return self.credential in (Credential.OAUTH, Credential.MCP_URL)

    def has_url(self, url: str) -> bool:
        """Whether this is one of its URLs, in any data center."""
        host, _, path = url.partition("://")[2].lower().partition("/")
        if host.startswith("www.zohoapis.") and self.path:
            return path.partition("/")[0] == self.path
        return any(_is_host_of(each, host.partition(":")[0]) for each in self.hosts)


def _is_host_of(name: str, host: str) -> bool:
    """Whether ``host`` is ``name`` at a data center (``invoice.zoho.eu``), or below that domain
    (``crm-1.zohomcp.in``)."""
    ending = r"(?:\.[a-z]{2,3}){1,2}"
    at_zoho = rf"{re.escape(name)}\.(?:zoho|zohocloud)"
    own = rf"(?:[\w.-]{{1,80}}\.)?{re.escape(name)}"
    return bool(re.fullmatch(f"(?:{at_zoho}|{own}){ending}", host))


@cache
def other_products() -> tuple[OtherProduct, ...]:
    """The products that the wizard doesn't verify."""
    return tuple(
        OtherProduct(
            id=product_id,
            hosts=tuple(row.pop("hosts")),
            credential=Credential(row.pop("credential", Credential.OAUTH)),
            **row,
        )
        for product_id, row in read_table("zoho/other_products.toml").items()
    )


@cache
def error_codes() -> Mapping[str, Mapping[str, str]]:
    """The errors of products: product id (or ``common``) → word → failure code."""
    table = read_table("zoho/error_codes.toml")
    aliases = table.pop("aliases")
    found = {
        product_id: {word: code for word, (code, _) in row.items()}
        for product_id, row in table.items()
    }
    return found | {alias: found[product_id] for alias, product_id in aliases.items()}
