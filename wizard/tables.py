"""The facts of the package, which are tables in TOML beside the modules that use them."""

import tomllib
from importlib import resources
from typing import Any


def read_table(path: str) -> dict[str, Any]:
    """Read a table by its path in the package, such as ``zoho/limits.toml``; callers cache it."""
    return tomllib.loads(resources.files("wizard").joinpath(path).read_text("utf-8"))
