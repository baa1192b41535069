"""Zoho OAuth wizard: get, verify and keep Zoho refresh tokens."""

__version__ = "0.1.0"
