"""Write the backups of a data directory, and restore them."""

import platform
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from wizard.backup.file import Backup, dump, load, read_file, write_file
from wizard.errors import fail
from wizard.model import Client, Clock, Event, Grant, GrantState
from wizard.paths import Paths, current_user
from wizard.store import ACTIVE_STATES, SharedGrant, Store, StoreContents
from wizard.timefmt import format_date
from wizard.tokens.connection_locks import ConnectionLocks
from wizard.tokens.token_cache import TokenCache
from wizard.vault.passphrase import decrypt_backup, encrypt_backup
from wizard.zoho import Zoho

MIN_PASSPHRASE_CHARACTERS = 12
"""An attacker who has the file can guess for years."""


@dataclass(frozen=True)
class RestoreResult:
    """What a restore stored."""

    connections: tuple[str, ...]
    already_present: tuple[str, ...]
    """Connections that were here already, with the same grant."""
    client_names: tuple[str, ...]


def open_backup(path: Path, passphrase: str, zoho_instance: str) -> Backup:
    """Read and decrypt a backup.

    Raises ``backup-unreadable``, ``backup-not-one``, ``backup-cut-short``, ``backup-damaged``,
    ``wrong-passphrase``, ``backup-newer-version``, or ``backup-foreign-zoho`` if its grants
    belong to a different instance than `zoho_instance`.
    """
    backup = load(decrypt_backup(read_file(path), passphrase))
    if backup.zoho_instance != zoho_instance:
        raise fail("backup-foreign-zoho", found=backup.zoho_instance, expected=zoho_instance)
    return backup


class BackupService:
    """Writes the backups of one installation, and restores backups to it."""

    def __init__(
        self,
        store: Store,
        token_cache: TokenCache,
        zoho: Zoho,
        paths: Paths,
        locks: ConnectionLocks,
        clock: Clock,
    ) -> None:
        self._store = store
        self._token_cache = token_cache
        self._zoho = zoho
        self._paths = paths
        self._locks = locks
        self._clock = clock

    def write(self, path: Path, passphrase: str, *, deactivate: bool = False) -> Backup:
        """Write everything to `path` and read it back. `deactivate` deactivates this installation:
        it sends Zoho no more requests until the file is restored here.

        Raises ``passphrase-too-short``, ``backup-file-taken``, ``backup-unwritable``; nothing is
        changed then.
        """
        if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
            raise fail("passphrase-too-short", least=str(MIN_PASSPHRASE_CHARACTERS))
        before = self._store.installation.deactivated_at()
        if deactivate:
            # First, so that nothing changes after the copy.
            self._store.installation.set_deactivated(before or self._clock())
        try:
            backup = self._write_backup(path, passphrase)
        except BaseException:
            self._store.installation.set_deactivated(before)
            raise
        self._store.installation.record_backup(backup.created_at)
        if deactivate:
            for connection in backup.contents.connections:
                self._remove_access_token(connection.name)
        return backup

    def restore(
        self, backup: Backup, only: Collection[str] = (), *, is_original_inactive: bool = False
    ) -> RestoreResult:
        """Store the contents of a backup, or only the connections `only`, as not verified.

        Grants that the original installation may still use are recorded as shared, unless the user
        says that it is inactive (`is_original_inactive`). A deactivated installation is active
        again afterwards.

        Raises ``not-in-backup``, ``restore-name-taken``, or ``installation-deactivated`` for `only`
        in a deactivated installation; nothing is changed then.
        """
        deactivation_time = self._store.installation.deactivated_at()
        if deactivation_time and only:
            raise fail("installation-deactivated", since=format_date(deactivation_time))
        selected = _select_connections(backup.contents, only)
        here = {each.name.lower(): each.name for each in self._store.connections.all()}
        already = tuple(
            name
            for name in _connection_names(selected)
            if self._is_present(name, here.get(name.lower()), selected)
        )
        missing = _without(selected, already)
        shared_grants = (
            ()
            if is_original_inactive
            else self._find_shared_grants(backup, selected if deactivation_time else missing)
        )
        unverified = tuple(map(_as_not_verified, missing.grants))
        self._store.transfers.import_contents(replace(missing, grants=unverified), shared_grants)
        self._store.installation.set_deactivated(None)
        if is_original_inactive or backup.is_deactivated:
            self._store.shared_grants.forget(
                {*_connection_names(selected)} - {each.connection for each in shared_grants}
            )
        for name in _connection_names(missing):
            made = format_date(backup.created_at)
            self._store.events.record(Event(self._clock(), name, "restored", {"created": made}))
        return RestoreResult(
            _connection_names(missing), already, tuple(each.name for each in selected.clients)
        )

    def _write_backup(self, path: Path, passphrase: str) -> Backup:
        everything = self._store.transfers.export_contents()
        current = {each.name: each.generation for each in everything.connections}
        grants = tuple(
            each
            for each in everything.grants
            if each.state in ACTIVE_STATES or each.generation == current[each.connection]
        )
        kept = replace(everything, grants=grants)
        made_in, deactivated = (
            self._paths.data_dir,
            self._store.installation.deactivated_at() is not None,
        )
        backup = Backup(
            self._clock(), _current_host(), self._zoho.instance, kept, made_in, deactivated
        )
        write_file(path, encrypt_backup(dump(backup), passphrase))
        open_backup(path, passphrase, self._zoho.instance)
        return backup

    def _find_shared_grants(
        self, backup: Backup, restored: StoreContents
    ) -> tuple[SharedGrant, ...]:
        """The `restored` grants that another installation may use, too: the one that the backup was
        made in, unless it was deactivated. For a backup made here, any that it was restored in
        while this one was deactivated."""
        here = (backup.host, backup.data_dir) == (_current_host(), self._paths.data_dir)
        if (backup.is_deactivated and not here) or (
            here and not self._store.installation.deactivated_at()
        ):
            return ()
        made_on = "" if here else backup.host
        return tuple(
            SharedGrant(each.name, each.generation, made_on, backup.created_at)
            for each in restored.connections
            if each.generation
        )

    def _remove_access_token(self, name: str) -> None:
        with self._locks.refresh(name):
            self._token_cache.remove(name)

    def _is_present(self, name: str, existing_name: str | None, selected: StoreContents) -> bool:
        """Whether connection `name`, here named `existing_name`, is here with the same grant;
        raises ``restore-name-taken`` if it is here with a different one."""
        if existing_name is None:
            return False
        own = self._store.grants.of_connection(existing_name)
        theirs = [grant for grant in selected.grants if grant.connection == name]
        if all(any(_same(each, mine) for mine in own) for each in theirs):
            return True
        raise fail("restore-name-taken", name=name)


def _same(kept: Grant, mine: Grant) -> bool:
    """Whether a grant of a backup is `mine`, whose refresh token may have been replaced since."""
    if mine.rotated_at is None:
        return kept.refresh_token == mine.refresh_token
    return (kept.client_id, kept.granted_at) == (mine.client_id, mine.granted_at)


def _current_host() -> str:
    return f"{current_user()} on {platform.node()}"


def _select_connections(contents: StoreContents, only: Collection[str]) -> StoreContents:
    known = _connection_names(contents)
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise fail("not-in-backup", names=", ".join(unknown), known=", ".join(known))
    return _without(contents, [name for name in known if name not in only]) if only else contents


def _without(contents: StoreContents, names: Collection[str]) -> StoreContents:
    """The contents without some connections, and without clients that only these had."""
    connections = tuple(each for each in contents.connections if each.name not in names)
    left = {each.client_id for each in contents.connections} - {
        each.client_id for each in connections
    }

    def has_left(client: Client) -> bool:
        return client.client_id in left

    return StoreContents(
        tuple(each for each in contents.clients if not has_left(each)),
        connections,
        tuple(each for each in contents.grants if each.connection not in names),
        tuple(each for each in contents.destinations if each.connection not in names),
    )


def _connection_names(contents: StoreContents) -> tuple[str, ...]:
    return tuple(each.name for each in contents.connections)


def _as_not_verified(grant: Grant) -> Grant:
    return (
        replace(grant, state=GrantState.NOT_VERIFIED)
        if grant.state is GrantState.VERIFIED
        else grant
    )
