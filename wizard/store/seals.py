"""Seals of rows that decide where secrets go, or who gets access tokens.

Someone who can write to a shared database, but has no encryption key, can't add such a row or
change it unnoticed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select, update

from wizard.errors import WizardError
from wizard.vault import Vault, labels


@dataclass(frozen=True)
class RowSeal:
    """The column ``seal`` of a table: what the user chose, sealed by the vault."""

    table: Table
    label: str
    fields: tuple[str, ...]
    """The columns with what the user chose."""

    def make(self, vault: Vault, row: Mapping[str, Any]) -> bytes:
        """The seal of a row."""
        return vault.seal(self._chosen(row), self.label, "", labels.SEAL)

    def fits(self, vault: Vault, row: Mapping[str, Any]) -> bool:
        """Whether someone with the encryption key chose what is in a row."""
        try:
            return vault.unseal(row["seal"], self.label, "", labels.SEAL) == self._chosen(row)
        except WizardError:
            return False

    def renew(self, c: Connection, vault: Vault, column: str, value: str, new_value: str) -> None:
        """Seal the rows with a value in a column, such as the name of a connection, for its new
        one, except for those that were altered."""
        keys, changed = [*self.table.primary_key], self.table.c[column] == value
        names = dict.fromkeys((*(key.name for key in keys), *self.fields, "seal"))
        query = select(*(self.table.c[name] for name in names)).where(changed)
        for each in c.execute(query).mappings():
            row = dict(each)
            if self.fits(vault, row):
                here = [key == row[key.name] for key in keys]
                seal = self.make(vault, {**row, column: new_value})
                c.execute(update(self.table).where(*here).values(seal=seal))

    def _chosen(self, row: Mapping[str, Any]) -> str:
        values = (row[each] for each in self.fields)
        return json.dumps([dict(e) if isinstance(e, Mapping) else e for e in values])
