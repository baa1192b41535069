"""Zoho OAuth wizard: get, prove and keep Zoho refresh tokens."""

__version__ = "0.1.0"
