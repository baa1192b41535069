"""The fixed facts of the simulated Zoho: products, data centers and the grammar of scopes."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class ApiResponse:
    """A response as data. The body contains `$names` to fill in."""

    status: int
    body: str
    content_type: str = "application/json;charset=UTF-8"


@dataclass(frozen=True)
class Endpoint:
    """One API call. Any one of `scopes` is enough.

    `item` is the part of the body that is repeated for each organization. `organization_parameter`
    names the parameter or header that must contain an organization. `requires_user`: the call acts
    as a user, which client credentials can't. `required_parameter` is mandatory from the version
    `required_since` on. `parameters` are those the endpoint knows; see `Product.errors`.
    """

    path: str
    scopes: tuple[str, ...]
    body: str
    item: str = ""
    organization_parameter: str = ""
    method: str = "GET"
    requires_user: bool = False
    required_parameter: str = ""
    required_since: str = ""
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Product:
    """One product.

    `roots` are host and path (`www/crm`), followed by one of `versions` and an endpoint's path.
    `service` is the first part of its scopes. `binds_organization`: its tokens are valid for the
    one organization chosen at consent. `needs_account`: no consent without an account.
    `needs_soid`: client credentials must name an organization, as `soid_service` (by default
    `service`), a dot and its ID. `numbers` maps the parameters that
    must be positive numbers to their maximum (0: none). `errors` maps no_token, invalid_token,
    scope, permission, organization, organizations, path, method, required, number, extra and
    rate_limit to responses. A product without the error `extra` ignores unknown parameters.
    """

    key: str
    title: str
    roots: tuple[str, ...]
    versions: tuple[str, ...]
    service: str
    endpoints: tuple[Endpoint, ...]
    errors: dict[str, ApiResponse]
    binds_organization: bool = False
    needs_account: bool = False
    needs_soid: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
    soid_service: str = ""

    def endpoints_at(self, address: str) -> list[Endpoint]:
        """Return the endpoints at `host/path`, one for each method; [] if the path is unknown."""
        bases = {f"{root}/{version}" for root in self.roots for version in self.versions}
        return [
            each
            for each in self.endpoints
            if address.endswith(each.path) and address.removesuffix(each.path) in bases
        ]

    def requires_parameter(self, endpoint: Endpoint, address: str) -> bool:
        """Whether `required_parameter` is mandatory in the version that `host/path` names."""
        if not endpoint.required_parameter:
            return False
        named = [
            each
            for each in self.versions
            if any(address.startswith(f"{root}/{each}/") for root in self.roots)
        ]
        since = self.versions.index(endpoint.required_since)
        return any(self.versions.index(each) >= since for each in named)


@cache
def products() -> dict[str, Product]:
    """Return key → product, in the order of `products.toml`."""
    table = _table()
    families = {
        name: {case: ApiResponse(**row) for case, row in rows.items()}
        for name, rows in table["errors"].items()
    }
    return {key: _product(key, row, families) for key, row in table["product"].items()}


@cache
def scope_services() -> frozenset[str]:
    """Return the services that scopes can start with, in lower case."""
    return frozenset(each.casefold() for each in _table()["services"])


@cache
def scope_names() -> dict[str, frozenset[str]]:
    """Return service → names that its scopes can have, in lower case."""
    table = _table()["scope_names"]
    return {
        service.casefold(): frozenset(each.casefold() for each in names)
        for service, names in table.items()
    }


def product_hosts() -> frozenset[str]:
    """Return the hosts of all products."""
    roots = (root for product in products().values() for root in product.roots)
    return frozenset(root.partition("/")[0] for root in roots)


def product_of_scope(scope: str) -> Product | None:
    """Return the product of a scope (`ZohoCRM.org.READ` → crm), or None."""
    service = scope.partition(".")[0].casefold()
    return next((each for each in products().values() if each.service.casefold() == service), None)


def products_of(scopes: list[str]) -> list[Product]:
    """Return the products of scopes, each once, in the order of the scopes."""
    found = [product_of_scope(each) for each in scopes]
    return list({each.key: each for each in found if each}.values())


def product_at(address: str) -> Product | None:
    """Return the product that `host/path` belongs to, or None."""
    for product in products().values():
        if any(f"{address}/".startswith(f"{root}/") for root in product.roots):
            return product
    return None


def _table() -> dict[str, Any]:
    text = files("wizard.simulator").joinpath("products.toml").read_text("utf-8")
    return tomllib.loads(text)


def _product(key: str, row: dict[str, Any], families: dict[str, dict[str, ApiResponse]]) -> Product:
    lists = {name: tuple(row[name]) for name in ("roots", "versions")}
    endpoints = tuple(
        Endpoint(**{name: _frozen(value) for name, value in each.items()})
        for each in row["endpoints"]
    )
    fields = {**row, **lists, "endpoints": endpoints, "errors": families[row["errors"]]}
    return Product(key=key, **fields)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


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


def split_scopes(scope: str) -> list[str]:
    """Return the scopes of a parameter, separated by commas or spaces, each once."""
    return list(dict.fromkeys(each for each in _SEPARATORS.split(scope) if each))


def is_known_scope(scope: str) -> bool:
    """Whether Zoho knows the scope: a known service, a name that it has, an operation.

    Case-insensitive. A service without a list of names has any name.
    """
    service, _, rest = scope.casefold().partition(".")
    names = scope_names().get(service)
    return has_known_service(scope) and (names is None or rest.partition(".")[0] in names)


def has_known_service(scope: str) -> bool:
    """Whether a scope is well-formed and of a known service, whether or not it has that name."""
    if scope.casefold() in OPENID_SCOPES:
        return True
    service, _, rest = scope.partition(".")
    name, _, operation = rest.rpartition(".")
    is_well_formed = bool(name) and bool(_PARTS.fullmatch(f"{service}.{name}"))
    return (
        is_well_formed
        and operation.upper() in SCOPE_OPERATIONS
        and service.casefold() in scope_services()
    )


def self_client_scopes(scope: str) -> list[str]:
    """Return the scopes that a self client gets: those without a name that their service has are
    dropped silently. [] if one isn't a scope of a known service, or if none is left.
    """
    requested = split_scopes(scope)
    if not all(map(has_known_service, requested)):
        return []
    return [each for each in requested if is_known_scope(each)]


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
