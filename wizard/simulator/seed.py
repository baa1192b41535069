"""The made-up people every world begins with."""

import tomllib
from importlib.resources import files

from wizard.simulator.people import Organization
from wizard.simulator.world import World


def populate(world: World) -> None:
    """Add the people of `seed.toml` to a world without anybody."""
    text = files("wizard.simulator").joinpath("seed.toml").read_text("utf-8")
    for row in tomllib.loads(text)["people"]:
        organizations = [Organization(**each) for each in row.pop("organizations", [])]
        world.people.add(row.pop("email"), **row, organizations=organizations)
