"""The content of a backup: a home's belongings as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any

from wizard.errors import fail
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
from wizard.store import WISH, Belongings, Destination

FORMAT = 1


@dataclass(frozen=True)
class Backup:
    """Everything a home kept, and where and when that was."""

    made_at: datetime
    made_on: str
    """The machine and the user, for people."""
    mark: str
    """The Zoho that the grants belong to: ``live`` or a sandbox's URL."""
    belongings: Belongings
    made_in: str = ""
    """The directory of that home; empty where no home can have been meant but this one."""
    retired: bool = False
    """The home it was made in asks nothing of Zoho any more."""


def dump(backup: Backup) -> bytes:
    """The backup as JSON; it holds secrets."""
    return json.dumps({"format": FORMAT, **_plain(backup)}, ensure_ascii=False).encode()


def load(content: bytes) -> Backup:
    """The backup that `dump` wrote; raises ``backup-newer-version`` for what it did not."""
    try:
        stored = json.loads(content)
        json.dumps(stored, ensure_ascii=False).encode()  # JSON can spell what is no text
        if stored["format"] != FORMAT:
            raise fail("backup-newer-version", version=str(stored["format"]))
        kept = stored["belongings"]
        belongings = Belongings(
            tuple(_client(row) for row in kept["clients"]),
            tuple(_connection(row) for row in kept["connections"]),
            tuple(_grant(row) for row in kept["grants"]),
            tuple(Destination(**row) for row in kept["destinations"]),
        )
        _must_fit(belongings)
        return Backup(
            made_at=_time(stored["made_at"]),
            made_on=stored["made_on"],
            mark=stored["mark"],
            belongings=belongings,
            made_in=stored.get("made_in", ""),
            retired=stored.get("retired", False),
        )
    except _NONSENSE as error:
        raise fail("backup-newer-version", version="unknown") from error


_NONSENSE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def _must_fit(kept: Belongings) -> None:
    """Every row belongs to one that is there, and none is there twice."""
    names, clients = [each.name for each in kept.connections], [c.client_id for c in kept.clients]
    grants = [(each.connection, each.generation) for each in kept.grants]
    places = [(each.connection, each.target, each.entry) for each in kept.destinations]
    for rows in (names, clients, grants, places):
        if len(set(rows)) < len(rows):
            raise ValueError("a row that is there twice")
    held = {each.connection for each in kept.grants}
    held |= {each.connection for each in kept.destinations}
    if not held <= set(names) or not {each.client_id for each in kept.connections} <= set(clients):
        raise ValueError("a row that belongs to none")


def _plain(value: Any) -> Any:
    if isinstance(value, Destination):
        return {name: _plain(getattr(value, name)) for name in WISH}
    if isinstance(value, Failure):
        return {"code": value.code, "details": dict(value.details)}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _client(row: dict[str, Any]) -> Client:
    secrets = (
        ClientSecret(each["location"], each["value"], SecretState(each["state"]))
        for each in row["secrets"]
    )
    return Client(**{**row, "secrets": tuple(secrets), "created_at": _moment(row["created_at"])})


def _connection(row: dict[str, Any]) -> Connection:
    scope, presets = tuple(row["scope"]), tuple(row["presets"])
    made = _moment(row["created_at"])
    return Connection(**{**row, "scope": scope, "presets": presets, "created_at": made})


def _grant(row: dict[str, Any]) -> Grant:
    organizations = tuple(Organization(**each) for each in row["organizations"])
    return Grant(
        **{
            **{each.name: row[each.name] for each in fields(Grant) if each.name != "rotated_at"},
            "scope": tuple(row["scope"]),
            "state": GrantState(row["state"]),
            "granted_at": _time(row["granted_at"]),
            "account": Account(**row["account"]) if row["account"] else None,
            "organizations": organizations,
            "failure": Failure(**row["failure"]) if row["failure"] else None,
            "rotated_at": _moment(row.get("rotated_at")),  # not in older backups
        }
    )


def _moment(text: str | None) -> datetime | None:
    return _time(text) if text else None


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time of no zone")
    return at
