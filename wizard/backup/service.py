"""Write the backups of a data directory as JSON in an encrypted file, and restore them."""

import json
import os
import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from wizard.credential_formats import Identifier, Token, is_redirect_uri
from wizard.delivery.profiles import PROFILE_FILE_SUFFIX, profile
from wizard.delivery.service import check_file_mode, check_names
from wizard.errors import WizardError, fail
from wizard.model import (
    Client,
    Clock,
    Connection,
    Event,
    Failure,
    Grant,
    GrantState,
)
from wizard.paths import Paths, current_user
from wizard.store import (
    ACTIVE_STATES,
    CONFIGURED_FIELDS,
    Destination,
    SharedGrant,
    Store,
    StoreContents,
)
from wizard.timefmt import format_date, format_iso, is_storable, parse_iso
from wizard.tokens.cached_tokens import ConnectionLocks, TokenCache
from wizard.transport import sanitize_line
from wizard.vault.passphrase import BACKUP, check_new_passphrase
from wizard.zoho import Zoho, is_well_formed_scope

FORMAT_VERSION = 1

Row = TypeVar("Row")
Checked = TypeVar("Checked")

_MAX_NUMBER = 2**63 - 1
"""The largest that a database stores."""


@dataclass(frozen=True)
class Backup:
    """The data of an installation, and when and where the backup was made."""

    created_at: datetime
    host: str
    """The computer and the user, for people."""
    zoho_instance: str
    """The Zoho instance of the grants: ``live`` or a simulator's URL."""
    contents: StoreContents
    data_dir: str = ""
    """The data directory it was made of, or the ID of the shared store; empty if it was recovered
    from destinations."""
    is_deactivated: bool = False
    """The installation it was made in is deactivated: it sends Zoho no more requests."""


def dump(backup: Backup) -> bytes:
    """The backup as JSON; it contains secrets."""
    return json.dumps(
        {"format": FORMAT_VERSION, **_to_json_value(backup)}, ensure_ascii=False
    ).encode()


def load(serialized: bytes) -> Backup:
    """The backup that `dump` wrote; raises ``backup-newer-version``, ``backup-stray-row`` or
    ``backup-duplicate-row`` for anything else."""
    try:
        stored = json.loads(serialized)
        json.dumps(stored, ensure_ascii=False).encode()  # JSON can contain halves of characters
        if stored["format"] != FORMAT_VERSION:
            raise fail("backup-newer-version", version=str(stored["format"])[:60])
        kept = stored["contents"]
        contents = StoreContents(
            tuple(_row(Client, row) for row in kept["clients"]),
            tuple(_row(Connection, row) for row in kept["connections"]),
            tuple(_row(Grant, row) for row in kept["grants"]),
            tuple(_row(Destination, row) for row in kept["destinations"]),
        )
        _require_consistent(contents)
        return Backup(
            created_at=_value(datetime, stored["created_at"]),
            host=_value(str, stored["host"]),
            zoho_instance=_value(str, stored["zoho_instance"]),
            contents=contents,
            data_dir=_value(str, stored.get("data_dir", "")),
            is_deactivated=_value(bool, stored.get("is_deactivated", False)),
        )
    except _INVALID_CONTENT_ERRORS as error:
        raise fail("backup-newer-version") from error


_INVALID_CONTENT_ERRORS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def _require_consistent(contents: StoreContents) -> None:
    """Raise ``backup-stray-row`` or ``backup-duplicate-row``, which name the row."""
    clients = {each.client_id for each in contents.clients}
    names = {each.name for each in contents.connections}

    def missing(connection: str | None, client_id: str | None) -> str:
        if connection is not None and connection not in names:
            return "connection"
        return "client" if client_id is not None and client_id not in clients else ""

    # What each row is, its name, and what it belongs to that isn't there
    rows = [
        *(("client", (each.client_id,), "") for each in contents.clients),
        *(("connection", (c.name,), missing(None, c.client_id)) for c in contents.connections),
        *(
            ("authorization", (g.connection, g.generation), missing(g.connection, g.client_id))
            for g in contents.grants
        ),
        *(
            ("destination", (d.connection, d.target, d.entry), missing(d.connection, None))
            for d in contents.destinations
        ),
    ]
    seen = set()
    for row, key, owner in rows:
        name = " ".join(str(part) for part in key if part)[:120]
        if owner:
            raise fail("backup-stray-row", row=row, name=name, owner=owner)
        if (row, key) in seen:
            raise fail("backup-duplicate-row", row=row, name=name)
        seen.add((row, key))


def _to_json_value(value: Any) -> Any:
    if isinstance(value, Destination):
        return {name: _to_json_value(getattr(value, name)) for name in CONFIGURED_FIELDS}
    if isinstance(value, Failure):
        return {"code": value.code, "details": dict(value.details)}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _to_json_value(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return format_iso(value)
    if isinstance(value, Mapping):
        return {key: _to_json_value(each) for key, each in value.items()}
    return [_to_json_value(each) for each in value] if isinstance(value, tuple) else value


def _row(row_type: type[Row], value: Any) -> Row:
    """A dataclass from its JSON. Raises TypeError or ValueError for what no backup has."""
    hints = get_type_hints(row_type)
    return row_type(**{name: _value(hints[name], each) for name, each in value.items()})


def _value(hint: Any, value: Any) -> Any:
    """A value of JSON as the type `hint`. The store doesn't check types."""
    if get_origin(hint) is UnionType:  # ``X | None``
        return None if value is None else _value(get_args(hint)[0], value)
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], each) for each in _checked(list, value))
    if get_origin(hint) is Mapping:
        entries = _checked(dict, value).items()
        return {_value(str, key): _value(str, each) for key, each in entries}
    if is_dataclass(hint) and isinstance(hint, type):
        return _row(hint, value)
    if hint is datetime:
        at = parse_iso(value).astimezone(UTC)
        if not is_storable(at):
            raise ValueError("a time is out of range")
        return at
    if hint is int and not 0 <= _checked(int, value) <= _MAX_NUMBER:
        raise ValueError("a number is out of range")
    if issubclass(hint, StrEnum):
        return hint(value)
    if issubclass(hint, str) and "\0" in _checked(str, value):
        raise ValueError("PostgreSQL stores no NUL")
    return _checked(str if issubclass(hint, str) else hint, value)


def _checked(expected: type[Checked], value: Any) -> Checked:
    if type(value) is not expected:
        raise TypeError(f"not of type {expected.__name__}")
    return value


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
    ``wrong-passphrase``, what `load` raises, or ``backup-foreign-zoho`` if its grants belong to a
    different instance than `zoho_instance`.
    """
    backup = load(BACKUP.decrypt(BACKUP.read(path), passphrase))
    if backup.zoho_instance != zoho_instance:
        raise fail("backup-foreign-zoho", found=backup.zoho_instance[:60], expected=zoho_instance)
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
        check_new_passphrase(passphrase)
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
        event = Event(self._clock(), "", "backup-written", {"target": str(path)})
        self._store.events.record(event)
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
        again afterward.

        Raises ``not-in-backup``, ``restore-name-taken``, ``backup-bad-value`` for a value that no
        form accepts, or ``installation-deactivated`` for `only` in a deactivated installation;
        nothing is changed then.
        """
        deactivation_time = self._store.installation.deactivated_at()
        if deactivation_time and only:
            raise fail("installation-deactivated", since=format_date(deactivation_time))
        selected = _select_connections(backup.contents, only)
        _require_valid(selected, self._zoho)
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
        made_in = self._paths.shared_store_id or self._paths.data_dir
        deactivated = self._store.installation.deactivated_at() is not None
        backup = Backup(
            self._clock(), _current_host(), self._zoho.instance, kept, made_in, deactivated
        )
        BACKUP.write(path, dump(backup), passphrase)
        open_backup(path, passphrase, self._zoho.instance)
        return backup

    def _find_shared_grants(
        self, backup: Backup, restored: StoreContents
    ) -> tuple[SharedGrant, ...]:
        """The `restored` grants that another installation may use, too: the one that the backup was
        made in, unless it was deactivated. For a backup made here, any that it was restored in
        while this one was deactivated."""
        if shared_store_id := self._paths.shared_store_id:  # on any of its machines
            here = backup.data_dir == shared_store_id
        else:
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


def _require_valid(contents: StoreContents, zoho: Zoho) -> None:
    """Raise ``backup-bad-value`` for a value that no form would accept."""
    known = {each.location for each in zoho.data_centers}
    locations = {
        *(each.location for each in contents.clients),
        *(each.location for each in contents.grants),
        *(secret.location for client in contents.clients for secret in client.secrets),
        *(each.location for each in contents.connections if each.location is not None),
    }
    for location in locations - known:
        raise fail("backup-bad-value", field="location", value=str(location)[:60])
    for client in contents.clients:
        _require_valid_client(client)
    for connection in contents.connections:
        if not connection.scope:
            raise fail("backup-bad-value", field="scope", value="")
        for scope in connection.scope:
            if not is_well_formed_scope(scope):
                raise fail("backup-bad-value", field="scope", value=scope[:60])
    for grant in contents.grants:
        _require_valid_grant(grant)
    for each in contents.destinations:
        if each.profile.endswith(PROFILE_FILE_SUFFIX):
            continue  # the user's file, which isn't part of the backup; a delivery checks it
        try:
            wanted = profile(each.profile)
            check_names(wanted, each.entry, each.field_names, each.field_values)
            check_file_mode(each.file_mode)
        except WizardError as error:
            value = error.failure.details.get("value", "")
            raise fail("backup-bad-value", field="destination", value=value) from error
        if not (wanted.is_command or os.path.isabs(each.target)):
            raise fail("backup-bad-value", field="destination", value=each.target[:60])


def _require_valid_client(client: Client) -> None:
    if client.redirect_uri and not is_redirect_uri(client.redirect_uri):
        raise fail("backup-bad-value", field="redirect_uri", value=client.redirect_uri[:60])
    if not Identifier.of(client.client_id):
        raise fail("backup-bad-value", field="client_id", value=client.client_id[:60])
    # Of any length: the name of an imported client can end with its ID.
    if not client.name.strip() or sanitize_line(client.name) != client.name:
        raise fail("backup-bad-value", field="name", value=client.name[:60])
    # The store returns a damaged secret as an empty one.
    if not all(secret.value == "" or Token.of(secret.value) for secret in client.secrets):
        raise fail("backup-bad-value", field="client_secret", value="")


def _require_valid_grant(grant: Grant) -> None:
    # The store returns a damaged token as an empty one, whose grant needs re-authorization.
    is_damaged = grant.refresh_token == "" and grant.state.is_ended
    if not (is_damaged or Token.of(grant.refresh_token)):
        raise fail("backup-bad-value", field="refresh_token", value="")
    ids = [each.id for each in grant.organizations]
    ids += [grant.account.zuid] if grant.account else []
    for each in ids:
        if not Identifier.of(each):
            raise fail("backup-bad-value", field="id", value=each[:60])


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
    grants = tuple(each for each in contents.grants if each.connection not in names)
    used = {each.client_id for each in connections} | {each.client_id for each in grants}
    left = {each.client_id for each in contents.connections} - used

    def has_left(client: Client) -> bool:
        return client.client_id in left

    return StoreContents(
        tuple(each for each in contents.clients if not has_left(each)),
        connections,
        grants,
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
