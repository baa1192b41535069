"""The limits of the simulated Zoho, and every behavior that is disputed or only guessed."""

import tomllib
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class SimulatorSettings:
    """The current settings. The defaults are what we believe is closest to Zoho."""

    code_lifetime_seconds: int
    self_client_code_lifetime_seconds: int
    access_token_lifetime_seconds: int
    access_tokens_per_refresh_token: int
    refresh_tokens_per_user_and_client: int
    token_request_limit: int
    token_request_period_seconds: int
    rate_limit_key: str
    rate_limit_status: int
    localized_rate_limit: bool
    code_limit: int
    code_period_seconds: int
    code_limit_response: str
    new_refresh_token_limit: int
    new_refresh_token_period_seconds: int
    scope_separator: str
    legacy_expires_in_sec: bool
    wrong_data_center_secret_error: str
    pkce_mismatch_error: str
    get_token_status: int
    error_page_status: int
    trailing_ampersand: bool
    crm_authentication_failure: bool
    workdrive_500: bool
    wrong_passwords_before_captcha: int
    console_labels: str
    refresh_token_rotation: str
    access_token_reuse: bool

    @classmethod
    def default(cls) -> "SimulatorSettings":
        """Return the defaults of `settings.toml`."""
        return cls(**{name: row["default"] for name, row in setting_definitions().items()})

    def with_changes(self, **changes: Any) -> "SimulatorSettings":
        """Return a copy with `changes`; ValueError for an unknown name or an invalid value."""
        for name, value in changes.items():
            _validate(name, value)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return name → value, as JSON values."""
        return asdict(self)


@cache
def setting_definitions() -> dict[str, dict[str, Any]]:
    """Return `settings.toml`: name → default, unit, choices, description, confidence."""
    text = files("wizard.simulator").joinpath("settings.toml").read_text("utf-8")
    return tomllib.loads(text)


def _validate(name: str, value: Any) -> None:
    row = setting_definitions().get(name)
    if row is None:
        closest = get_close_matches(name, setting_definitions(), n=1)
        hint = f"; did you mean {closest[0]}?" if closest else ""
        raise ValueError(f"there is no setting {name!r}{hint}")
    kind = type(row["default"])
    if type(value) is not kind or (kind is int and value < 0):
        raise ValueError(f"{name} takes {kind.__name__}, not {value!r}")
    if value not in row.get("choices", [value]):
        raise ValueError(f"{name} is one of {', '.join(row['choices'])}, not {value!r}")


class RateLimits:
    """Counts events by key, in windows that begin with their first event.

    Zoho refuses requests for the rest of the window; a refused one isn't counted.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[str, ...], tuple[datetime, int]] = {}

    def take(self, key: tuple[str, ...], limit: int, period_seconds: int, now: datetime) -> bool:
        """Count one event under `key`; False if `limit` is reached in this period."""
        began, count = self._windows.get(key, (now, 0))
        if now - began >= timedelta(seconds=period_seconds):
            began, count = now, 0
        if count >= limit:
            return False
        self._windows[key] = (began, count + 1)
        return True

    def clear(self) -> None:
        """Remove all counts."""
        self._windows.clear()
