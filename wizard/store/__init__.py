"""The store: what must not be lost, in one SQLite database per home.

Secrets are sealed by the vault and bound to their rows; every write is one durable transaction
whose condition is repeated in its ``WHERE``. A damaged database is never repaired, deleted or
made anew by itself: *the store is broken* is not *the token is broken*.
"""

from sqlalchemy import insert, select

from wizard.errors import WizardError, fail
from wizard.home import Home
from wizard.store import schema
from wizard.store.allowances import Allowance, Allowances
from wizard.store.attempts import Attempts
from wizard.store.clients import Clients
from wizard.store.connections import Connections
from wizard.store.database import Database
from wizard.store.destinations import WISH, Destination, Destinations
from wizard.store.grants import LIVING, Grants
from wizard.store.ledger import Ledger
from wizard.store.lives import UNANSWERED, Life, Lives
from wizard.store.moves import Belongings, Moves, salvage
from wizard.store.overview import Overview, Overviews
from wizard.store.receipts import Receipts
from wizard.store.rejections import Rejection, Rejections
from wizard.store.repairs import RepairLine, Repairs, StoredRepair
from wizard.store.twins import Twin, Twins
from wizard.store.watches import NotifyFailure, Watches
from wizard.vault import Vault

__all__ = [
    "LIVING",
    "UNANSWERED",
    "WISH",
    "Allowance",
    "Belongings",
    "Destination",
    "Life",
    "NotifyFailure",
    "Overview",
    "Rejection",
    "RepairLine",
    "Store",
    "StoredRepair",
    "Twin",
    "salvage",
]

_CHECK = "zoho-wizard"


class Store(
    Moves,
    Clients,
    Connections,
    Attempts,
    Grants,
    Receipts,
    Ledger,
    Lives,
    Overviews,
    Destinations,
    Allowances,
    Rejections,
    Repairs,
    Twins,
    Watches,
):
    """Every noun's reads and writes over one database; threads may share it."""

    @classmethod
    def open(cls, home: Home, vault: Vault, mark: str) -> "Store":
        """Open the database of a prepared ``home``, making or migrating it.

        ``mark`` says which Zoho its grants belong to: ``live`` or a sandbox's URL. Raises
        `WizardError`: ``store-newer-version``, ``store-damaged``, ``store-unsafe``,
        ``store-unwritable``, ``store-locked``, ``disk-full``, ``store-foreign-zoho`` for another
        mark, ``key-wrong`` for another key.
        """
        store = cls(Database.open(home), vault)
        try:
            store._settle_in(mark)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def _settle_in(self, mark: str) -> None:
        """Mark a new database with its Zoho and its key; hold an old one against both."""
        whose = select(schema.house.c.mark, schema.house.c.key_check)
        with self.database.read() as c:
            row = c.execute(whose).first()
        if row is None:
            sealed = self._vault.seal(_CHECK, "house", "1", "key_check")
            # Another process may have come first: then its word counts, and ours is checked.
            ours = insert(schema.house).prefix_with("OR IGNORE")
            with self.database.write() as c:
                c.execute(ours.values(id=1, mark=mark, key_check=sealed))
                row = c.execute(whose).one()
        if row.mark != mark:
            raise fail("store-foreign-zoho", found=row.mark, expected=mark)
        try:
            self._vault.unseal(row.key_check, "house", "1", "key_check")
        except WizardError as error:
            where = self._vault.where.detail
            raise fail("key-wrong", path=self.database.path, where=where) from error
