"""The fixed facts of the simulated Zoho: products, data centers and the grammar of scopes."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Annotated, Any


@dataclass(frozen=True)
class ApiResponse:
    """A response as data. The body contains `$names` to fill in; `content` replaces it."""

    status: int
    body: str
    content_type: str = "application/json;charset=UTF-8"
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """One API call. Any one of `scopes` is enough.

    `path` can have parts in braces (`/{module}/{id}`), which fill `$module` in scopes and bodies.
    `versions` are those of the product that have the endpoint; none means all. `item` is the part
    of the body that is repeated for each organization. `organization_parameter` names the part of
    the path, parameter or header that must contain an organization. `requires_user`: the call acts
    as a user, which client credentials can't. `required_parameter` is mandatory from the version
    `required_since` on. `parameters` are those the endpoint knows; see `Product.errors`. `action`
    is what happens to the records of `collection`; without one, the body is all there is.
    """

    path: str
    scopes: tuple[str, ...]
    body: str = ""
    item: str = ""
    organization_parameter: str = ""
    method: str = "GET"
    requires_user: bool = False
    status: int = 200
    content_type: str = "application/json;charset=UTF-8"
    action: str = ""
    collection: str = ""
    versions: tuple[str, ...] = ()
    required_parameter: str = ""
    required_since: str = ""
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A field of a collection's records, as CRM describes it.

    `lookup` is the collection that the field refers to, and `joined` are the fields that a
    read-only field concatenates. `length` limits text.
    """

    name: str
    data_type: str = "text"
    length: int = 255
    mandatory: bool = False
    read_only: bool = False
    lookup: str = ""
    joined: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collection:
    """Records of one kind in each organization of a product, such as CRM's Leads.

    `key` is the field with the ID, and `title` the one that a lookup shows. `mandatory` fields must
    be sent, and `defaults` fill in the others. `lookups` are fields with the ID of a record of
    another collection. `samples` are the records that each organization has at first, oldest first.
    `fields` are those of a CRM module. `duplicate_check` is the field that makes an upsert an
    update.
    """

    name: str
    singular: str = ""
    key: str = "id"
    title: str = "name"
    mandatory: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    lookups: dict[str, str] = field(default_factory=dict)
    samples: tuple[dict[str, Any], ...] = ()
    fields: tuple[Field, ...] = ()
    duplicate_check: str = ""


@dataclass(frozen=True)
class Route:
    """The endpoint of a request, the product's version in its URL, and the `values` of the parts in
    braces of its path.
    """

    endpoint: Endpoint
    version: str
    values: dict[str, str]


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
    rate_limit to responses, and what `action` needs. A product without the error `extra` ignores
    unknown parameters. `version_errors` are those that a version has instead.
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
    collections: dict[str, Collection] = field(default_factory=dict)
    version_errors: dict[str, dict[str, ApiResponse]] = field(default_factory=dict)

    def errors_at(self, address: str) -> Mapping[str, ApiResponse]:
        """Return the errors of the version that `host/path` names."""
        for version, errors in self.version_errors.items():
            if any(f"{address}/".startswith(f"{root}/{version}/") for root in self.roots):
                return self.errors | errors
        return self.errors

    def routes_at(self, address: str) -> list[Route]:
        """Return the routes to `host/path`, one for each method; [] if the path is unknown."""
        bases = {f"{root}/{version}/": version for root in self.roots for version in self.versions}
        for base in filter(address.startswith, bases):
            found = [
                Route(endpoint, bases[base], matched.groupdict())
                for endpoint in self.endpoints
                if not endpoint.versions or bases[base] in endpoint.versions
                if (matched := _path_pattern(endpoint.path).fullmatch(address[len(base) - 1 :]))
            ]
            if found:
                return [each for each in found if each.endpoint.path == found[0].endpoint.path]
        return []

    def requires_parameter(self, route: Route) -> bool:
        """Whether `required_parameter` is mandatory in the version of the route."""
        since = route.endpoint.required_since or self.versions[0]
        is_recent = self.versions.index(route.version) >= self.versions.index(since)
        return bool(route.endpoint.required_parameter) and is_recent


@cache
def _path_pattern(path: str) -> re.Pattern[str]:
    """Return the pattern of an endpoint's path. `{module}` is a name, other parts are anything."""
    parts = re.split(r"\{(\w+)\}", path)
    names = [
        rf"(?P<{each}>{'[A-Za-z][A-Za-z0-9_]*' if each == 'module' else '[^/]+'})"
        for each in parts[1::2]
    ]
    literals = [re.escape(each) for each in parts[::2]]
    return re.compile("".join(sum(zip(literals, [*names, ""], strict=True), ())))


@dataclass(frozen=True)
class Catalog:
    """What the simulated Zoho offers: key → product, and the `services` that scopes start with.

    `scope_names` maps a service to the names that its scopes can have; all are in lower case.
    """

    products: dict[str, Product]
    services: frozenset[str]
    scope_names: dict[str, frozenset[str]]

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts of all products."""
        roots = (root for product in self.products.values() for root in product.roots)
        return frozenset(root.partition("/")[0] for root in roots)

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
        for product in self.products.values():
            if any(f"{address}/".startswith(f"{root}/") for root in product.roots):
                return product
        return None

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


@cache
def default_catalog() -> Catalog:
    """Return what the package's own tables offer, in the order of the tables."""
    tables = files("wizard.simulator")
    names = ("products.toml", "records.toml")
    return read_catalog({name: tables.joinpath(name).read_text("utf-8") for name in names})


def read_catalog(texts: dict[str, str]) -> Catalog:
    """Return what tables offer, by their names; a later one adds to the earlier ones.

    Its endpoints, errors and collections replace those with the same path or name.
    """
    merged: dict[str, Any] = {"services": [], "scope_names": {}, "errors": {}, "product": {}}
    for text in texts.values():
        table = tomllib.loads(text)
        merged["services"] += table.get("services", [])
        for service, names in table.get("scope_names", {}).items():
            known_names = merged["scope_names"].setdefault(service.casefold(), set())
            known_names |= {each.casefold() for each in names}
        for family, rows in table.get("errors", {}).items():
            merged["errors"].setdefault(family, {}).update(rows)
        for key, row in table.get("product", {}).items():
            known = merged["product"].setdefault(key, {"endpoints": [], "collections": {}})
            known["collections"] |= row.pop("collections", {})
            known["endpoints"] = row.pop("endpoints", []) + known["endpoints"]
            known |= row
    families = {
        name: {case: ApiResponse(**row) for case, row in rows.items()}
        for name, rows in merged["errors"].items()
    }
    products = {key: _product(key, row, families) for key, row in merged["product"].items()}
    services = frozenset(each.casefold() for each in merged["services"])
    scope_names = {name: frozenset(each) for name, each in merged["scope_names"].items()}
    return Catalog(products, services, scope_names)


def _product(key: str, row: dict[str, Any], families: dict[str, dict[str, ApiResponse]]) -> Product:
    found = (Endpoint(**_with_tuples(each)) for each in row.pop("endpoints"))
    endpoints = tuple(sorted(found, key=lambda each: each.path.count("{")))
    collections = {
        name: Collection(name, **_with_tuples({**each, "fields": _fields(each)}))
        for name, each in row.pop("collections").items()
    }
    errors = families[row.pop("errors")]
    version_errors = {
        version: families[each] for version, each in row.pop("version_errors", {}).items()
    }
    return Product(
        key,
        **_with_tuples(row),
        endpoints=endpoints,
        errors=errors,
        collections=collections,
        version_errors=version_errors,
    )


def _fields(collection: dict[str, Any]) -> tuple[Field, ...]:
    return tuple(Field(**_with_tuples(each)) for each in collection.get("fields", []))


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(each) if isinstance(each, list) else each for name, each in row.items()}


def products() -> dict[str, Product]:
    """Return key → product."""
    return default_catalog().products


def product_hosts() -> frozenset[str]:
    """Return the hosts of all products."""
    return default_catalog().hosts


def product_at(address: str) -> Product | None:
    """Return the product that `host/path` belongs to, or None."""
    return default_catalog().product_at(address)


def product_of_scope(scope: str) -> Product | None:
    """Return the product of a scope (`ZohoCRM.org.READ` → crm), or None."""
    return default_catalog().product_of_scope(scope)


def products_of(scopes: list[str]) -> list[Product]:
    """Return the products of scopes, each once, in the order of the scopes."""
    return default_catalog().products_of(scopes)


def is_known_scope(scope: str) -> bool:
    """Whether Zoho knows the scope."""
    return default_catalog().is_known_scope(scope)


def split_scopes(scope: str) -> list[str]:
    """Return the scopes of a parameter, separated by commas or spaces, each once."""
    return list(dict.fromkeys(each for each in _SEPARATORS.split(scope) if each))


def self_client_scopes(scope: str) -> list[str]:
    """Return the scopes that a self client gets."""
    return default_catalog().self_client_scopes(scope)


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
