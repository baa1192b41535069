"""The products of the simulated Zoho, as data: where they answer, what they want and say."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class ApiResponse:
    """An answer as data: HTTP status and body, in which `$names` wait to be filled in."""

    status: int
    body: str
    content_type: str = "application/json;charset=UTF-8"


@dataclass(frozen=True)
class Endpoint:
    """One call, by default a read. Any one of `scopes` suffices. `each` is the part of the body
    that is repeated for every organization; `organization_in` names the parameter or header that
    must carry one. `for_a_person`: it acts as somebody, which client credentials cannot."""

    path: str
    scopes: tuple[str, ...]
    body: str
    item: str = ""
    organization_parameter: str = ""
    method: str = "GET"
    requires_user: bool = False


@dataclass(frozen=True)
class Product:
    """One product. `roots` are host and path (`www/crm`), below which `versions` and then a
    probe's path follow. `service` is the first word of its scopes.

    `binds`: its tokens belong to the one organization chosen at consent. `needs_account`: consent
    is impossible without an account. `needs_soid`: client credentials must name an organization.
    `errors` maps no_token, invalid_token, scope, permission, organization, path and rate_limit
    to replies.
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

    def endpoint_at(self, address: str, method: str) -> Endpoint | None:
        """Return the probe at `host/path` that takes `method`, if there is one."""
        places = {f"{root}/{version}" for root in self.roots for version in self.versions}
        for probe in self.endpoints:
            if probe.method != method or not address.endswith(probe.path):
                continue
            if address.removesuffix(probe.path) in places:
                return probe
        return None


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
    """Return the first words of scopes that Zoho knows, in lower case."""
    return frozenset(each.casefold() for each in _table()["services"])


def product_hosts() -> frozenset[str]:
    """Return the hosts on which products answer."""
    roots = (root for product in products().values() for root in product.roots)
    return frozenset(root.partition("/")[0] for root in roots)


def product_of_scope(scope: str) -> Product | None:
    """Return the product a scope belongs to, e.g. `ZohoCRM.org.READ` → crm; None if to none."""
    service = scope.partition(".")[0].casefold()
    return next((each for each in products().values() if each.service.casefold() == service), None)


def products_of(scopes: list[str]) -> list[Product]:
    """Return the products that scopes belong to, each once, in the order asked."""
    found = [product_of_scope(each) for each in scopes]
    return list({each.key: each for each in found if each}.values())


def product_at(address: str) -> Product | None:
    """Return the product that answers below a root which `host/path` begins with."""
    for product in products().values():
        if any(f"{address}/".startswith(f"{root}/") for root in product.roots):
            return product
    return None


def _table() -> dict[str, Any]:
    text = files("wizard.simulator").joinpath("products.toml").read_text("utf-8")
    return tomllib.loads(text)


def _product(key: str, row: dict[str, Any], families: dict[str, dict[str, ApiResponse]]) -> Product:
    lists = {name: tuple(row[name]) for name in ("roots", "versions")}
    endpoints = tuple(Endpoint(**{**p, "scopes": tuple(p["scopes"])}) for p in row["endpoints"])
    made = {**row, **lists, "endpoints": endpoints, "errors": families[row["errors"]]}
    return Product(key=key, **made)


@dataclass(frozen=True)
class DataCenter:
    """One data centre: its lower-case `location` code, its name for users, its client registry."""

    location: str
    name: str
    registry: str = "world"


@cache
def data_centers() -> dict[str, DataCenter]:
    """Return location → data centre, in the order of the table."""
    text = files("wizard.simulator").joinpath("data_centers.toml").read_text("utf-8")
    return {code: DataCenter(code, **row) for code, row in tomllib.loads(text).items()}


def can_share_clients(one: str, other: str) -> bool:
    """Whether a client registered in one location can be enabled in the other."""
    table = data_centers()
    return table[one].registry == table[other].registry


SCOPE_OPERATIONS = ("ALL", "CREATE", "READ", "UPDATE", "DELETE", "WRITE", "CREATE-UPDATE")
OPENID_SCOPES = ("openid", "email", "profile", "phone")
"""The scopes of OpenID Connect have no dots."""

_SEPARATORS = re.compile(r"[,\s]+")
_PARTS = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+")


def split_scopes(scope: str) -> list[str]:
    """Return the single scopes of a parameter, separated by commas or blanks, each once."""
    return list(dict.fromkeys(each for each in _SEPARATORS.split(scope) if each))


def is_known_scope(scope: str) -> bool:
    """Whether Zoho knows the scope: a service it has, a name, an operation, in any case."""
    if scope.casefold() in OPENID_SCOPES:
        return True
    service, _, rest = scope.partition(".")
    name, _, operation = rest.rpartition(".")
    fits = bool(name) and bool(_PARTS.fullmatch(f"{service}.{name}"))
    return fits and operation.upper() in SCOPE_OPERATIONS and service.casefold() in scope_services()


def scopes_cover(granted: list[str], wanted: str) -> bool:
    """Whether granted scopes include `wanted`, case aside.

    `X.ALL` covers the operations of X, and X's parts: `ZohoCRM.modules.ALL` is every module.
    """
    goal = wanted.casefold()
    return any(_scope_covers(each.casefold(), goal) for each in granted)


def _scope_covers(granted: str, wanted: str) -> bool:
    if granted == wanted:
        return True
    name, _, operation = granted.rpartition(".")
    goal_name, _, goal_operation = wanted.rpartition(".")
    within = goal_name == name or goal_name.startswith(f"{name}.")
    whole_service = name.endswith(".fullaccess") and wanted.startswith(name.split(".")[0] + ".")
    return (operation in ("all", goal_operation) and within) or (
        operation == "all" and whole_service
    )
