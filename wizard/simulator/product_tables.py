"""The tables of products: `products.toml`, `records.toml`, and those that a user adds.

They have one form. A later table adds to the earlier ones: its endpoints, errors and collections
replace those with the same path or name. Errors name the table, the key and what is expected.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from wizard.simulator.errors import InvalidValueError
from wizard.simulator.products import (
    ACTIONS,
    JSON,
    PLAIN_ACTIONS,
    ApiResponse,
    Collection,
    Endpoint,
    Field,
    Product,
)
from wizard.simulator.schemas import Schema, check, record, schema_of, shown, unknown

OWN_TABLES = ("products.toml", "records.toml")

REQUIRED_ERRORS = ("no_token", "invalid_token", "scope", "permission", "path")
ERRORS_OF_ACTIONS = {
    "get": ("missing",),
    "create": ("body", "mandatory"),
    "update": ("missing", "body", "mandatory"),
    "delete": ("missing",),
}
"""Action → the errors that it can return."""

_ROOT = re.compile(r"[a-z0-9-]+(/[\w.-]+)*")
_PATH = re.compile(r"(/([\w.~-]+|\{[A-Za-z_]\w*\}))+")


@dataclass
class ProductTables:
    """Merged tables: `products` by key, and what they add to the scopes."""

    services: list[str] = field(default_factory=list)
    scope_names: dict[str, list[str]] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)


@cache
def table_schema() -> Schema:
    """Return the JSON Schema of a table."""
    response = record(ApiResponse, without=("content", "headers"))
    product = _product_schema()
    collection = record(Collection, without=("name",))
    properties = product["properties"] | {
        "errors": {"type": "string"},
        "version_errors": schema_of(dict[str, str]),
        "endpoints": {"type": "array", "items": record(Endpoint)},
        "collections": {"type": "object", "additionalProperties": collection},
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "services": schema_of(list[str]),
            "scope_names": schema_of(dict[str, list[str]]),
            "errors": _by_name(_by_name(response)),
            "product": _by_name({**product, "properties": properties, "required": []}),
        },
    }


def _product_schema() -> Schema:
    return record(Product, without=("key", "endpoints", "errors", "version_errors", "collections"))


def _by_name(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def merge_tables(added: Mapping[str, str]) -> ProductTables:
    """Return the package's own tables with the `added` ones, which map a name to its TOML.

    InvalidValueError names the table and the key.
    """
    own = files("wizard.simulator")
    texts = {name: own.joinpath(name).read_text("utf-8") for name in OWN_TABLES}
    merged = _Merged()
    for name, text in (*texts.items(), *added.items()):
        try:
            table = tomllib.loads(text)
            check(table_schema(), table)
            merged.add(table)
        except tomllib.TOMLDecodeError as error:
            raise InvalidValueError(f"{name} isn’t valid TOML: {error}.") from None
        except InvalidValueError as error:
            raise InvalidValueError(f"{name}: {error}") from None
    products = {key: _product(key, row, merged.errors) for key, row in merged.products.items()}
    return ProductTables(merged.services, merged.scope_names, products)


class _Merged:
    """The rows of the tables so far."""

    def __init__(self) -> None:
        self.services: list[str] = []
        self.scope_names: dict[str, list[str]] = {}
        self.errors: dict[str, dict[str, Any]] = {}
        self.products: dict[str, dict[str, Any]] = {}

    def add(self, table: Mapping[str, Any]) -> None:
        """Add a table; check what its schema can't."""
        self.services += table.get("services", [])
        for service, names in table.get("scope_names", {}).items():
            self.scope_names.setdefault(service, []).extend(names)
        for family, rows in table.get("errors", {}).items():
            for case, row in rows.items():
                _check_body(f"errors.{family}.{case}", row)
            self.errors.setdefault(family, {}).update(rows)
        for key, row in table.get("product", {}).items():
            self._add_product(key, row)

    def _add_product(self, key: str, row: Mapping[str, Any]) -> None:
        known = self.products.setdefault(key, {"endpoints": [], "collections": {}})
        endpoints = row.get("endpoints", [])
        known["collections"] |= row.get("collections", {})
        known |= {
            name: value for name, value in row.items() if name not in ("endpoints", "collections")
        }
        place = f"product.{key}"
        for name in (*_product_schema()["required"], "errors"):
            if name not in known:
                raise InvalidValueError(f"“{place}.{name}” is missing.")
        for family in (known["errors"], *known.get("version_errors", {}).values()):
            if family not in self.errors:
                raise InvalidValueError(unknown("errors.", family, self.errors))
        limited = ("rate_limit",) if known.get("calls_per_minute") else ()
        self._require_errors(known["errors"], (*REQUIRED_ERRORS, *limited))
        for root in known["roots"]:
            if not _ROOT.fullmatch(root):
                raise InvalidValueError(_wrong_root(f"{place}.roots", root))
        for index, endpoint in enumerate(endpoints):
            self._check_endpoint(f"{place}.endpoints[{index}]", known, endpoint)
        known["endpoints"] = [*endpoints, *known["endpoints"]]
        are_modules = any(each.get("action", "").startswith("crm-") for each in known["endpoints"])
        for name, collection in row.get("collections", {}).items():
            if are_modules and not collection.get("fields"):
                raise InvalidValueError(f"“{place}.collections.{name}.fields” is missing.")
            _check_lookups(f"{place}.collections.{name}", collection, known["collections"])

    def _check_endpoint(
        self, place: str, product: Mapping[str, Any], endpoint: Mapping[str, Any]
    ) -> None:
        if not _PATH.fullmatch(endpoint["path"]):
            raise InvalidValueError(
                f"“{place}.path” must be a path such as /tickets/{{id}}, "
                f"not {shown(endpoint['path'])}."
            )
        for base in endpoint.get("bases", ()):
            if not _ROOT.fullmatch(base):
                raise InvalidValueError(_wrong_root(f"{place}.bases", base))
        for version in (*endpoint.get("versions", ()), endpoint.get("required_since", "")):
            if version and version not in product["versions"]:
                raise InvalidValueError(
                    f"“{place}” names the version {shown(version)}, which the product doesn’t have."
                )
        _check_body(place, endpoint)
        action = endpoint.get("action", "")
        if action and action not in ACTIONS:
            raise InvalidValueError(f"“{place}.action”: {unknown('', action, ACTIONS)}")
        if action in PLAIN_ACTIONS:
            collection = endpoint.get("collection", "")
            if collection not in product["collections"]:
                raise InvalidValueError(
                    f"“{place}.collection” must be a collection of the product, "
                    f"not {shown(collection)}."
                )
        named = endpoint.get("organization_parameter", "")
        is_in_path = f"{{{named}}}" in endpoint["path"]
        needed = ("organization",) if named and not is_in_path else ()
        self._require_errors(product["errors"], (*needed, *ERRORS_OF_ACTIONS.get(action, ())))

    def _require_errors(self, family: str, cases: Iterable[str]) -> None:
        for case in cases:
            if case not in self.errors[family]:
                raise InvalidValueError(f"“errors.{family}.{case}” is missing.")


def _check_body(place: str, row: Mapping[str, Any]) -> None:
    """Check that JSON stays JSON when its $names are filled in."""
    if "json" not in row.get("content_type", JSON):
        return
    for name in ("body", "item"):
        text = re.sub(r"\$\w+", "0", row.get(name, "").replace("$items", ""))
        try:
            json.loads(text or "{}")
        except ValueError as error:
            raise InvalidValueError(f"“{place}.{name}” isn’t JSON: {error}.") from None


def _wrong_root(place: str, root: str) -> str:
    return f"“{place}” must be hosts with or without a path, such as www/crm, not {shown(root)}."


def _check_lookups(
    place: str, collection: Mapping[str, Any], collections: Mapping[str, Any]
) -> None:
    lookups = dict(collection.get("lookups", {}))
    lookups |= {each["name"]: each.get("lookup") for each in collection.get("fields", [])}
    for name, target in lookups.items():
        if target and target not in collections:
            raise InvalidValueError(f"“{place}.{name}”: {unknown('', target, collections)}")


def _product(key: str, row: Mapping[str, Any], errors: Mapping[str, Mapping[str, Any]]) -> Product:
    endpoints = [Endpoint(**_frozen(each)) for each in row["endpoints"]]
    families = {
        family: {case: ApiResponse(**each) for case, each in rows.items()}
        for family, rows in errors.items()
    }
    collections = {
        name: Collection(
            name,
            **_frozen({**each, "fields": [Field(**_frozen(f)) for f in each.get("fields", [])]}),
        )
        for name, each in row["collections"].items()
    }
    replaced = {
        "key": key,
        "endpoints": tuple(sorted(endpoints, key=lambda each: each.path.count("{"))),
        "errors": families[row["errors"]],
        "version_errors": {
            version: families[each] for version, each in row.get("version_errors", {}).items()
        },
        "collections": collections,
    }
    return Product(**{**_frozen(row), **replaced})


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(each) if isinstance(each, list) else each for name, each in row.items()}
