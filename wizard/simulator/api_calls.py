"""A call of a product's API: what was sent, and what is known once the token is checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from string import Template
from typing import Any

from wizard.simulator.grants import AccessToken
from wizard.simulator.products import ApiResponse, Product, Route
from wizard.simulator.records import OrganizationRecords
from wizard.simulator.users import Organization, User
from wizard.simulator.world import World


@dataclass(frozen=True)
class ApiRequest:
    """What was sent to `address` (`host/path`) of a data center.

    `form` and `files` are those of a form, `body` is everything that was sent. Names of `headers`
    are in lower case.
    """

    location: str
    address: str
    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> str:
        """The path at its host."""
        return "/" + self.address.partition("/")[2]

    @cached_property
    def json(self) -> Any:
        """The body's JSON, or that of the form field JSONString; None if it isn't JSON."""
        try:
            return read_json(self.form.get("JSONString") or self.body)
        except ValueError:
            return None

    def parameter(self, name: str) -> str:
        """Return a value of the query or the headers, whose name is case-insensitive; else ""."""
        query = {key.casefold(): value for key, value in self.query.items()}
        return query.get(name.casefold()) or self.headers.get(name.casefold(), "")


@dataclass(frozen=True)
class ApiCall:
    """A request with a valid token.

    `organization` is the one that the call reads and changes; None if the user has none.
    """

    world: World
    product: Product
    route: Route
    token: AccessToken
    user: User
    organization: Organization | None
    request: ApiRequest

    @property
    def now(self) -> str:
        """The time as CRM writes it."""
        return self.world.clock().replace(microsecond=0).isoformat()

    @property
    def stored(self) -> OrganizationRecords:
        """The records of the organization; those of the user if there is none."""
        owner = self.organization.organization_id if self.organization else str(self.user.zuid)
        return self.world.records.of(self.product, owner, self.user)

    def error(self, case: str, **values: Any) -> ApiResponse:
        """Return an error of the product, filled in with `values`."""
        error = self.product.errors_at(self.request.address)[case]
        return ApiResponse(error.status, fill(error.body, values), error.content_type)


def fill(template: str, values: Mapping[str, Any], items: str = "") -> str:
    """Fill in `$names` within JSON: text is escaped, other values are inserted as JSON.

    `$items` is JSON already.
    """
    known = {
        name: json.dumps(value)[1:-1] if isinstance(value, str) else to_json(value)
        for name, value in values.items()
    }
    return Template(template).safe_substitute(known, items=items)


def read_json(text: str | bytes) -> Any:
    """Parse JSON; ValueError if it's invalid, too deeply nested, or half of a surrogate pair."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("too deeply nested") from None
    return value


def to_json(value: Any) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
