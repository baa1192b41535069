"""What tables of products consist of: products, their endpoints, and the records behind them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Annotated, Any

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]
"""The methods that are routed: each endpoint itself refuses those it doesn't accept."""

JSON = "application/json;charset=UTF-8"

Status = Annotated[int, {"minimum": 200, "maximum": 599}]

PLAIN_ACTIONS = ("list", "get", "create", "update", "delete")
ACTIONS = (
    *PLAIN_ACTIONS,
    *("crm-modules", "crm-module", "crm-fields", "crm-users"),
    *("crm-list", "crm-get", "crm-count", "crm-deleted", "crm-related", "crm-search", "crm-query"),
    *("crm-create", "crm-update", "crm-upsert", "crm-delete"),
    *("workdrive-teams", "workdrive-team-user", "workdrive-private-spaces"),
    *("workdrive-workspaces", "workdrive-item", "workdrive-folder", "workdrive-download"),
    *("workdrive-create-folder", "workdrive-change", "workdrive-copy"),
    *("workdrive-upload", "workdrive-upload-stream"),
)
"""What an endpoint's `action` can be. The plain ones need a `collection`."""


@dataclass(frozen=True)
class ApiResponse:
    """A response as data. The body contains `$names` to fill in; `content` replaces it."""

    status: Status
    body: str
    content_type: str = JSON
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """One API call. Any one of `scopes` is enough.

    `path` can have parts in braces (`/{module}/{id}`), which fill `$module` in scopes and bodies.
    `versions` are those of the product that have the endpoint; none means all. `bases` replace the
    product's roots and versions: they are host and path (`download/v1/workdrive`). `item` is the
    part of the body that is repeated for each organization. `organization_parameter` names the part
    of the path, parameter or header that must contain an organization. `requires_user`: the call
    acts as a user, which client credentials can't. `required_parameter` is mandatory from the
    version `required_since` on. `parameters` are those the endpoint knows; see `Product.errors`.
    `action` is what happens to the records of `collection`; without one, the body is all there is.
    """

    path: str
    scopes: tuple[str, ...]
    body: str = ""
    item: str = ""
    organization_parameter: str = ""
    method: Annotated[str, {"enum": METHODS}] = "GET"
    requires_user: bool = False
    status: Status = 200
    content_type: str = JSON
    action: str = ""
    collection: str = ""
    versions: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
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
    `calls_per_minute` are those of one organization; 0: no limit.
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
    calls_per_minute: int = 0
    collections: dict[str, Collection] = field(default_factory=dict)
    version_errors: dict[str, dict[str, ApiResponse]] = field(default_factory=dict)

    def errors_at(self, address: str) -> Mapping[str, ApiResponse]:
        """Return the errors of the version that `host/path` names."""
        for version, errors in self.version_errors.items():
            if any(f"{address}/".startswith(f"{root}/{version}/") for root in self.roots):
                return self.errors | errors
        return self.errors

    def bases_of(self, endpoint: Endpoint) -> dict[str, str]:
        """Return each `host/path` that comes before an endpoint's path → version."""
        if endpoint.bases:
            return dict.fromkeys(endpoint.bases, "")
        versions = endpoint.versions or self.versions
        return {f"{root}/{version}": version for root in self.roots for version in versions}

    @cached_property
    def _endpoints_by_base(self) -> dict[str, list[tuple[Endpoint, str]]]:
        """What comes before a path, with its slash → endpoints there, and their version."""
        found: dict[str, list[tuple[Endpoint, str]]] = {}
        for endpoint in self.endpoints:
            for base, version in self.bases_of(endpoint).items():
                found.setdefault(f"{base}/", []).append((endpoint, version))
        return found

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The `host/path` of its roots and of endpoints with bases of their own, with a slash."""
        bases = (base for endpoint in self.endpoints for base in endpoint.bases)
        return tuple(f"{each}/" for each in dict.fromkeys((*self.roots, *bases)))

    def is_at(self, address: str) -> bool:
        """Whether `host/path` is below one of the product's roots, or one of its endpoints."""
        return f"{address}/".startswith(self.places)

    def routes_at(self, address: str) -> list[Route]:
        """Return the routes to `host/path`, one for each method; [] if the path is unknown."""
        found = [
            Route(endpoint, version, matched.groupdict())
            for base, rows in self._endpoints_by_base.items()
            if address.startswith(base)
            for endpoint, version in rows
            if (matched := _path_pattern(endpoint.path).fullmatch(address[len(base) - 1 :]))
        ]
        shapes = [_shape(each.endpoint.path) for each in found]
        return [each for each, shape in zip(found, shapes, strict=True) if shape == shapes[0]]

    def requires_parameter(self, route: Route) -> bool:
        """Whether `required_parameter` is mandatory in the version of the route."""
        if not route.endpoint.required_parameter:
            return False
        since = route.endpoint.required_since
        index = self.versions.index
        return not since or (bool(route.version) and index(route.version) >= index(since))


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


def _shape(path: str) -> str:
    """Return a path without the names of its parts in braces."""
    return re.sub(r"\{\w+\}", "{}", path)
