"""The facts about Zoho: data centres, products, scopes, presets, limits. Data, and its readers."""

from wizard.zoho.data_centres import LIVE, DataCentre, Zoho, load
from wizard.zoho.limits import Limits, limits
from wizard.zoho.presets import Preset, preset, presets
from wizard.zoho.products import (
    Listing,
    Probe,
    Product,
    error_words,
    product,
    product_of,
    products,
    products_of,
)
from wizard.zoho.scope import ALWAYS, covers, parse_scope, scope_words

__all__ = [
    "ALWAYS",
    "LIVE",
    "DataCentre",
    "Limits",
    "Listing",
    "Preset",
    "Probe",
    "Product",
    "Zoho",
    "covers",
    "error_words",
    "limits",
    "load",
    "parse_scope",
    "preset",
    "presets",
    "product",
    "product_of",
    "products",
    "products_of",
    "scope_words",
]
