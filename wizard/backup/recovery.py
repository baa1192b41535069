"""Recover an installation whose key is lost.

Without the key, everything in the database except the secrets can be read; and every destination
has the secrets of its connection.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from wizard import files
from wizard.delivery import destination_files
from wizard.delivery.destination_files import FormatError
from wizard.delivery.profiles import profile_of
from wizard.errors import WizardError, fail
from wizard.fastpath import cipher, token_file
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
from wizard.paths import Paths
from wizard.store import Destination, StoreContents
from wizard.zoho import Zoho

_SQLITE_SIDE_FILES = ("-wal", "-shm")
"""The files next to an open SQLite database."""


@dataclass(frozen=True)
class RecoveryResult:
    """What was recovered from one destination."""

    connection: str
    target: str
    failure: Failure | None = None
    """Why it couldn't be read; None: its secrets were recovered."""


def set_database_aside(paths: Paths, at: datetime) -> str:
    """Move a database without a key, and an invalid key file, to another directory.

    Returns that directory. Call it after `export_without_secrets`, which leaves the database as one
    file. Raises ``store-locked`` while another process has it open, ``store-unwritable``.
    """
    if any(os.path.exists(paths.database + each) for each in _SQLITE_SIDE_FILES):
        raise WizardError(Failure("store-locked", temporary=True, details={"path": paths.database}))
    directory = os.path.join(paths.data_dir, f"without-key-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    try:
        os.mkdir(directory, files.DIRECTORY_MODE)
        os.rename(paths.database, os.path.join(directory, os.path.basename(paths.database)))
        token_file.remove_all(paths.token_dir)  # encrypted with the lost key
        if os.path.lexists(paths.key_file) and not _is_key(paths):
            os.rename(paths.key_file, os.path.join(directory, "key"))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise fail("store-unwritable", path=directory, reason=reason) from error
    return directory


def recover_secrets(
    contents: StoreContents, zoho: Zoho, at: datetime
) -> tuple[StoreContents, tuple[RecoveryResult, ...]]:
    """Add the secrets that the destinations of `contents` have; also returns a result for each.

    Of several destinations of one connection, the last delivered one counts.
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
    """The values in a destination's entry; raises why there are none."""
    program_profile, target = profile_of(destination), destination.target
    if program_profile.is_command:
        raise fail("destination-unseen", target=target)
    text = destination_files.read_file(target).text or ""
    try:
        fields = program_profile.read(text, destination.entry) or {}
    except FormatError as error:
        raise destination_files.format_failure(target, error) from None
    ours = {chosen: own for own, chosen in destination.field_names.items()}
    values = program_profile.values_in(
        {ours.get(name, name): value for name, value in fields.items()}
    )
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


def _is_key(paths: Paths) -> bool:
    try:
        cipher.load_key(paths.key_file, paths.is_key_credential)
    except (OSError, ValueError):
        return False
    return True
