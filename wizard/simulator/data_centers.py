"""Where the simulated Zoho stands: eleven data centres, one of them apart."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class DataCenter:
    """One data centre: its lower-case `location` code, its name for users, its client registry."""

    location: str
    name: str
    registry: str = "world"


@cache
def data_centers() -> dict[str, DataCenter]:
    """Return location → data centre, in the order of the table."""
    text = files("wizard.simulator").joinpath("data_centers.toml").read_text("utf-8")
    return {code: DataCenter(code, **row) for code, row in tomllib.loads(text).items()}


def can_share_clients(one: str, other: str) -> bool:
    """Whether a client registered in one location can be enabled in the other."""
    table = data_centers()
    return table[one].registry == table[other].registry
