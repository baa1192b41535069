"""Facts about Zoho as data: data centers, products, scopes, presets, limits."""

from wizard.zoho.data_centers import LIVE, DataCenter, Zoho, load
from wizard.zoho.limits import Limits, limits
from wizard.zoho.products import (
    OrganizationListing,
    Probe,
    Product,
    error_codes,
    product,
    product_of,
    products,
    products_of,
)
from wizard.zoho.scopes import (
    ACCOUNT_SCOPE,
    Preset,
    describe_scope,
    missing_scopes,
    parse_scope,
    preset,
    presets,
)

__all__ = [
    "ACCOUNT_SCOPE",
    "LIVE",
    "DataCenter",
    "Limits",
    "OrganizationListing",
    "Preset",
    "Probe",
    "Product",
    "Zoho",
    "describe_scope",
    "error_codes",
    "limits",
    "load",
    "missing_scopes",
    "parse_scope",
    "preset",
    "presets",
    "product",
    "product_of",
    "products",
    "products_of",
]
