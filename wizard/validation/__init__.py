"""Proving what a grant reaches, and the clients it is asked with."""

from wizard.validation.clients import ClientCheck, Clients
from wizard.validation.climb import SUSPECTED
from wizard.validation.credentials import Credentials, parse_credentials, parse_secret
from wizard.validation.identity import headline, other_than_before, reach
from wizard.validation.ladder import PROVABLE, Validation

__all__ = [
    "PROVABLE",
    "SUSPECTED",
    "ClientCheck",
    "Clients",
    "Credentials",
    "Validation",
    "headline",
    "other_than_before",
    "parse_credentials",
    "parse_secret",
    "reach",
]
