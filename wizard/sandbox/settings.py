"""Every limit of the simulated Zoho, and every behaviour that is disputed or only guessed.

`settings.toml` gives each its default, its unit and what is known about it.
"""

import tomllib
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The choices in force. `Settings.default()` are those believed to be nearest to Zoho."""

    code_life: int
    self_client_code_life: int
    access_token_life: int
    access_tokens_per_refresh_token: int
    refresh_tokens_per_user_and_client: int
    token_requests: int
    token_requests_period: int
    throttle_key: str
    throttle_status: int
    localised_throttle: bool
    codes_per_client: int
    codes_period: int
    codes_overflow: str
    refresh_tokens_created: int
    refresh_tokens_created_period: int
    scope_separator: str
    legacy_expires_in_sec: bool
    wrong_data_centre_secret: str
    pkce_mismatch: str
    get_token_status: int
    error_page_status: int
    trailing_ampersand: bool
    crm_authentication_failure: bool
    workdrive_500: bool
    wrong_passwords_before_captcha: int
    console_words: str
    refresh_token_rotation: str

    @classmethod
    def default(cls) -> "Settings":
        """Return the defaults of `settings.toml`."""
        return cls(**{name: row["default"] for name, row in described().items()})

    def changed(self, **changes: Any) -> "Settings":
        """Return a copy with `changes`; ValueError names an unknown setting or a wrong value."""
        for name, value in changes.items():
            _check(name, value)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return name → value, ready for JSON."""
        return asdict(self)


@cache
def described() -> dict[str, dict[str, Any]]:
    """Return the rows of `settings.toml`: name → default, unit, choices, says, confidence."""
    text = files("wizard.sandbox").joinpath("settings.toml").read_text("utf-8")
    return tomllib.loads(text)


def _check(name: str, value: Any) -> None:
    row = described().get(name)
    if row is None:
        near = get_close_matches(name, described(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"there is no setting {name!r}{hint}")
    kind = type(row["default"])
    if type(value) is not kind or (kind is int and value < 0):
        raise ValueError(f"{name} takes {kind.__name__}, not {value!r}")
    if value not in row.get("choices", [value]):
        raise ValueError(f"{name} is one of {', '.join(row['choices'])}, not {value!r}")
