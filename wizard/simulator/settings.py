"""What a test or a demo can set in a world: its settings, its time and its random values.

The settings are the limits of the simulated Zoho, and every behavior that is disputed or only
guessed. Time is real time plus an offset. The same seed gives the same random values.
"""

import os
import random
import string
import threading
import tomllib
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from wizard.simulator.errors import InvalidValueError
from wizard.simulator.schemas import Schema, check

YEARS = range(1971, 2200)
"""The years that the clock can be in: times before and after it can be written, too."""

BEHAVIORS = ("current", "documented")
"""Which settings to start with, where Zoho's documentation and its measured behavior differ."""


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
    search_scope_required: bool
    workdrive_listings_of_a_folder: int
    wrong_passwords_before_captcha: int
    console_labels: str
    refresh_token_rotation: str
    access_token_reuse: bool
    unknown_path_check: str
    head_requests: str
    projects_scope_error: str
    callback_order: str
    access_token_revocation: str
    refresh_token_limit_key: str
    loopback_address_redirects: bool
    pkce_for_mobile: bool
    user_info_scope_error: str
    userinfo_for_profile_alone: str
    id_token_key_id: bool
    enhancement_token_lifetime_seconds: int

    @classmethod
    def default(cls) -> "SimulatorSettings":
        """Return the defaults of `settings.toml`."""
        return cls.of_behavior("current")

    @classmethod
    def of_behavior(cls, behavior: str) -> "SimulatorSettings":
        """Return the defaults, with what Zoho documents in place of them if it's `documented`."""
        key = "documented" if behavior == "documented" else "default"
        rows = setting_definitions().items()
        return cls(**{name: row.get(key, row["default"]) for name, row in rows})

    def with_changes(self, **changes: Any) -> "SimulatorSettings":
        """Return a copy with `changes`; InvalidValueError for an unknown name or invalid value."""
        check(settings_schema(), changes)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return name → value, as JSON values."""
        return asdict(self)


@cache
def setting_definitions() -> dict[str, dict[str, Any]]:
    """Return `settings.toml`: name → default, unit, choices, description, confidence.

    `documented` is what Zoho's documentation says, if it's something else.
    """
    text = files("wizard.simulator").joinpath("settings.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def settings_schema() -> Schema:
    """Return the JSON Schema of an object with settings, none of which is required."""
    kinds: dict[type, Schema] = {
        bool: {"type": "boolean"},
        int: {"type": "integer", "minimum": 0, "maximum": 10**9},
    }
    properties = {
        name: {
            **kinds.get(type(row["default"]), {"type": "string"}),
            **({"enum": row["choices"]} if "choices" in row else {}),
            "description": row["description"],
        }
        for name, row in setting_definitions().items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


_TOO_FAR = f"The clock can be in the years {YEARS[0]} to {YEARS[-1]}."


class Clock:
    """A callable that returns an aware UTC datetime and can be moved. Thread-safe.

    Every change of the offset is written to `offset_file` (seconds, as text) if there is one, so
    that other processes have the same time through `FileClock`. With `fixed_at`, the clock stands
    still, and the offset is from that time.
    """

    def __init__(
        self, offset_file: Path | None = None, *, fixed_at: datetime | None = None
    ) -> None:
        self._offset = timedelta()
        self._fixed_at = fixed_at.astimezone(UTC) if fixed_at else None
        self._offset_file = offset_file
        self._lock = threading.Lock()
        self.set_offset(timedelta())

    def __call__(self) -> datetime:
        """Return the simulated Zoho's time."""
        with self._lock:
            return self._base() + self._offset

    def _base(self) -> datetime:
        return self._fixed_at or datetime.now(UTC)

    @property
    def is_fixed(self) -> bool:
        """Whether the clock is stopped until it's moved."""
        return self._fixed_at is not None

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of real time, or of its fixed time."""
        with self._lock:
            return self._offset

    def advance(self, by: timedelta | float) -> datetime:
        """Move forward (or back, if negative) by a timedelta or seconds; return the new time.

        InvalidValueError if that is too far.
        """
        try:
            step = by if isinstance(by, timedelta) else timedelta(seconds=by)
            self.set_offset(self.offset + step)
        except OverflowError:
            raise InvalidValueError(_TOO_FAR) from None
        return self()

    def set(self, moment: datetime) -> None:
        """Set the time to `moment` (an aware datetime)."""
        self.set_offset(moment - self._base())

    def set_offset(self, offset: timedelta) -> None:
        """Set how far the clock is ahead of real time, or of its fixed time."""
        if (self._base() + offset).year not in YEARS:
            raise InvalidValueError(_TOO_FAR)
        with self._lock:
            self._offset = offset
            if self._offset_file:
                new_file = self._offset_file.with_suffix(".new")
                new_file.write_text(str(offset.total_seconds()))
                os.replace(new_file, self._offset_file)


class FileClock:
    """The time of a `Clock` in another process, read from its `offset_file`."""

    def __init__(self, offset_file: Path) -> None:
        self._offset_file = offset_file

    def __call__(self) -> datetime:
        """Return real time plus the offset in the file; no file means no offset."""
        try:
            seconds = float(self._offset_file.read_text())
        except FileNotFoundError:
            seconds = 0.0
        return datetime.now(UTC) + timedelta(seconds=seconds)


class RandomValues:
    """A seeded source of everything random in a world.

    It's reproducible on purpose: nothing it makes protects anything real.
    """

    def __init__(self, random_seed: int) -> None:
        self._random = random.Random(random_seed)  # noqa: S311

    def token(self) -> str:
        """Return a code, access or refresh token: `1000.<32 hex>.<32 hex>`."""
        return f"1000.{self.hexadecimal(32)}.{self.hexadecimal(32)}"

    def client_id(self) -> str:
        """Return `1000.` and thirty upper-case letters and digits."""
        return "1000." + "".join(self._random.choices(string.ascii_uppercase + string.digits, k=30))

    def client_secret(self) -> str:
        """Return 42 lower-case hexadecimal digits."""
        return self.hexadecimal(42)

    def hexadecimal(self, length: int) -> str:
        """Return `length` lower-case hexadecimal digits."""
        return f"{self._random.getrandbits(4 * length):0{length}x}"

    def number(self, digits: int) -> int:
        """Return a number of exactly that many digits."""
        return self._random.randrange(10 ** (digits - 1), 10**digits)

    def letters(self, length: int) -> str:
        """Return `length` capital letters and digits that aren't easily confused."""
        return "".join(self._random.choices("ABCDEFGHJKLMNPRTUVWXY346789", k=length))

    def state(self) -> list[Any]:
        """Return the state of the generator, as JSON values."""
        version, numbers, gauss = self._random.getstate()
        return [version, list(numbers), gauss]

    def restore(self, state: list[Any]) -> None:
        """Continue from what `state` returned."""
        version, numbers, gauss = state
        self._random.setstate((version, tuple(numbers), gauss))
