"""The store: one SQLite database per data directory, or one on PostgreSQL for several.

Secrets are sealed by the vault and bound to their rows; every write is one durable transaction
whose condition is repeated in its ``WHERE``. A damaged database is never repaired, deleted or
replaced automatically.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import select

from wizard.errors import WizardError, fail
from wizard.model.failure import codes_with
from wizard.paths import Paths
from wizard.store import schema
from wizard.store.authorizations import (
    AttemptRepository,
    ReauthorizationRepository,
    StoredReauthorization,
    StoredReauthorizationItem,
)
from wizard.store.clients import ClientRepository
from wizard.store.connections import (
    AccessPermission,
    AccessPermissionRepository,
    ConnectionRepository,
    KeyPermission,
    KeyPermissionRepository,
)
from wizard.store.database import Database, insert_if_absent, open_database
from wizard.store.destinations import CONFIGURED_FIELDS, Destination, DestinationRepository
from wizard.store.grants import (
    ACTIVE_STATES,
    AccessTokenRepository,
    GrantRepository,
    Rejection,
    RejectionRepository,
)
from wizard.store.history import (
    UNANSWERED,
    EventRepository,
    GrantHistoryRepository,
    GrantRecord,
    RequestLogRepository,
)
from wizard.store.installation import (
    ARRIVING,
    KEY_CHECK_TEXT,
    InstallationRepository,
    MonitoringRepository,
    NotifyFailure,
    Place,
)
from wizard.store.machines import Machine, MachineRepository
from wizard.store.overviews import ConnectionOverview, OverviewRepository
from wizard.store.transfers import (
    SharedGrant,
    SharedGrantRepository,
    StoreContents,
    TransferRepository,
    export_without_secrets,
)
from wizard.store.verification_reports import VerificationReportRepository
from wizard.vault import Vault, labels

_MOVES_MET = 2
"""How many moves a process that opens the store can meet in their middle."""

__all__ = [
    "ACTIVE_STATES",
    "CONFIGURED_FIELDS",
    "UNANSWERED",
    "AccessPermission",
    "ConnectionOverview",
    "Destination",
    "GrantRecord",
    "KeyPermission",
    "Machine",
    "NotifyFailure",
    "Rejection",
    "SharedGrant",
    "Store",
    "StoreContents",
    "StoredReauthorization",
    "StoredReauthorizationItem",
    "export_without_secrets",
]


class Store:
    """The repositories over one database; threads may share them."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self._vault = vault
        self.access_tokens = AccessTokenRepository(database, vault)
        self.access_permissions = AccessPermissionRepository(database, vault)
        self.attempts = AttemptRepository(database, vault)
        self.clients = ClientRepository(database, vault)
        self.connections = ConnectionRepository(database, vault)
        self.destinations = DestinationRepository(database, vault)
        self.events = EventRepository(database, vault)
        self.grant_history = GrantHistoryRepository(database, vault)
        self.grants = GrantRepository(database, vault)
        self.installation = InstallationRepository(database, vault)
        self.key_permissions = KeyPermissionRepository(database, vault)
        self.machines = MachineRepository(database, vault)
        self.monitoring = MonitoringRepository(database, vault)
        self.overviews = OverviewRepository(database, vault)
        self.reauthorizations = ReauthorizationRepository(database, vault)
        self.rejections = RejectionRepository(database, vault)
        self.request_log = RequestLogRepository(database, vault)
        self.shared_grants = SharedGrantRepository(database, vault)
        self.transfers = TransferRepository(database, vault, self.clients)
        self.verification_reports = VerificationReportRepository(database, vault)

    @classmethod
    def open(cls, paths: Paths, vault: Vault, zoho_instance: str) -> "Store":
        """Open the database of a prepared data directory, creating or migrating it.

        ``zoho_instance`` says which Zoho its grants belong to: ``live`` or a simulator's URL.
        Completes a move that was interrupted after it had deactivated the store. Raises
        `WizardError`: ``store-newer-version``, ``store-damaged``, ``store-unsafe``,
        ``store-unwritable``, ``store-locked``, ``disk-full``, ``store-foreign-zoho`` for a
        different instance, ``key-wrong`` for a different key, ``key-of-store-rotated`` if another
        machine has rotated the key, ``store-moved`` and ``store-incomplete``.
        """
        for _ in range(_MOVES_MET):
            try:
                return cls._open(paths, vault, zoho_instance)
            except WizardError as error:
                if error.failure.code not in codes_with("inactive_store"):
                    raise
            from wizard.store.moves import complete_move

            complete_move(paths)
        return cls._open(paths, vault, zoho_instance)

    @classmethod
    def _open(cls, paths: Paths, vault: Vault, zoho_instance: str) -> "Store":
        store = cls(open_database(paths), vault)
        try:
            store._initialize(zoho_instance, was_used=bool(paths.shared_store_id))
            store.database.check_active = store._check_active
            store.database.record_use(paths)
            if store.database.is_shared:
                store.database.note_use = store.machines.note_use
        except BaseException:
            store.close()
            raise
        return store

    @contextmanager
    def snapshot(self) -> Iterator["Store"]:
        """The same repositories over one read transaction, for everything that a page or a command
        shows. Its number of statements doesn't grow with the number of connections: see `include`.
        A secret that can't be decrypted is empty there.
        """
        with self.database.snapshot() as database:
            yield Store(database, self._vault.tolerant())

    def include(self, names: Iterable[str]) -> None:
        """Make a snapshot read these connections together: what is read of one is read of all."""
        self.database.names.update(names)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def require_active(self) -> None:
        """Raise ``store-moved`` if everything was moved to another store, and
        ``store-newer-version`` if a newer version of the wizard has changed the tables."""
        with self.database.read() as c:
            self._require_no_move(self.database.read_activity(c)[1])

    def _require_no_move(self, move: Mapping[str, str] | None) -> None:
        if move is None:
            return
        if move["state"] == ARRIVING:
            raise fail("store-incomplete", path=self.database.path, source=move["place"])
        raise fail("store-moved", path=self.database.path, target=move["place"])

    def _check_active(self, key_check: bytes, move: Mapping[str, str] | None) -> None:
        """Use the key of the database from now on, or raise."""
        self._require_no_move(move)
        if not self._vault.follow(key_check):
            raise self._wrong_key(was_used=True)

    def _wrong_key(self, *, was_used: bool) -> WizardError:
        """`was_used`: this data directory had the key of the database before."""
        code = "key-of-store-rotated" if was_used and self.database.is_shared else "key-wrong"
        return fail(code, path=self.database.path, where=self._vault.key_storage.detail)

    def _initialize(self, zoho_instance: str, *, was_used: bool) -> None:
        """Record the Zoho instance and the key check of a new database; compare those of an old
        one."""
        known = schema.installation.c
        whose = select(known.zoho_instance, known.key_check, known.move)
        with self.database.read() as c:
            row = c.execute(whose).first()
        if row is None:
            sealed = self._vault.seal(KEY_CHECK_TEXT, labels.INSTALLATION, "1", labels.KEY_CHECK)
            # If another process was first, its row counts and ours is compared with it.
            with self.database.write() as c:
                shared = self.database.is_shared
                place = None if shared else vars(Place.current(self.database.path))
                insert_if_absent(
                    c,
                    schema.installation,
                    id=1,
                    zoho_instance=zoho_instance,
                    key_check=sealed,
                    place=place,
                )
                row = c.execute(whose).one()
        self._require_no_move(row.move)
        if row.zoho_instance != zoho_instance:
            raise fail("store-foreign-zoho", found=row.zoho_instance, expected=zoho_instance)
        self._vault.follow(row.key_check)
        try:
            self._vault.unseal(row.key_check, labels.INSTALLATION, "1", labels.KEY_CHECK)
        except WizardError as error:
            raise self._wrong_key(was_used=was_used) from error
