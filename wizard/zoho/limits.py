"""Zoho's limits and the wizard's own, lower budgets."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Limits:
    """Lives and windows in seconds, the rest in pieces. Budgets are the wizard's own."""

    access_token_lifetime_seconds: int
    code_lifetime_seconds: int
    window_seconds: int
    rate_limit_pause_seconds: int
    retry_after_most: int
    """The longest wait that a server's ``Retry-After`` can ask for."""
    date_off_most: int
    """A server's ``Date`` that differs from our clock by more tells nothing."""
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
    """The table."""
    text = resources.files("wizard.zoho").joinpath("limits.toml").read_text("utf-8")
    return Limits(**tomllib.loads(text))
