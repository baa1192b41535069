"""The base of the repositories, and conditional writes."""

import difflib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table, Update, insert

from wizard.errors import Conflict
from wizard.model import Failure
from wizard.store.database import Database
from wizard.vault import Vault


class Repository:
    """The reads and writes of one kind of record."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self._vault = vault


def insert_row(c: Connection, table: Table, /, **values: Any) -> None:
    """Insert one row."""
    c.execute(insert(table).values(**values))


def update_one(connection: Connection, update: Update, subject: str) -> None:
    """Run a conditional update of one row; raises `Conflict` if its condition isn't met."""
    if connection.execute(update).rowcount != 1:
        raise Conflict(
            Failure(code="changed-meanwhile", temporary=True, details={"subject": subject})
        )


def suggest_names(name: str, known: Iterable[str]) -> str:
    """The known names most similar to ``name`` regardless of case, or else a few of them; separated
    by commas."""
    names = list(known)
    by_folded = {each.casefold(): each for each in names}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3)
    return ", ".join([by_folded[each] for each in near] or names[:3])
