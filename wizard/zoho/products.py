"""Products: their hosts, their organizations, and their cheapest reads."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from wizard.errors import fail
from wizard.zoho.scopes import missing_scopes


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
    text = resources.files("wizard.zoho").joinpath("products.toml").read_text("utf-8")
    return tuple(
        Product(
            id=product_id,
            probes=tuple(Probe(**probe) for probe in row.pop("probes")),
            organizations=OrganizationListing(**row.pop("organizations"))
            if "organizations" in row
            else None,
            **row,
        )
        for product_id, row in tomllib.loads(text).items()
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


@cache
def error_codes() -> dict[str, dict[str, str]]:
    """The errors of products: product id (or ``common``) → word → failure code."""
    text = resources.files("wizard.zoho").joinpath("error_codes.toml").read_text("utf-8")
    return tomllib.loads(text)
