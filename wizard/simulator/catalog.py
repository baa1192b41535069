"""The fixed facts of the simulated Zoho: products, data centers and the grammar of scopes."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Annotated

from wizard.simulator.product_tables import ProductTables, merge_tables
from wizard.simulator.products import Product


@dataclass(frozen=True)
class Catalog:
    """What the simulated Zoho offers: key → product, and the `services` that scopes start with.

    `scope_names` maps a service to the names that its scopes can have; all are in lower case.
    """

    products: Mapping[str, Product]
    services: frozenset[str]
    scope_names: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, tables: ProductTables) -> "Catalog":
        """Return what tables offer."""
        services = {*tables.services, *(each.service for each in tables.products.values())}
        names = {
            service.casefold(): frozenset(each.casefold() for each in rows)
            for service, rows in tables.scope_names.items()
        }
        return cls(tables.products, frozenset(each.casefold() for each in services), names)

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The hosts of all products."""
        places = (place for each in self.products.values() for place in each.places)
        return frozenset(place.partition("/")[0] for place in places)

    def product_of_scope(self, scope: str) -> Product | None:
        """Return the product of a scope (`ZohoCRM.org.READ` → crm), or None."""
        service = scope.partition(".")[0].casefold()
        known = self.products.values()
        return next((each for each in known if each.service.casefold() == service), None)

    def products_of(self, scopes: list[str]) -> list[Product]:
        """Return the products of scopes, each once, in the order of the scopes."""
        found = [self.product_of_scope(each) for each in scopes]
        return list({each.key: each for each in found if each}.values())

    def product_at(self, address: str) -> Product | None:
        """Return the product that `host/path` belongs to, or None."""
        return next((each for each in self.products.values() if each.is_at(address)), None)

    def is_known_scope(self, scope: str) -> bool:
        """Whether Zoho knows the scope: a known service, a name that it has, an operation.

        Case-insensitive. A service without a list of names has any name.
        """
        service, _, rest = scope.casefold().partition(".")
        names = self.scope_names.get(service)
        is_known_name = names is None or rest.partition(".")[0] in names
        return self.has_known_service(scope) and is_known_name

    def has_known_service(self, scope: str) -> bool:
        """Whether a scope is well-formed and its service known, whether or not its name is."""
        if scope.casefold() in OPENID_SCOPES:
            return True
        service, _, rest = scope.partition(".")
        name, _, operation = rest.rpartition(".")
        is_well_formed = bool(name) and bool(_PARTS.fullmatch(f"{service}.{name}"))
        return (
            is_well_formed
            and operation.upper() in SCOPE_OPERATIONS
            and service.casefold() in self.services
        )

    def self_client_scopes(self, scope: str) -> list[str]:
        """Return the scopes that a self client gets: those without a name that their service has
        are dropped silently. [] if one isn't a scope of a known service, or if none is left.
        """
        requested = split_scopes(scope)
        if not all(map(self.has_known_service, requested)):
            return []
        return [each for each in requested if self.is_known_scope(each)]


@dataclass(frozen=True)
class DataCenter:
    """A data center: `location` (lower-case code), display name, and client registry.

    `domain`, `api_domain` and `upload_host` are those of Zoho's real host names.
    """

    location: str
    name: str
    domain: str
    api_domain: str
    upload_host: str = ""
    registry: str = "world"


@cache
def data_centers() -> dict[str, DataCenter]:
    """Return location → data center, in the order of `data_centers.toml`."""
    text = files("wizard.simulator").joinpath("data_centers.toml").read_text("utf-8")
    return {code: DataCenter(code, **row) for code, row in tomllib.loads(text).items()}


Location = Annotated[str, {"description": "A data center.", "enum": [*data_centers()]}]


def can_share_clients(one: str, other: str) -> bool:
    """Whether a client registered in one location can be enabled in the other."""
    table = data_centers()
    return table[one].registry == table[other].registry


SCOPE_OPERATIONS = (
    *("ALL", "CREATE", "READ", "UPDATE", "DELETE", "WRITE", "CREATE-UPDATE", "EXECUTE"),
)
OPENID_SCOPES = ("openid", "email", "profile", "phone")
"""OpenID Connect's scopes; the only ones without dots."""

_SEPARATORS = re.compile(r"[,\s]+")
_PARTS = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+")


_catalog: ContextVar[Catalog | None] = ContextVar("catalog", default=None)


@contextmanager
def use_catalog(catalog: Catalog) -> Iterator[None]:
    """Make `current_catalog` return this catalog inside the block."""
    token = _catalog.set(catalog)
    try:
        yield
    finally:
        _catalog.reset(token)


def current_catalog() -> Catalog:
    """Return the catalog of the world that answers; outside of one, the package's own."""
    return _catalog.get() or default_catalog()


@cache
def default_catalog() -> Catalog:
    """Return what the package's own tables offer."""
    return Catalog.of(merge_tables({}))


def products() -> Mapping[str, Product]:
    """Return key → product."""
    return current_catalog().products


def product_hosts() -> frozenset[str]:
    """Return the hosts of all products."""
    return current_catalog().hosts


def product_at(address: str) -> Product | None:
    """Return the product that `host/path` belongs to, or None."""
    return current_catalog().product_at(address)


def product_of_scope(scope: str) -> Product | None:
    """Return the product of a scope (`ZohoCRM.org.READ` → crm), or None."""
    return current_catalog().product_of_scope(scope)


def products_of(scopes: list[str]) -> list[Product]:
    """Return the products of scopes, each once, in the order of the scopes."""
    return current_catalog().products_of(scopes)


def is_known_scope(scope: str) -> bool:
    """Whether Zoho knows the scope."""
    return current_catalog().is_known_scope(scope)


def split_scopes(scope: str) -> list[str]:
    """Return the scopes of a parameter, separated by commas or spaces, each once."""
    return list(dict.fromkeys(each for each in _SEPARATORS.split(scope) if each))


def self_client_scopes(scope: str) -> list[str]:
    """Return the scopes that a self client gets."""
    return current_catalog().self_client_scopes(scope)


def scopes_cover(granted: list[str], wanted: str) -> bool:
    """Whether granted scopes include `wanted`; case-insensitive.

    `X.ALL` covers the operations of X and of its parts: `ZohoCRM.modules.ALL` is every module.
    """
    wanted = wanted.casefold()
    return any(_scope_covers(each.casefold(), wanted) for each in granted)


def _scope_covers(granted: str, wanted: str) -> bool:
    if granted == wanted:
        return True
    name, _, operation = granted.rpartition(".")
    wanted_name, _, wanted_operation = wanted.rpartition(".")
    within = wanted_name == name or wanted_name.startswith(f"{name}.")
    whole_service = name.endswith(".fullaccess") and wanted.startswith(name.split(".")[0] + ".")
    return (operation in ("all", wanted_operation) and within) or (
        operation == "all" and whole_service
    )
