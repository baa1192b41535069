"""A home whose key is lost: what is left of it, and what the destinations still hold.

The database is readable without its key, but for the secrets in it; and every destination that
was delivered to holds the secrets of its connection.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from wizard.delivery import Broken, file, profile
from wizard.errors import WizardError, fail
from wizard.home import CACHED, Home
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
from wizard.store import Belongings, Destination
from wizard.vault import cipher
from wizard.zoho import Zoho

_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database that is open."""


@dataclass(frozen=True)
class ReadBack:
    """What one destination told of its connection."""

    connection: str
    target: str
    failure: Failure | None = None
    """Why nothing could be read there; None: its secrets were read back."""


def set_aside(home: Home, at: datetime) -> str:
    """Move a database without a key out of the way, and a key file that is none with it.

    Returns the directory where they are now. Call it after `salvage`, which folds the database
    into one file. Raises ``store-locked`` while another process has it open.
    """
    if any(os.path.exists(home.database + each) for each in _BESIDE):
        raise WizardError(Failure("store-locked", temporary=True, details={"path": home.database}))
    directory = os.path.join(home.data_dir, f"without-key-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    try:
        os.mkdir(directory, 0o700)
        os.rename(home.database, os.path.join(directory, os.path.basename(home.database)))
        for cached in Path(home.cache_dir).glob(f"*{CACHED}"):
            cached.unlink()  # sealed with the key that is lost
        if os.path.lexists(home.key_file) and not _is_key(home.key_file):
            os.rename(home.key_file, os.path.join(directory, "key"))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise fail("store-unwritable", path=directory, reason=reason) from error
    return directory


def read_back(
    belongings: Belongings, zoho: Zoho, at: datetime
) -> tuple[Belongings, tuple[ReadBack, ...]]:
    """Fill in the secrets that the destinations of `belongings` hold; also how each went.

    Of several destinations of one connection the one delivered last counts.
    """
    clients = {client.client_id: client for client in belongings.clients}
    connections = {connection.name: connection for connection in belongings.connections}
    grants: dict[str, Grant] = {}
    told = []
    for destination in sorted(belongings.destinations, key=_delivered_last_first):
        name = destination.connection
        try:
            facts = _facts_at(destination)
            client = _client_of(facts, clients)
        except WizardError as error:
            told.append(ReadBack(name, destination.target, error.failure))
            continue
        told.append(ReadBack(name, destination.target))
        if name in grants:
            continue
        grants[name] = _grant(connections[name], client, facts, zoho, at)
        clients[client.client_id] = _with_secret(
            client, grants[name].location, facts["client_secret"]
        )
        connections[name] = replace(connections[name], client_id=client.client_id, generation=1)
    filled = Belongings(
        tuple(clients.values()),
        tuple(connections.values()),
        tuple(grants.values()),
        belongings.destinations,
    )
    return filled, tuple(told)


def _delivered_last_first(destination: Destination) -> float:
    return -destination.delivered_at.timestamp() if destination.delivered_at else 0.0


def _facts_at(destination: Destination) -> dict[str, str]:
    """What a destination's entry tells; raises why it tells nothing."""
    wanted, target = profile(destination.profile), destination.target
    if wanted.is_command:
        raise fail("destination-unseen", target=target)
    text = file.look(target).text or ""
    try:
        fields = wanted.read(text, destination.entry) or {}
    except Broken as broken:
        raise file.complaint(target, broken) from None
    ours = {chosen: own for own, chosen in destination.names.items()}
    facts = wanted.facts_in({ours.get(name, name): value for name, value in fields.items()})
    kinds = {"client_id": Identifier, "client_secret": Token, "refresh_token": Token}
    if not all(kind.of(facts.get(each)) for each, kind in kinds.items()):
        raise fail("destination-without-secrets", target=target)
    return facts


def _client_of(facts: dict[str, str], clients: dict[str, Client]) -> Client:
    client_id = facts["client_id"]
    if client_id not in clients:
        raise fail("unknown-client", client_id=client_id, nearest=", ".join(clients))
    return clients[client_id]


def _grant(
    connection: Connection, client: Client, facts: dict[str, str], zoho: Zoho, at: datetime
) -> Grant:
    named = facts.get("location") or facts.get("accounts_server") or facts.get("api_domain") or ""
    data_centre = zoho.find(named) if named else None
    location = data_centre.location if data_centre else connection.location or client.location
    return Grant(
        connection=connection.name,
        generation=1,
        client_id=client.client_id,
        refresh_token=facts["refresh_token"],
        scope=connection.scope,
        location=location,
        state=GrantState.UNPROVED,
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
