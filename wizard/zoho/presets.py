"""Presets: tasks people come with, and the smallest scopes that do them."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from wizard.errors import fail


@dataclass(frozen=True)
class Preset:
    """A task and what it needs. `ALWAYS` is not repeated here; every connection asks for it."""

    id: str
    title: str
    product: str
    scope: tuple[str, ...]
    explanation: str
    """Why each scope is needed, in plain words."""


@cache
def presets() -> tuple[Preset, ...]:
    """Every preset of the table, in its order."""
    text = resources.files("wizard.zoho").joinpath("presets.toml").read_text("utf-8")
    return tuple(
        Preset(id=preset_id, scope=tuple(row.pop("scope")), **row)
        for preset_id, row in tomllib.loads(text).items()
    )


def preset(preset_id: str) -> Preset:
    """The preset of that id; raises ``unknown-preset``."""
    for each in presets():
        if each.id == preset_id:
            return each
    raise fail("unknown-preset", value=preset_id[:60])
