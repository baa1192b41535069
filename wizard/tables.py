"""The facts of the package, which are tables in TOML beside the modules that use them."""

import re
import tomllib
from importlib import resources
from typing import Any

_MAX_KEY_PARTS = 20
_KEY_PART = r"""(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_DEEP_KEY = re.compile(f"(?:{_KEY_PART}){{{_MAX_KEY_PARTS}}}")


def read_table(path: str) -> dict[str, Any]:
    """Read a table by its path in the package, such as ``zoho/limits.toml``; callers cache it."""
    return tomllib.loads(resources.files("wizard").joinpath(path).read_text("utf-8"))


def parse_toml(text: str) -> dict[str, Any]:
    """The table in a text that isn't ours, whose length is limited already. Raises
    `tomllib.TOMLDecodeError`, and ValueError for what Python can't read in reasonable time."""
    if _DEEP_KEY.search(text):  # a dotted key takes time and memory for the square of its length
        raise ValueError("nested too deep")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise ValueError("a number is too long") from None
