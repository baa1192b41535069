"""Facts about Zoho as data: data centers, products, scopes, presets, limits."""

from dataclasses import dataclass
from functools import cache

from wizard.tables import read_table
from wizard.zoho.data_centers import LIVE, DataCenter, Zoho, load
from wizard.zoho.products import (
    ACCOUNT_SCOPE,
    ENVIRONMENTS,
    Credential,
    OrganizationListing,
    OtherProduct,
    Preset,
    Probe,
    Product,
    describe_scope,
    error_codes,
    has_added_scopes,
    is_well_formed_scope,
    missing_scopes,
    other_products,
    parse_scope,
    preset,
    presets,
    product,
    product_of,
    products,
    products_of,
    suggest_scope,
    unusual_scopes,
)

__all__ = [
    "ACCOUNT_SCOPE",
    "ENVIRONMENTS",
    "LIVE",
    "Credential",
    "DataCenter",
    "Limits",
    "OrganizationListing",
    "OtherProduct",
    "Preset",
    "Probe",
    "Product",
    "Zoho",
    "describe_scope",
    "error_codes",
    "has_added_scopes",
    "is_well_formed_scope",
    "limits",
    "load",
    "missing_scopes",
    "other_products",
    "parse_scope",
    "preset",
    "presets",
    "product",
    "product_of",
    "products",
    "products_of",
    "suggest_scope",
    "unusual_scopes",
]


@dataclass(frozen=True)
class Limits:
    """Durations in seconds, otherwise counts. Budgets are the wizard's own."""

    access_token_lifetime_seconds: int
    code_lifetime_seconds: int
    window_seconds: int
    rate_limit_pause_seconds: int
    max_retry_after_seconds: int
    """The longest wait accepted from a server's ``Retry-After``."""
    max_date_offset_seconds: int
    """A server's ``Date`` that differs more from our clock is ignored."""
    codes_per_client: int
    codes_budget: int
    token_requests: int
    token_requests_budget: int
    token_requests_reserved: int
    access_tokens_per_refresh_token: int
    refresh_tokens_per_user_and_client: int
    refresh_tokens_warning_threshold: int
    refresh_tokens_hard_stop: int


@cache
def limits() -> Limits:
    """Read the table."""
    return Limits(**read_table("zoho/limits.toml"))
