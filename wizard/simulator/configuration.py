"""How a simulator starts: where it listens, and the state that it starts with and returns to.

The same keys are the options of `zoho-wizard simulator`, the keys of its configuration file, and
the parameters of the fixture. Each error names its key and what is expected.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from wizard.simulator.catalog import Catalog, default_catalog, products
from wizard.simulator.errors import InvalidValueError
from wizard.simulator.product_tables import merge_tables
from wizard.simulator.records import Records
from wizard.simulator.schemas import Schema, arguments_schema, check, schema_of, shown
from wizard.simulator.settings import (
    BEHAVIORS,
    Clock,
    RandomValues,
    SimulatorSettings,
    settings_schema,
)
from wizard.simulator.users import Users

DEFAULT_PORT = 8730
EXAMPLE_ID = 20100000001
"""The ID of the first organization of a user without rows of their own."""

_OFFSET = re.compile(r"([+-]\d+)([smhd]?)")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Configuration:
    """A valid configuration; InvalidValueError names the key of an invalid value."""

    port: Annotated[
        int, {"description": "The port; 0 picks a free one.", "minimum": 0, "maximum": 65535}
    ] = DEFAULT_PORT
    listen: Annotated[str, {"description": "The IP address to listen on."}] = "127.0.0.1"
    real_hostnames: Annotated[
        bool,
        {"description": "Also answer for Zoho’s own host names, through a proxy."},
    ] = False
    allow_remote: Annotated[
        bool,
        {
            "description": "Allow an address that other machines can reach. They can control the "
            "simulator."
        },
    ] = False
    public_url: Annotated[
        str,
        {
            "description": "The URL that programs use, if it differs from the address and port, as "
            "behind a container’s port mapping. Answers contain it."
        },
    ] = ""
    seed: Annotated[
        int, {"description": "The same seed gives the same IDs and tokens.", "minimum": 0}
    ] = 1
    clock: Annotated[
        str,
        {
            "description": "Real time if empty; ahead of it with `+90s`, `+10m`, `+1h` or `+2d`; "
            "or a time such as `2026-12-01T09:00:00Z`, at which the clock stays until it’s "
            "moved."
        },
    ] = ""
    behavior: Annotated[
        str,
        {
            "description": "What to do where Zoho’s documentation and its measured behavior "
            "differ: as measured (`current`) or as documented.",
            "enum": list(BEHAVIORS),
        },
    ] = "current"
    journal: Annotated[str, {"description": "Append each request to this file, as JSON Lines."}] = (
        ""
    )
    settings: Annotated[
        Mapping[str, Any], settings_schema(), {"description": "Limits and other settings."}
    ] = field(default_factory=dict)
    users: Annotated[
        list[Mapping[str, Any]],
        {
            "description": "The users, instead of the sample users.",
            "items": arguments_schema(Users.add),
        },
    ] = field(default_factory=list)
    products: Annotated[
        list[str],
        {
            "description": "TOML files that add products, endpoints, records and errors, or "
            "replace them."
        },
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(configuration_schema(), vars(self))
        self._check_address()
        self.catalog  # noqa: B018 -- an error in a table is an error of the configuration
        Clock(fixed_at=self.fixed_time).advance(self._clock_seconds)

    def _check_address(self) -> None:
        try:
            address = ip_address(self.listen)
        except ValueError:
            raise InvalidValueError(
                f"“listen” must be an IP address such as 127.0.0.1, not {shown(self.listen)}."
            ) from None
        if not address.is_loopback and not self.allow_remote:
            raise InvalidValueError(
                f"“listen” is {self.listen}, which other machines can reach, and the simulator has "
                "no authentication: they could control it and read everything in it. In a "
                "container, or on a network that you trust, allow it with “allow_remote” "
                "(--allow-remote)."
            )
        try:
            url = urlsplit(self.public_url)
            is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            is_valid = False
        if self.public_url and not is_valid:
            raise InvalidValueError(
                "“public_url” must be a URL such as http://zoho:8730, not "
                f"{shown(self.public_url)}."
            )

    @cached_property
    def catalog(self) -> Catalog:
        """The products, with those of the added files."""
        if not self.products:
            return default_catalog()
        catalog = Catalog.of(merge_tables({name: _read_table(name) for name in self.products}))
        anyone = Users(RandomValues(0)).add("anyone@example.com", location="us")
        for product in catalog.products.values():
            Records(0).of(product, "", anyone)  # finds an invalid sample
        return catalog

    @property
    def own_host(self) -> str:
        """The host in the simulator's own URL."""
        address = ip_address(self.listen)
        if address.is_unspecified:
            return "127.0.0.1"
        return f"[{address}]" if address.version == 6 else str(address)

    @property
    def fixed_time(self) -> datetime | None:
        """The time at which the clock is stopped, if it is."""
        return None if not self.clock or _OFFSET.fullmatch(self.clock) else _read_time(self.clock)

    @property
    def clock_offset(self) -> timedelta:
        """How far the clock is ahead of real time."""
        return timedelta(seconds=self._clock_seconds)

    @property
    def _clock_seconds(self) -> int:
        found = _OFFSET.fullmatch(self.clock)
        return int(found[1]) * _UNIT_SECONDS[found[2]] if found else 0

    @property
    def simulator_settings(self) -> SimulatorSettings:
        """The settings: those of the behavior, with the changes."""
        return SimulatorSettings.of_behavior(self.behavior).with_changes(**self.settings)

    def with_changes(self, **values: Any) -> "Configuration":
        """Return a copy with other values; an unknown name is an error, too."""
        check(configuration_schema(), values)
        return replace(self, **values)


@cache
def configuration_schema() -> Schema:
    """Return the JSON Schema of a configuration file, without the file's syntax."""
    return schema_of(Configuration)


def read_configuration(path: Path) -> Configuration:
    """Return the configuration in a TOML file; paths in it are relative to it.

    InvalidValueError names the file and the key. OSError if it can't be read.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        if isinstance(values.get("clock"), datetime):
            values["clock"] = values["clock"].isoformat()
        check(configuration_schema(), values)
        values["products"] = [str(path.parent / each) for each in values.get("products", ())]
        if values.get("journal"):
            values["journal"] = str(path.parent / values["journal"])
        return Configuration().with_changes(**values)
    except UnicodeDecodeError:
        raise InvalidValueError(f"{path} isn’t a text file in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidValueError(f"{path} isn’t valid TOML: {error}.") from None
    except InvalidValueError as error:
        raise InvalidValueError(f"{path}: {error}") from None


def _read_table(name: str) -> str:
    try:
        return Path(name).read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidValueError(f"{name} isn’t a text file in UTF-8.") from None
    except OSError as error:
        raise InvalidValueError(f"{name} can’t be read: {error.strerror}.") from None


def row_of_user(text: str) -> dict[str, Any]:
    """Return the row of a user `EMAIL:LOCATION`, who has an organization in each product."""
    email, separator, location = text.rpartition(":")
    if not separator or "@" not in email:
        raise InvalidValueError(
            f"A user is EMAIL:LOCATION, such as kim@example.com:us, not {shown(text)}."
        )
    organizations = [
        {"product": key, "organization_id": str(EXAMPLE_ID + index), "name": "Example"}
        for index, key in enumerate(products())
    ]
    return {"email": email, "location": location, "organizations": organizations}


def _read_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidValueError(
            "“clock” must be an offset such as +1h, or a time with its zone such as "
            f"2026-12-01T09:00:00Z, not {shown(text)}."
        )
    return time
