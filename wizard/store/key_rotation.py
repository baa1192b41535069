"""Replace the encryption key: everything that is sealed is sealed with a new one.

The new key is stored next to the current one first. One transaction then seals every value again,
together with the key check, which says which key counts: a process that finds a different one there
uses the stored key that fits. Only then does the new key take the place of the current one. So the
rotation can stop at any moment, and the next one completes it.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, select, update

from wizard.errors import WizardError, fail
from wizard.fastpath import token_file
from wizard.locks import ExclusiveLock
from wizard.model import Clock, Event, Failure
from wizard.paths import Paths
from wizard.store import Store, schema
from wizard.store.authorizations import identity_of as attempt_identity_of
from wizard.store.clients import identity_of as secret_identity_of
from wizard.store.connections import ROW_SEALS
from wizard.store.grants import identity_of as grant_identity_of
from wizard.store.history import insert_event, write_when_quiet
from wizard.store.installation import KEY_CHECK_TEXT
from wizard.vault import NewKey, Vault, labels

EVENT = "encryption-key-rotated"


@dataclass(frozen=True)
class SealedColumn:
    """A column with values that the vault sealed."""

    table: Table
    column: str
    table_label: str
    column_label: str
    identity: Callable[[Mapping[str, Any]], str]
    """The identity of a row that its value is sealed for."""


def _id_of_row(row: Mapping[str, Any]) -> str:
    return str(row["id"])


SEALED_COLUMNS = (
    SealedColumn(
        schema.installation,
        "notify_command",
        labels.INSTALLATION,
        labels.NOTIFY_COMMAND,
        _id_of_row,
    ),
    SealedColumn(
        schema.client_secrets,
        "value",
        labels.CLIENT_SECRET,
        labels.SECRET_VALUE,
        lambda row: secret_identity_of(row["client_id"], row["location"]),
    ),
    SealedColumn(
        schema.grants, "refresh_token", labels.GRANT, labels.REFRESH_TOKEN, grant_identity_of
    ),
    SealedColumn(
        schema.attempts, "oauth_state", labels.ATTEMPT, labels.OAUTH_STATE, attempt_identity_of
    ),
    SealedColumn(
        schema.attempts, "code_verifier", labels.ATTEMPT, labels.CODE_VERIFIER, attempt_identity_of
    ),
    SealedColumn(
        schema.destinations,
        "previous_content",
        labels.DESTINATION,
        labels.PREVIOUS_CONTENT,
        _id_of_row,
    ),
    *(
        SealedColumn(each.table, "seal", each.label, labels.SEAL, lambda _row: "")
        for each in ROW_SEALS
    ),
)
"""All of them, except for the key check, and the access tokens, which are deleted."""


@dataclass(frozen=True)
class KeyRotation:
    """A complete rotation."""

    sealed_values: int
    """How many values were sealed again; 0 if an interrupted rotation had done that."""
    completes_earlier: bool
    """An interrupted rotation was completed, and there was no further one."""


def require_rotatable(paths: Paths) -> None:
    """Raise ``key-given`` if the key isn't stored where the wizard may replace it."""
    if paths.is_key_file_chosen:
        own = os.path.join(paths.config_dir, "key")
        raise fail("key-given", path=paths.key_file, own=own)


def rotate_encryption_key(
    paths: Paths,
    store: Store,
    vault: Vault,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> KeyRotation:
    """Replace the encryption key, or complete a rotation that was interrupted.

    Raises ``key-given``, ``key-not-stored``, ``key-rotation-under-way``, ``requests-under-way``,
    and what `Store` raises. Then the current key still counts, or the next rotation completes this
    one.
    """
    require_rotatable(paths)
    busy = Failure("key-rotation-under-way", temporary=True)
    lock, database = paths.lock_file(":key"), store.database
    with (
        ExclusiveLock(lock, lambda: WizardError(busy)),
        database.shared_lock(":key", lambda: WizardError(busy), 0, lambda: False),
    ):
        new_key = NewKey(paths, vault)
        key = new_key.read()
        with database.write():  # the key of the database counts from here on
            pass
        completes_earlier = key == vault.key
        count = 0
        if key is None or not completes_earlier:
            key = key or new_key.create()
            new_vault = Vault(key, vault.key_storage)
            count = _reseal_when_quiet(store, vault, new_vault, clock, sleep)
            with database.read() as c:
                vault.follow(c.scalars(select(schema.installation.c.key_check)).one())
        token_file.remove_all(paths.token_dir)  # encrypted with the old key
        database.checkpoint()
        new_key.promote(key)
        return KeyRotation(count, completes_earlier)


def _reseal_when_quiet(
    store: Store, vault: Vault, new_vault: Vault, clock: Clock, sleep: Callable[[float], None]
) -> int:
    """Seal everything again while no request to Zoho is under way. After it, no machine that
    doesn't have the new key can begin one, so that nobody gets a token that can't be stored."""
    with write_when_quiet(store.database, clock, sleep) as c:
        if store.database.is_shared:
            c.execute(delete(schema.access_tokens))
        insert_event(c, Event(clock(), "", EVENT), store.database.machine_id)
        return _reseal(c, vault, new_vault)


def _reseal(c: Connection, vault: Vault, new_vault: Vault) -> int:
    """Seal all values of the database again; return how many."""
    count = sum(_reseal_column(c, each, vault, new_vault) for each in SEALED_COLUMNS)
    check = new_vault.seal(KEY_CHECK_TEXT, labels.INSTALLATION, "1", labels.KEY_CHECK)
    c.execute(update(schema.installation).values(key_check=check))
    return count


def _reseal_column(c: Connection, sealed: SealedColumn, vault: Vault, new_vault: Vault) -> int:
    table, column = sealed.table, sealed.table.c[sealed.column]
    changes = []
    for row in c.execute(select(table).where(column.is_not(None))).mappings():
        place = sealed.table_label, sealed.identity(dict(row)), sealed.column_label
        try:
            text = vault.unseal(row[sealed.column], *place)
        except WizardError:  # damaged, and stays so
            continue
        change: dict[str, object] = {
            f"key_{each.name}": row[each.name] for each in table.primary_key
        }
        change["sealed"] = new_vault.seal(text, *place)
        if sealed.column == "oauth_state":
            change["hash"] = new_vault.fingerprint(text)
        changes.append(change)
    if changes:
        here = [each == bindparam(f"key_{each.name}") for each in table.primary_key]
        values: dict[str, Any] = {sealed.column: bindparam("sealed")}
        if sealed.column == "oauth_state":
            values["oauth_state_hash"] = bindparam("hash")
        c.execute(update(table).where(*here).values(values), changes)
    return len(changes)
