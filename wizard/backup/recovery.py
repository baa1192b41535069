"""A home whose key is lost: what is left of it, and what the destinations still hold.

The database is readable without its key, but for the secrets in it; and every destination that
was delivered to holds the secrets of its connection.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from wizard import files
from wizard.delivery import destination_files
from wizard.delivery.formats import FormatError
from wizard.delivery.profiles import profile
from wizard.errors import WizardError, fail
from wizard.fastpath import cipher
from wizard.model import (
    Client,
    ClientSecret,
    Connection,
    Failure,
    Grant,
    GrantState,
    Identifier,
    Token,
)
from wizard.paths import CACHED_TOKEN_SUFFIX, Paths
from wizard.store import Destination, StoreContents
from wizard.zoho import Zoho

_SQLITE_SIDE_FILES = ("-wal", "-shm")
"""What SQLite keeps beside a database that is open."""


@dataclass(frozen=True)
class RecoveryResult:
    """What one destination told of its connection."""

    connection: str
    target: str
    failure: Failure | None = None
    """Why nothing could be read there; None: its secrets were read back."""


def set_database_aside(paths: Paths, at: datetime) -> str:
    """Move a database without a key out of the way, and a key file that is none with it.

    Returns the directory where they are now. Call it after `salvage`, which folds the database
    into one file. Raises ``store-locked`` while another process has it open.
    """
    if any(os.path.exists(paths.database + each) for each in _SQLITE_SIDE_FILES):
        raise WizardError(Failure("store-locked", temporary=True, details={"path": paths.database}))
    directory = os.path.join(paths.data_dir, f"without-key-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    try:
        os.mkdir(directory, files.DIRECTORY_MODE)
        os.rename(paths.database, os.path.join(directory, os.path.basename(paths.database)))
        for cached in Path(paths.token_dir).glob(f"*{CACHED_TOKEN_SUFFIX}"):
            cached.unlink()  # sealed with the key that is lost
        if os.path.lexists(paths.key_file) and not _is_key(paths.key_file):
            os.rename(paths.key_file, os.path.join(directory, "key"))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise fail("store-unwritable", path=directory, reason=reason) from error
    return directory


def recover_secrets(
    contents: StoreContents, zoho: Zoho, at: datetime
) -> tuple[StoreContents, tuple[RecoveryResult, ...]]:
    """Fill in the secrets that the destinations of `contents` hold; also how each went.

    Of several destinations of one connection the one delivered last counts.
    """
    clients = {client.client_id: client for client in contents.clients}
    connections = {connection.name: connection for connection in contents.connections}
    grants: dict[str, Grant] = {}
    results = []
    for destination in sorted(contents.destinations, key=_newest_delivery_first):
        name = destination.connection
        try:
            values = _values_at(destination)
            client = _client_of(values, clients)
        except WizardError as error:
            results.append(RecoveryResult(name, destination.target, error.failure))
            continue
        results.append(RecoveryResult(name, destination.target))
        if name in grants:
            continue
        grants[name] = _grant(connections[name], client, values, zoho, at)
        clients[client.client_id] = _with_secret(
            client, grants[name].location, values["client_secret"]
        )
        connections[name] = replace(connections[name], client_id=client.client_id, generation=1)
    filled = StoreContents(
        tuple(clients.values()),
        tuple(connections.values()),
        tuple(grants.values()),
        contents.destinations,
    )
    return filled, tuple(results)


def _newest_delivery_first(destination: Destination) -> float:
    return -destination.delivered_at.timestamp() if destination.delivered_at else 0.0


def _values_at(destination: Destination) -> dict[str, str]:
    """What a destination's entry tells; raises why it tells nothing."""
    wanted, target = profile(destination.profile), destination.target
    if wanted.is_command:
        raise fail("destination-unseen", target=target)
    text = destination_files.read_file(target).text or ""
    try:
        fields = wanted.read(text, destination.entry) or {}
    except FormatError as broken:
        raise destination_files.format_failure(target, broken) from None
    ours = {chosen: own for own, chosen in destination.field_names.items()}
    values = wanted.values_in({ours.get(name, name): value for name, value in fields.items()})
    kinds = {"client_id": Identifier, "client_secret": Token, "refresh_token": Token}
    if not all(kind.of(values.get(each)) for each, kind in kinds.items()):
        raise fail("destination-without-secrets", target=target)
    return values


def _client_of(values: dict[str, str], clients: dict[str, Client]) -> Client:
    client_id = values["client_id"]
    if client_id not in clients:
        raise fail("unknown-client", client_id=client_id, nearest=", ".join(clients))
    return clients[client_id]


def _grant(
    connection: Connection, client: Client, values: dict[str, str], zoho: Zoho, at: datetime
) -> Grant:
    named = (
        values.get("location") or values.get("accounts_server") or values.get("api_domain") or ""
    )
    data_center = zoho.find_data_center(named) if named else None
    location = data_center.location if data_center else connection.location or client.location
    return Grant(
        connection=connection.name,
        generation=1,
        client_id=client.client_id,
        refresh_token=values["refresh_token"],
        scope=connection.scope,
        location=location,
        state=GrantState.NOT_VERIFIED,
        granted_at=at,
    )


def _with_secret(client: Client, location: str, value: str) -> Client:
    if location in client.locations:
        return client
    return replace(client, secrets=(*client.secrets, ClientSecret(location, value)))


def _is_key(path: str) -> bool:
    try:
        cipher.load_key(path)
    except (OSError, ValueError):
        return False
    return True
