"""Where an access token may be used and as whom: what a program needs beside the token itself."""

from dataclasses import dataclass

from wizard.model import Account, Grant
from wizard.zoho import DataCentre, products_of


@dataclass(frozen=True)
class ProductReach:
    """One product that a grant's scopes reach."""

    id: str
    api_base: str
    """Where its interface begins; not every product answers on the API domain."""
    organization_id: str
    """Empty where the product names none, or where none is known."""


@dataclass(frozen=True)
class Reach:
    """What a grant reaches, without anything secret."""

    location: str
    data_centre: str
    """As most programs spell it, by the end of Zoho's names: ``com``, ``eu``, ``com.au``."""
    accounts_server: str
    api_domain: str
    account: Account | None
    organization_id: str
    """The first that was found, which is the only one for most grants; else empty."""
    products: tuple[ProductReach, ...]


def reach_of(grant: Grant, data_centre: DataCentre) -> Reach:
    """What `grant`, issued by `data_centre`, reaches."""
    found = {each.product: each.id for each in reversed(grant.organizations)}
    return Reach(
        location=grant.location,
        data_centre=data_centre.suffix,
        accounts_server=data_centre.accounts_server,
        api_domain=data_centre.api_domain,
        account=grant.account,
        organization_id=grant.organizations[0].id if grant.organizations else "",
        products=tuple(
            ProductReach(
                product.id,
                data_centre.host(product.host) + product.api,
                found.get(product.id, ""),
            )
            for product in products_of(grant.scope)
        ),
    )
