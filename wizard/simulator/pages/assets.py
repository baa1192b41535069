"""Where templates and static files stand: in a wheel and in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def folder(name: str) -> Path:
    """Return the folder `templates` or `static`.

    In a wheel it lies in the package, in a checkout beside it.
    """
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
