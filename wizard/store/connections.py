"""Connections by name, and the users and SSH keys that may request their access tokens."""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Label,
    Row,
    Table,
    Text,
    delete,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy import Connection as DatabaseConnection

from wizard.errors import WizardError, fail
from wizard.model import Connection, Event
from wizard.paths import current_user
from wizard.store import authorizations, clients, installation, schema
from wizard.store.annotations import clean_email, clean_note, clean_owner, clean_tag, clean_tags
from wizard.store.database import (
    Database,
    Repository,
    insert_or_update,
    insert_row,
    suggest_names,
)
from wizard.store.destinations import SEAL as DESTINATION_SEAL
from wizard.store.grants import rename_grants
from wizard.store.history import insert_event
from wizard.store.schema import contains_folded, json_list, json_value
from wizard.store.seals import RowSeal
from wizard.vault import Vault, labels

_T = schema.connections
_GRANTS = schema.grants
_PERMISSIONS = schema.access_permissions
_KEYS = schema.key_permissions
_USER_SEAL = RowSeal(
    _PERMISSIONS, labels.ACCESS_PERMISSION, ("machine", "connection", "uid", "user")
)
_KEY_SEAL = RowSeal(_KEYS, labels.KEY_PERMISSION, ("connection", "fingerprint", "comment"))
ROW_SEALS = (DESTINATION_SEAL, _USER_SEAL, _KEY_SEAL)
"""What somebody without the encryption key can't choose."""

_COLUMNS = [column for column in _T.c if column.name not in ("id", "last_generation")]
_ALL = select(*_COLUMNS).order_by(_T.c.name)

NAME_PATTERN = re.compile(r"(?!new$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Fit for a file name, a URL, a shell and an option's value: it can't begin with a dash, and isn't
``new``, which is a page."""


EXPECTATIONS = ("expected_email", "expected_organization", "expected_environment")
"""What the first consent of a connection must be for."""


class FoundNames(NamedTuple):
    """The result of a search."""

    names: tuple[str, ...]
    """Of the first matching connections."""
    matching: int
    """The number of matching connections."""
    total: int
    """The number of all connections."""
    tags: tuple[str, ...] = ()
    """The tags of all connections, sorted."""
    emails: tuple[str, ...] = ()
    """The accounts of all connections, sorted."""


class ConnectionRepository(Repository):
    """The connections by name."""

    def all(self) -> tuple[Connection, ...]:
        """Every connection, by name."""
        with self.database.read() as c:
            return select_connections(c)

    def find(self, substring: str = "", limit: int | None = None) -> FoundNames:
        """The first connections whose name, owner or tags contain `substring`, ignoring case."""
        matches = _contains(substring)
        count = select(func.count()).select_from(_T).where(matches).scalar_subquery()
        query = (
            select(_T.c.name, count.label("matching"), *_of_all())
            .where(matches)
            .order_by(_T.c.name)
            .limit(limit)
        )
        with self.database.read() as c:
            rows = c.execute(query).all()
            any_row = rows[0] if rows else c.execute(select(*_of_all())).one()
        return FoundNames(
            tuple(each.name for each in rows),
            rows[0].matching if rows else 0,
            any_row.total,
            tuple(sorted({tag for each in json.loads(any_row.tags) for tag in each.split()})),
            tuple(sorted(each for each in json.loads(any_row.emails) if each)),
        )

    def exists(self, name: str) -> bool:
        """Whether a connection has that name."""
        with self.database.read() as c:
            return c.scalar(select(_T.c.name).where(_T.c.name == name)) is not None

    def get(self, name: str) -> Connection:
        """Raises ``unknown-connection`` with the nearest names and the data directory."""
        found = self.database.of_each("connections", self._load, name)
        if found is None:
            with self.database.read() as c:
                raise connection_not_found(c, name, self.database.place)
        return found

    def _load(self, names: Collection[str]) -> dict[str, Connection]:
        with self.database.read() as c:
            return {each.name: each for each in select_connections(c, _T.c.name.in_(names))}

    def tags(self) -> tuple[str, ...]:
        """The tags of all connections, in alphabetical order."""
        return tuple(sorted({tag for each in self.all() for tag in each.tags}))

    def tagged(self, tags: Collection[str]) -> tuple[str, ...]:
        """The names of the connections that have all `tags`, at least one. Raises ``unknown-tag``
        with the tags in use."""
        wanted, connections = {clean_tag(each) for each in tags}, self.all()
        known = {tag for each in connections for tag in each.tags}
        for tag in sorted(wanted - known):
            raise unknown_tag(tag, known)
        names = tuple(each.name for each in connections if wanted <= {*each.tags})
        if not names:
            raise unknown_tag(", ".join(sorted(wanted)), known)
        return names

    def is_valid_name(self, name: str) -> bool:
        """Whether `name` is a valid name."""
        return NAME_PATTERN.fullmatch(name) is not None

    def add(self, connection: Connection, *, replaces: str = "") -> None:
        """Store a connection, instead of connection `replaces` if that was never authorized.

        Raises ``bad-name``, ``connection-exists``, ``unknown-client``, ``bad-owner``, ``bad-tag``,
        ``too-many-tags``, ``bad-note``, ``bad-email``; then nothing is changed.
        """
        name, client_id = connection.name, connection.client_id
        if not NAME_PATTERN.fullmatch(name):
            raise fail("bad-name", name=name)
        connection = with_clean_annotations(connection)
        with self.database.write() as c:
            unauthorized = _T.c.name == replaces, _T.c.last_generation == 0
            c.execute(delete(_T).where(*unauthorized))
            taken = select(_T.c.name).where(func.lower(_T.c.name) == name.lower())
            if other := c.scalar(taken):
                raise fail("connection-exists", name=other)
            clients.require_client(c, client_id)
            insert_row(c, _T, **{**vars(connection), "generation": 0}, last_generation=0)
            if connection.created_at is not None:
                event = Event(connection.created_at, name, "created")
                insert_event(c, event, self.database.machine_id)

    def set_scope(self, name: str, scope: tuple[str, ...]) -> None:
        """Replace the scopes of the next authorization. Raises ``unknown-connection``."""
        self._update_connection(name, scope=scope)

    def set_location(self, name: str, location: str | None) -> None:
        """Replace the chosen data center. Raises ``unknown-connection``."""
        self._update_connection(name, location=location)

    def set_expected_email(self, name: str, email: str) -> None:
        """Replace the account that must give the first consent. Raises ``unknown-connection``,
        ``bad-email``."""
        self._update_connection(name, expected_email=clean_email(email))

    def configure(self, connection: Connection) -> None:
        """Replace the scopes and presets, what the first consent must be for, and what users write
        about a connection. Raises as `add` does, and ``unknown-connection``."""
        cleaned = with_clean_annotations(connection)
        fields = ("scope", "presets", "owner", "tags", "note", *EXPECTATIONS)
        values = {each: getattr(cleaned, each) for each in fields}
        self._update_connection(connection.name, **values)

    def edit(
        self,
        name: str,
        *,
        owner: str | None = None,
        tags: Collection[str] | None = None,
        add_tags: Collection[str] = (),
        remove_tags: Collection[str] = (),
        note: str | None = None,
    ) -> Connection:
        """Change what the user wrote about a connection, and return it.

        None keeps a value; an empty text removes it. `tags` replaces all tags. Raises
        ``unknown-connection``, ``bad-owner``, ``bad-tag``, ``too-many-tags``, ``bad-note``.
        """
        removed = {clean_tag(each) for each in remove_tags}
        with self.database.write() as c:
            found = select_connections(c, _T.c.name == name)
            if not found:
                raise connection_not_found(c, name, self.database.place)
            kept = found[0].tags if tags is None else clean_tags(tags)
            edited = with_clean_annotations(
                replace(
                    found[0],
                    owner=found[0].owner if owner is None else owner,
                    tags=tuple(each for each in (*kept, *add_tags) if each not in removed),
                    note=found[0].note if note is None else note,
                )
            )
            values = {each: getattr(edited, each) for each in ("owner", "tags", "note")}
            c.execute(update(_T).where(_T.c.name == name).values(**values))
        return edited

    def remove(self, name: str) -> None:
        """Delete a connection with its grants, reports, attempts and notifications; its history and
        request log stay.

        Raises ``unknown-connection``.
        """
        with self.database.write() as c:
            if c.execute(delete(_T).where(_T.c.name == name)).rowcount == 0:
                raise connection_not_found(c, name, self.database.place)
            installation.forget_connection(c, name)
        self.database.checkpoint()

    def rename(self, name: str, new_name: str) -> None:
        """Rename a connection and everything bound to its name; its history keeps the names that it
        had.

        If it raises ``unknown-connection``, ``bad-name``, ``same-name``, ``connection-exists``,
        ``rename-during-reauthorization`` or ``sealed-record-damaged``, nothing is changed.
        """
        if not NAME_PATTERN.fullmatch(new_name):
            raise fail("bad-name", name=new_name)
        with self.database.write() as c:
            names = {each.lower(): each for each in c.scalars(select(_T.c.name))}
            if names.get(name.lower()) != name:
                raise connection_not_found(c, name, self.database.place)
            if new_name == name:
                raise fail("same-name", name=name)
            taken = names.get(new_name.lower())
            if taken not in (None, name):
                raise fail("connection-exists", name=taken)
            if authorizations.is_in_progress(c, name):
                raise fail("rename-during-reauthorization", name=name)
            self.database.defer_foreign_keys(c)
            if self.database.is_shared:  # it's bound to the name
                c.execute(delete(schema.access_tokens).where(schema.access_tokens.c.name == name))
            rename_grants(c, self._vault, name, new_name)
            authorizations.rename_attempts(c, self._vault, name, new_name)
            for seal in ROW_SEALS:
                seal.renew(c, self._vault, "connection", name, new_name)
            c.execute(update(_T).where(_T.c.name == name).values(name=new_name))
            installation.rename_connection(c, name, new_name)
            for table in schema.metadata.tables.values():
                if "connection" in table.c and table is not schema.events:
                    here = table.c.connection == name
                    c.execute(update(table).where(here).values(connection=new_name))
                    _rename_in_failures(c, table, name, new_name)

    def _update_connection(self, name: str, **values: object) -> None:
        with self.database.write() as c:
            if c.execute(update(_T).where(_T.c.name == name).values(**values)).rowcount == 0:
                raise connection_not_found(c, name, self.database.place)


def connection_not_found(c: DatabaseConnection, name: str, place: str) -> WizardError:
    """``unknown-connection`` with the nearest names."""
    nearest = suggest_names(name, c.scalars(select(_T.c.name)))
    return unknown_connection(name, place, nearest)


def unknown_connection(name: str, data_dir: str, nearest: str = "") -> WizardError:
    """The failure for a name that no connection has."""
    user = current_user()
    return fail(
        "unknown-connection", name=name, nearest=nearest, data_directory=data_dir, user=user
    )


def unknown_tag(tag: str, known: Collection[str]) -> WizardError:
    """The failure for a tag that no connection has; `known` are the tags in use."""
    return fail("unknown-tag", tag=tag, known=", ".join(sorted(known)))


def with_clean_annotations(connection: Connection) -> Connection:
    """The connection with what users write about it as it is stored. Raises ``bad-owner``,
    ``bad-tag``, ``too-many-tags``, ``bad-note``, ``bad-email``."""
    return replace(
        connection,
        owner=clean_owner(connection.owner),
        tags=clean_tags(connection.tags),
        note=clean_note(connection.note),
        expected_email=clean_email(connection.expected_email),
        expected_organization=clean_owner(connection.expected_organization),
        expected_environment=clean_owner(connection.expected_environment),
    )


def connection_from_row(row: Row[Any]) -> Connection:
    """The connection in `row`, which may have columns of other tables, too."""
    return Connection(**{each.name: row._mapping[each] for each in _COLUMNS})


def select_connections(
    c: DatabaseConnection, condition: ColumnElement[bool] | None = None
) -> tuple[Connection, ...]:
    """The connections that meet the condition, or all, by name."""
    query = _ALL if condition is None else _ALL.where(condition)
    return tuple(Connection(**row._mapping) for row in c.execute(query))


def _rename_in_failures(c: DatabaseConnection, table: Table, name: str, new_name: str) -> None:
    """Replace the name in the stored failures of a renamed connection."""
    if "failure" not in table.c:
        return
    key = [*table.primary_key]
    mine = table.c.connection == new_name, table.c.failure.is_not(None)
    for *identity, failure in c.execute(select(*key, table.c.failure).where(*mine)).all():
        if failure.details.get("name") == name:
            renamed = replace(failure, details={**failure.details, "name": new_name})
            here = [column == value for column, value in zip(key, identity, strict=True)]
            c.execute(update(table).where(*here).values(failure=renamed))


def _of_all() -> list[Label[Any]]:
    """What a search tells about all connections, as subqueries: one statement reads everything."""
    email = json_value(_GRANTS.c.account, "email")
    is_current = (_GRANTS.c.connection == _T.c.name) & (_GRANTS.c.generation == _T.c.generation)
    columns = {
        "total": select(func.count()).select_from(_T),
        "tags": select(json_list(type_coerce(_T.c.tags, Text))),
        "emails": select(json_list(email)).join_from(_T, _GRANTS, is_current),
    }
    return [each.correlate(None).scalar_subquery().label(key) for key, each in columns.items()]


def _contains(substring: str) -> ColumnElement[bool]:
    if not substring:
        return true()  # a function of ours would be called for each row
    texts = _T.c.name, _T.c.owner, type_coerce(_T.c.tags, Text)
    return or_(*(contains_folded(each, literal(substring.casefold())) for each in texts))


@dataclass(frozen=True)
class AccessPermission:
    """One user's right to request the access tokens of one connection."""

    connection: str
    uid: int
    """The numeric user ID, which the kernel reports."""
    user: str
    """The user's name when access was granted, for people."""
    created_at: datetime
    machine: str = ""
    """The ID of the machine that has the user; empty: that of the local store."""


class AccessPermissionRepository(Repository):
    """The access permissions by connection. One whose seal doesn't fit is none. Unless it says so,
    a method is about the users of this machine."""

    def all(self, connection: str | None = None) -> tuple[AccessPermission, ...]:
        """The permissions of a connection, or all."""
        here = self.database.machine_id
        return tuple(each for each in self.everywhere(connection) if each.machine == here)

    def everywhere(self, connection: str | None = None) -> tuple[AccessPermission, ...]:
        """As `all`, for all machines."""
        query = select(_PERMISSIONS).order_by(_PERMISSIONS.c.connection, _PERMISSIONS.c.user)
        if connection is not None:
            query = query.where(_PERMISSIONS.c.connection == connection)
        with self.database.read() as c:
            rows = _unaltered(c.execute(query), _USER_SEAL, self._vault)
        return tuple(AccessPermission(**row) for row in rows)

    def exists(self, connection: str, uid: int) -> bool:
        """Whether the user ``uid`` may request access tokens of ``connection``."""
        query = select(_PERMISSIONS).where(*self._of_user(connection, uid))
        with self.database.read() as c:
            return bool(_unaltered(c.execute(query), _USER_SEAL, self._vault))

    def add(self, permission: AccessPermission) -> None:
        """Store a permission, if it isn't stored yet. Raises ``unknown-connection``."""
        here = replace(permission, machine=self.database.machine_id)
        _add_permission(self.database, self._vault, _USER_SEAL, here)

    def remove(self, connection: str, uid: int) -> bool:
        """Remove a permission; returns whether there was one."""
        here = delete(_PERMISSIONS).where(*self._of_user(connection, uid))
        with self.database.write() as c:
            return c.execute(here).rowcount > 0

    def _of_user(self, connection: str, uid: int) -> tuple[ColumnElement[bool], ...]:
        here = _PERMISSIONS.c.machine == self.database.machine_id
        return here, _PERMISSIONS.c.connection == connection, _PERMISSIONS.c.uid == uid


@dataclass(frozen=True)
class KeyPermission:
    """One SSH key's right to request the access tokens of one connection."""

    connection: str
    fingerprint: str
    """``SHA256:`` and the hash, as `ssh-keygen -l` prints it."""
    comment: str
    """The comment of the key when access was granted, for people."""
    created_at: datetime


class KeyPermissionRepository(Repository):
    """The permissions of SSH keys. One whose seal doesn't fit is none."""

    def all(self, connection: str | None = None) -> tuple[KeyPermission, ...]:
        """The permissions for a connection, or all."""
        return self._find(() if connection is None else (_KEYS.c.connection == connection,))

    def of_key(self, fingerprint: str) -> tuple[KeyPermission, ...]:
        """The permissions of one key, in the order of the connections' names."""
        return self._find((_KEYS.c.fingerprint == fingerprint,))

    def add(self, permission: KeyPermission) -> None:
        """Store a permission, if it isn't stored yet. Raises ``unknown-connection``."""
        _add_permission(self.database, self._vault, _KEY_SEAL, permission)

    def remove(self, connection: str, fingerprint: str) -> bool:
        """Remove a permission; returns whether there was one."""
        here = delete(_KEYS).where(
            _KEYS.c.connection == connection, _KEYS.c.fingerprint == fingerprint
        )
        with self.database.write() as c:
            return c.execute(here).rowcount > 0

    def _find(self, conditions: Collection[ColumnElement[bool]]) -> tuple[KeyPermission, ...]:
        query = select(_KEYS).order_by(_KEYS.c.connection, _KEYS.c.comment).where(*conditions)
        with self.database.read() as c:
            rows = _unaltered(c.execute(query), _KEY_SEAL, self._vault)
        return tuple(KeyPermission(**row) for row in rows)


def _unaltered(rows: Iterable[Row[Any]], seal: RowSeal, vault: Vault) -> list[dict[str, Any]]:
    """The rows whose seal fits, without it."""
    fitting = [row for each in rows if seal.fits(vault, row := dict(each._mapping))]
    for each in fitting:
        del each["seal"]
    return fitting


def _add_permission(
    database: Database,
    vault: Vault,
    seal: RowSeal,
    permission: AccessPermission | KeyPermission,
) -> None:
    """Store a permission, unless it is stored. One that was altered is replaced."""
    known, table, row = schema.connections.c.name, seal.table, vars(permission)
    identity = {each.name: row[each.name] for each in table.primary_key}
    here = [each == identity[each.name] for each in table.primary_key]
    with database.write() as c:
        if c.scalar(select(known).where(known == permission.connection)) is None:
            raise fail("unknown-connection", name=permission.connection)
        if not _unaltered(c.execute(select(table).where(*here)), seal, vault):
            values = {key: value for key, value in row.items() if key not in identity}
            insert_or_update(c, table, identity, **values, seal=seal.make(vault, row))
