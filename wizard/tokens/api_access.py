"""What a program needs in addition to an access token: where it can be used, and for whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from wizard.model import AccessToken, Account, Grant
from wizard.zoho import DataCenter, products_of


@dataclass(frozen=True)
class ProductApiAccess:
    """One product that a grant's scopes reach."""

    id: str
    api_base: str
    """The base URL of its API; some products don't use the API domain."""
    organization_id: str
    """Empty if the product has none, or if it is unknown."""


@dataclass(frozen=True)
class ApiAccess:
    """What a grant reaches; not secret."""

    location: str
    domain_suffix: str
    """The data center as most programs spell it: ``com``, ``eu``, ``com.au``."""
    accounts_server: str
    api_domain: str
    account: Account | None
    organization_id: str
    """The first that was found; most grants have only one. Empty if there is none."""
    products: tuple[ProductApiAccess, ...]


def api_access_of(grant: Grant, data_center: DataCenter) -> ApiAccess:
    """What `grant`, issued by `data_center`, reaches."""
    found = {each.product: each.id for each in reversed(grant.organizations)}
    return ApiAccess(
        location=grant.location,
        domain_suffix=data_center.domain_suffix,
        accounts_server=data_center.accounts_server,
        api_domain=data_center.api_domain,
        account=grant.account,
        organization_id=grant.organizations[0].id if grant.organizations else "",
        products=tuple(
            ProductApiAccess(
                product.id,
                data_center.base_url_of(product.host) + product.api_path,
                found.get(product.id, ""),
            )
            for product in products_of(grant.scope)
        ),
    )


@dataclass(frozen=True)
class TokenDocument:
    """The result of `token`. It contains the access token."""

    access_token: str = field(repr=False)
    token_type: str
    expires_at: datetime
    expires_in: int
    """Seconds."""
    stale: bool
    """Due for a refresh, which isn't possible now."""
    location: str
    """The data center."""
    accounts_server: str
    api_domain: str
    api_bases: Mapping[str, str]
    """By product: the base URL of its API."""
    organization_id: str | None
    organization_ids: Mapping[str, str]
    """By product."""
    account: Account | None
    connection: str
    generation: int
    """Of the authorization."""


def token_document(token: AccessToken, access: ApiAccess, now: datetime) -> TokenDocument:
    """What ``token --json`` prints."""
    return TokenDocument(
        access_token=token.value,
        token_type="Zoho-oauthtoken",  # noqa: S106 - what the header calls it
        expires_at=token.expires_at,
        expires_in=int((token.expires_at - now).total_seconds()),
        stale=token.stale,
        location=access.location,
        accounts_server=access.accounts_server,
        api_domain=access.api_domain,
        api_bases={each.id: each.api_base for each in access.products},
        organization_id=access.organization_id or None,
        organization_ids={e.id: e.organization_id for e in access.products if e.organization_id},
        account=access.account,
        connection=token.connection,
        generation=token.generation,
    )


def access_variables(access: ApiAccess) -> dict[str, str]:
    """The environment variables of a command, except for the access token; not secret."""
    variables = {
        "ZOHO_API_DOMAIN": access.api_domain,
        "ZOHO_ACCOUNTS_URL": access.accounts_server,
        "ZOHO_DC": access.domain_suffix,
        "ZOHO_ORGANIZATION_ID": access.organization_id,
    }
    for product in access.products:
        prefix = f"ZOHO_{product.id.upper()}"
        variables[f"{prefix}_API_BASE"] = product.api_base
        variables[f"{prefix}_ORGANIZATION_ID"] = product.organization_id
    return {name: value for name, value in variables.items() if value}
