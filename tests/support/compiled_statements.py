"""SQLAlchemy's compiled statements, shared by the stores of all tests and commands of a process."""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.util import immutabledict


class SharedStatements(dict[tuple[Any, ...], Any]):
    """Compiled SQL statements for all engines: with the name of the dialect instead of the dialect,
    the first part of their keys. Each engine has one of its own.
    """

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__((key[0].name, *key[1:]), compiled)


def share_compiled_statements() -> None:
    """Let the engines that this process makes from now on share them."""
    Engine._execution_options = immutabledict(compiled_cache=SharedStatements())
