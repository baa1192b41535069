"""The content of a backup as JSON, and its file."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wizard import files
from wizard.errors import WizardError, fail
from wizard.model import (
    Account,
    Client,
    ClientSecret,
    Connection,
    Failure,
    Grant,
    GrantState,
    Organization,
    SecretState,
)
from wizard.store import CONFIGURED_FIELDS, Destination, StoreContents
from wizard.timefmt import format_iso, parse_iso
from wizard.vault.passphrase import is_encrypted_backup

FORMAT_VERSION = 1


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
    """The data directory it was made of; empty if it was recovered from destinations."""
    is_deactivated: bool = False
    """The installation it was made in is deactivated: it sends Zoho no more requests."""


def dump(backup: Backup) -> bytes:
    """The backup as JSON; it contains secrets."""
    return json.dumps(
        {"format": FORMAT_VERSION, **_to_json_value(backup)}, ensure_ascii=False
    ).encode()


def load(serialized: bytes) -> Backup:
    """The backup that `dump` wrote; raises ``backup-newer-version`` for anything else."""
    try:
        stored = json.loads(serialized)
        json.dumps(stored, ensure_ascii=False).encode()  # JSON can contain halves of characters
        if stored["format"] != FORMAT_VERSION:
            raise fail("backup-newer-version", version=str(stored["format"]))
        kept = stored["contents"]
        contents = StoreContents(
            tuple(_client(row) for row in kept["clients"]),
            tuple(_connection(row) for row in kept["connections"]),
            tuple(_grant(row) for row in kept["grants"]),
            tuple(Destination(**row) for row in kept["destinations"]),
        )
        _require_consistent(contents)
        return Backup(
            created_at=parse_iso(stored["created_at"]),
            host=stored["host"],
            zoho_instance=stored["zoho_instance"],
            contents=contents,
            data_dir=stored.get("data_dir", ""),
            is_deactivated=stored.get("is_deactivated", False),
        )
    except _INVALID_CONTENT_ERRORS as error:
        raise fail("backup-newer-version", version="unknown") from error


_INVALID_CONTENT_ERRORS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def _require_consistent(contents: StoreContents) -> None:
    """Raise ValueError if a row refers to a missing one, or exists twice."""
    names, clients = (
        [each.name for each in contents.connections],
        [c.client_id for c in contents.clients],
    )
    grants = [(each.connection, each.generation) for each in contents.grants]
    places = [(each.connection, each.target, each.entry) for each in contents.destinations]
    for rows in (names, clients, grants, places):
        if len(set(rows)) < len(rows):
            raise ValueError("a duplicate row")
    referenced = {each.connection for each in contents.grants}
    referenced |= {each.connection for each in contents.destinations}
    if not referenced <= set(names) or not {each.client_id for each in contents.connections} <= set(
        clients
    ):
        raise ValueError("a row that refers to a missing one")


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


def _client(row: dict[str, Any]) -> Client:
    secrets = (
        ClientSecret(each["location"], each["value"], SecretState(each["state"]))
        for each in row["secrets"]
    )
    return Client(
        **{**row, "secrets": tuple(secrets), "created_at": _parse_optional_time(row["created_at"])}
    )


def _connection(row: dict[str, Any]) -> Connection:
    scope, presets = tuple(row["scope"]), tuple(row["presets"])
    made = _parse_optional_time(row["created_at"])
    return Connection(**{**row, "scope": scope, "presets": presets, "created_at": made})


def _grant(row: dict[str, Any]) -> Grant:
    organizations = tuple(Organization(**each) for each in row["organizations"])
    return Grant(
        **{
            **{each.name: row[each.name] for each in fields(Grant) if each.name != "rotated_at"},
            "scope": tuple(row["scope"]),
            "state": GrantState(row["state"]),
            "granted_at": parse_iso(row["granted_at"]),
            "account": Account(**row["account"]) if row["account"] else None,
            "organizations": organizations,
            "failure": Failure(**row["failure"]) if row["failure"] else None,
            "rotated_at": _parse_optional_time(row.get("rotated_at")),  # not in older backups
        }
    )


def _parse_optional_time(text: str | None) -> datetime | None:
    return parse_iso(text) if text else None


MAX_FILE_BYTES = 64 * 1024 * 1024
"""Ten thousand connections take some twenty million bytes."""


def read_file(path: Path) -> bytes:
    """The file's content; raises ``backup-unreadable``."""
    try:
        if path.exists() and not path.is_file():  # a pipe would block
            raise fail("backup-not-one")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _file_error("backup-unreadable", path, error) from error
    if len(content) > MAX_FILE_BYTES:
        raise fail("backup-not-one")
    return content


def write_file(path: Path, content: bytes) -> None:
    """Replace the file at `path` durably, or leave it unchanged.

    Raises ``backup-file-taken`` for a link, a directory, or a file that isn't a backup, and
    ``backup-unwritable``.
    """
    try:
        _require_replaceable(path)
        files.replace(str(path), content)
    except OSError as error:
        raise _file_error("backup-unwritable", path, error) from error


def _require_replaceable(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise fail("backup-file-taken", path=str(path))
    if path.exists():
        with path.open("rb") as file:
            if not is_encrypted_backup(file.read(64)):
                raise fail("backup-file-taken", path=str(path))


def _file_error(code: str, path: Path, error: OSError) -> WizardError:
    return fail(code, path=str(path), reason=os.strerror(error.errno or 0))
