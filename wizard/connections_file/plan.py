"""Compare a connections file with what is stored: what differs, and what it takes. Pure.

`Wanted` is the file in the types of the store; `Installation` is what is stored. A plan has the
changes, the consents by account, the deliveries, what stays as it is because only a person should
change it (`Declined`), and what is stored but not in the file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from wizard.connections_file.document import key_path
from wizard.model import (
    AttemptMode,
    AttemptState,
    Client,
    Connection,
    Failure,
    Grant,
    GrantState,
    is_same_email,
)
from wizard.model.states import ItemState
from wizard.reauthorization.plan import (
    ReauthorizationItem,
    ReauthorizationPlan,
    create_plan,
    has_current_delivery,
)
from wizard.store import CONFIGURED_FIELDS, AccessPermission, ConnectionOverview, Destination
from wizard.tokens.budgets import ConsentSchedule
from wizard.zoho import ACCOUNT_SCOPE, limits, missing_scopes


class ChangeKind(StrEnum):
    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


class ConsentReason(StrEnum):
    """Why a connection needs a consent."""

    NEW = "new"
    """It has never been authorized."""
    UNFINISHED = "unfinished"
    """Its first authorization isn't verified."""
    REJECTED = "rejected"
    """Zoho rejected its refresh token."""
    REVOKED = "revoked"
    SCOPES = "scopes"
    """The file has more scopes."""
    ACCOUNT = "account"
    """The file has a different account."""


@dataclass(frozen=True)
class Difference:
    """A value that the file changes."""

    field: str
    """A key of the file."""
    before: str
    after: str


@dataclass(frozen=True)
class ClientChange:
    """A client to store, or one that lacks secrets."""

    name: str
    client_id: str
    kind: ChangeKind
    missing_secrets: tuple[str, ...] = ()
    """The data centers whose secret isn't stored."""


@dataclass(frozen=True)
class ConnectionChange:
    """A connection to store, to change or to remove."""

    name: str
    kind: ChangeKind
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class DestinationChange:
    """A destination to add, to change or to remove."""

    connection: str
    target: str
    entry: str
    kind: ChangeKind
    differences: tuple[Difference, ...] = ()
    """Of a new one: everything that differs from a plain destination with its profile."""
    profile: str = ""
    """Of a new one."""

    @property
    def key(self) -> tuple[str, str, str]:
        """As `destination_key`."""
        return self.connection, self.target, self.entry


@dataclass(frozen=True)
class AccessChange:
    """A user who may request access tokens from now on, or no longer."""

    connection: str
    user: str
    kind: ChangeKind


@dataclass(frozen=True)
class Consent:
    """A consent that a connection needs."""

    connection: str
    reason: ConsentReason
    additional_scope: tuple[str, ...] = ()
    new_account_email: str = ""
    """The account that takes the connection over; empty: none."""


@dataclass(frozen=True)
class Declined:
    """A part of the file that isn't applied, and why."""

    path: str
    failure: Failure


@dataclass(frozen=True)
class Unmanaged:
    """What is stored but isn't in the file; it stays as it is unless it is pruned."""

    clients: tuple[Client, ...] = ()
    connections: tuple[str, ...] = ()
    destinations: tuple[Destination, ...] = ()
    permissions: tuple[AccessPermission, ...] = ()

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass(frozen=True)
class Wanted:
    """The file in the types of the store, with the paths and commands of this machine."""

    clients: tuple[Client, ...]
    """Without secrets."""
    client_locations: Mapping[str, tuple[str, ...]]
    """By client ID, the data centers that need a secret."""
    connections: tuple[Connection, ...]
    destinations: tuple[Destination, ...] = ()
    permissions: tuple[AccessPermission, ...] = ()
    notify_command: str | None = None
    """None: the file doesn't say."""
    obstacles: tuple[Declined, ...] = ()
    """What can't be applied on this machine."""
    kept: frozenset[str] = frozenset()
    """The connections that the obstacles are about. What they have is left unchanged."""
    warnings: tuple[Declined, ...] = ()
    """What is applied, but may be a mistake."""


@dataclass(frozen=True)
class Installation:
    """What is stored."""

    clients: Mapping[str, Client]
    overviews: Mapping[str, ConnectionOverview]
    destinations: tuple[Destination, ...]
    permissions: tuple[AccessPermission, ...]
    notify_command: str = field(repr=False)
    has_ssh_keys: bool
    """Whether an SSH key has access to a connection; the file can't say so."""


@dataclass(frozen=True)
class FilePlan:
    """What differs from the file, and what it takes to apply it."""

    clients: tuple[ClientChange, ...]
    connections: tuple[ConnectionChange, ...]
    destinations: tuple[DestinationChange, ...]
    access: tuple[AccessChange, ...]
    monitor: Difference | None
    consents: tuple[Consent, ...]
    """Without those that were requested from the account owner."""
    requested: tuple[Consent, ...]
    """Those whose link was forwarded; the account owner hasn't answered yet."""
    round: ReauthorizationPlan
    """The consents by account, data center and client, in order."""
    deliveries: tuple[Destination, ...]
    """The destinations that get credentials, now or after the consent of their connection."""
    declined: tuple[Declined, ...]
    warnings: tuple[Declined, ...]
    unmanaged: Unmanaged
    is_pruning: bool = False

    @property
    def has_changes(self) -> bool:
        """Whether applying the file would change anything."""
        parts = (
            self.clients,
            self.connections,
            self.destinations,
            self.access,
            self.monitor,
            self.consents,
            self.deliveries,
        )
        return any(parts) or (self.is_pruning and bool(self.unmanaged))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say except what isn't in the file."""
        return not (self.has_changes or self.declined or self.requested or self.warnings)

    @property
    def missing_secrets(self) -> tuple[tuple[ClientChange, str], ...]:
        """The clients and data centers whose secret is needed, in order."""
        return tuple((each, where) for each in self.clients for where in each.missing_secrets)


def judge(
    wanted: Wanted,
    installed: Installation,
    schedules: Mapping[tuple[str, str], ConsentSchedule],
    now: datetime,
    *,
    is_pruning: bool = False,
) -> FilePlan:
    """Compare `wanted`, which is `applicable`, with `installed`. `schedules` says when consents can
    start, by client ID and data center."""
    declined = [*wanted.obstacles, *_declined_clients(wanted, installed)]
    changes: list[ConnectionChange] = []
    consents: list[Consent] = []
    requested: list[Consent] = []
    for connection in wanted.connections:
        overview = installed.overviews.get(connection.name)
        refusals = _refusals(connection, overview) if overview else ()
        declined += refusals
        if change := _connection_change(connection, overview, is_consenting=not refusals):
            changes.append(change)
        if not refusals and (consent := _consent(connection, overview)):
            is_waiting = _is_requested(connection, overview, consent, now)
            (requested if is_waiting else consents).append(consent)
    declined += _crowded_accounts(wanted)
    consenting = {each.connection for each in consents}
    return FilePlan(
        clients=tuple(_client_changes(wanted, installed)),
        connections=tuple(changes),
        destinations=tuple(_destination_changes(wanted, installed)),
        access=tuple(_access_changes(wanted, installed)),
        monitor=_monitor_difference(wanted, installed),
        consents=tuple(consents),
        requested=tuple(requested),
        round=_round(wanted, installed, consents, schedules, now),
        deliveries=tuple(_deliveries(wanted, installed, consenting)),
        declined=tuple(declined),
        warnings=wanted.warnings,
        unmanaged=_unmanaged(wanted, installed),
        is_pruning=is_pruning,
    )


# --- Clients --------------------------------------------------------------------------------------


def applicable(wanted: Wanted, installed: Installation) -> Wanted:
    """`wanted` without the new clients whose name a stored one has, without their connections, and
    without those whose name differs from a stored one only in case: these become obstacles."""
    taken = {each.name: each.client_id for each in installed.clients.values()}
    left_out = {
        each.client_id: Failure(
            "client-name-taken", details={"name": each.name, "client_id": taken[each.name]}
        )
        for each in wanted.clients
        if each.client_id not in installed.clients and each.name in taken
    }
    stored_names = {each.lower(): each for each in installed.overviews}
    similar = {
        each.name: stored_names[each.name.lower()]
        for each in wanted.connections
        if stored_names.get(each.name.lower(), each.name) != each.name
    }
    blocked = {
        **{
            each.name: left_out[each.client_id]
            for each in wanted.connections
            if each.client_id in left_out
        },
        **{
            name: Failure("connection-exists", details={"name": stored})
            for name, stored in similar.items()
        },
    }
    obstacles = [
        Declined(key_path("clients", each.name), left_out[each.client_id])
        for each in wanted.clients
        if each.client_id in left_out
    ]
    obstacles += [
        Declined(key_path("connections", name), failure) for name, failure in blocked.items()
    ]
    return replace(
        wanted,
        clients=tuple(each for each in wanted.clients if each.client_id not in left_out),
        connections=tuple(each for each in wanted.connections if each.name not in blocked),
        destinations=tuple(each for each in wanted.destinations if each.connection not in blocked),
        permissions=tuple(each for each in wanted.permissions if each.connection not in blocked),
        obstacles=(*wanted.obstacles, *obstacles),
        kept=wanted.kept | blocked.keys() | {*similar.values()},
    )


def _client_changes(wanted: Wanted, installed: Installation) -> Iterator[ClientChange]:
    for client in wanted.clients:
        stored = installed.clients.get(client.client_id)
        locations = wanted.client_locations[client.client_id]
        if stored is None:
            needed = locations[:1] if client.has_common_secret else locations
            yield ClientChange(client.name, client.client_id, ChangeKind.ADD, needed)
            continue
        missing = tuple(each for each in locations if stored.secret_for(each) is None)
        if missing:
            yield ClientChange(stored.name, client.client_id, ChangeKind.CHANGE, missing)


def _declined_clients(wanted: Wanted, installed: Installation) -> Iterator[Declined]:
    for client in wanted.clients:
        path = key_path("clients", client.name)
        stored = installed.clients.get(client.client_id)
        if stored is None:
            continue
        pairs = (
            ("redirect_uri", stored.redirect_uri, client.redirect_uri),
            ("data_centers", stored.location, client.location),
        )
        for key, before, after in pairs:
            if before != after:
                details = {"key": key, "stored": before or "none", "wanted": after or "none"}
                yield Declined(f"{path}.{key}", Failure("file-client-fixed", details=details))


# --- Connections ----------------------------------------------------------------------------------


def _refusals(wanted: Connection, overview: ConnectionOverview) -> tuple[Declined, ...]:
    """Differences that need a new connection: a different client, data center or organization."""
    stored, grant = overview.connection, overview.grant
    if is_unauthorized(overview):
        return ()
    location = grant.location if grant else stored.location
    pairs = [("client", stored.client_id, wanted.client_id)]
    if wanted.location and location:
        pairs.append(("data_center", location, wanted.location))
    if _is_usable(grant) and grant and not wanted.is_expected_to_reach(grant.organizations):
        expected = (wanted.expected_organization, wanted.expected_environment)
        names = [
            ", ".join(filter(None, (each.name, each.environment))) for each in grant.organizations
        ]
        actual = "; ".join(dict.fromkeys(names)) or "none"
        pairs.append(("organization", actual, ", ".join(filter(None, expected))))
    return tuple(
        Declined(
            f"{key_path('connections', wanted.name)}.{key}",
            Failure(
                "file-connection-fixed",
                details={"name": wanted.name, "key": key, "stored": before, "wanted": after},
            ),
        )
        for key, before, after in pairs
        if before != after
    )


def is_unauthorized(overview: ConnectionOverview) -> bool:
    """Whether the connection has no grant of any state, so that it can be replaced."""
    return overview.newest is None and overview.grant is None


def _is_usable(grant: Grant | None) -> bool:
    return grant is not None and not grant.state.is_ended


def _connection_change(
    wanted: Connection, overview: ConnectionOverview | None, *, is_consenting: bool
) -> ConnectionChange | None:
    """What changes, or None. Without a consent, no scopes are added."""
    if overview is None:
        return ConnectionChange(wanted.name, ChangeKind.ADD)
    stored = overview.connection
    texts = [
        ("owner", stored.owner, wanted.owner),
        ("tags", ", ".join(stored.tags), ", ".join(wanted.tags)),
        ("note", stored.note, wanted.note),
    ]
    if overview.grant is None:
        texts += [
            ("account", stored.expected_email, wanted.expected_email),
            ("organization", stored.expected_organization, wanted.expected_organization),
            ("environment", stored.expected_environment, wanted.expected_environment),
        ]
    if is_unauthorized(overview):
        texts += [("client", stored.client_id, wanted.client_id)]
        texts += [("data_center", stored.location or "", wanted.location or "")]
    texts += [("scopes", " ".join(removed_scopes(stored.scope, wanted.scope)), "")]
    added = missing_scopes(stored.scope, _own_scopes(wanted.scope)) if is_consenting else ()
    texts += [("scopes", "", " ".join(added))]
    differences = tuple(Difference(*each) for each in texts if each[1] != each[2])
    return ConnectionChange(wanted.name, ChangeKind.CHANGE, differences) if differences else None


def removed_scopes(stored: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The stored scopes that the file doesn't have."""
    return missing_scopes(wanted, _own_scopes(stored))


def _own_scopes(scope: Iterable[str]) -> tuple[str, ...]:
    """`scope` without that of the account, which every new connection has and an imported one may
    lack."""
    return tuple(each for each in scope if each.lower() != ACCOUNT_SCOPE.lower())


def _consent(wanted: Connection, overview: ConnectionOverview | None) -> Consent | None:
    name = wanted.name
    if overview is None or is_unauthorized(overview):
        return Consent(name, ConsentReason.NEW)
    grant = overview.grant
    if grant is None:
        return Consent(name, ConsentReason.UNFINISHED)
    scope = missing_scopes(overview.connection.scope, _own_scopes(wanted.scope))
    other = wanted.expected_email and grant.email
    is_other = bool(other) and not is_same_email(wanted.expected_email, grant.email)
    email = wanted.expected_email if is_other else ""
    if grant.state is GrantState.NEEDS_REAUTHORIZATION:
        return Consent(name, ConsentReason.REJECTED, scope, email)
    if grant.state is GrantState.REVOKED:
        return Consent(name, ConsentReason.REVOKED, scope, email)
    if email:
        return Consent(name, ConsentReason.ACCOUNT, scope, email)
    return Consent(name, ConsentReason.SCOPES, scope) if scope else None


def _is_requested(
    wanted: Connection, overview: ConnectionOverview | None, consent: Consent, now: datetime
) -> bool:
    """Whether the account owner has a link for this consent, and can still answer it."""
    attempt = overview.attempt if overview else None
    if overview is None or attempt is None or consent.new_account_email:
        return False
    is_waiting = (attempt.mode, attempt.state) == (AttemptMode.FORWARDED, AttemptState.REDIRECTED)
    if not is_waiting or attempt.is_expired(now) or missing_scopes(attempt.scope, wanted.scope):
        return False
    stored = overview.connection
    return overview.grant is not None or (
        (stored.client_id, stored.location, stored.expected_email)
        == (wanted.client_id, wanted.location, wanted.expected_email)
    )


def _crowded_accounts(wanted: Wanted) -> Iterator[Declined]:
    """The clients with which one account would have more refresh tokens than the wizard lets it."""
    names = {each.client_id: each.name for each in wanted.clients}
    counts = Counter(
        (each.client_id, each.expected_email.casefold())
        for each in wanted.connections
        if each.expected_email
    )
    for (client_id, email), count in counts.items():
        if count > limits().refresh_tokens_hard_stop:
            details = {
                "count": str(count),
                "client": names[client_id],
                "email": email,
                "most": str(limits().refresh_tokens_hard_stop),
            }
            yield Declined(
                key_path("clients", names[client_id]), Failure("file-crowded", details=details)
            )


def _round(
    wanted: Wanted,
    installed: Installation,
    consents: Sequence[Consent],
    schedules: Mapping[tuple[str, str], ConsentSchedule],
    now: datetime,
) -> ReauthorizationPlan:
    clients = {each.client_id: each for each in wanted.clients}
    connections = {each.name: each for each in wanted.connections}
    items = []
    for consent in consents:
        connection = connections[consent.connection]
        client, overview = (
            clients[connection.client_id],
            installed.overviews.get(consent.connection),
        )
        grant = overview.grant or overview.candidate if overview else None
        items.append(
            ReauthorizationItem(
                connection=consent.connection,
                state=ItemState.PENDING,
                email=connection.expected_email or (grant.email if grant else ""),
                location=grant.location if grant else connection.location or client.location,
                client_id=client.client_id,
                client_name=client.name,
            )
        )
    by_client = {client_id: each for (client_id, _location), each in schedules.items()}
    return create_plan(items, by_client, now)


# --- Destinations, access, monitor ----------------------------------------------------------------


def destination_key(destination: Destination) -> tuple[str, str, str]:
    """What identifies a destination."""
    return destination.connection, destination.target, destination.entry


def _destination_changes(wanted: Wanted, installed: Installation) -> Iterator[DestinationChange]:
    stored = {destination_key(each): each for each in installed.destinations}
    for each in wanted.destinations:
        known = stored.get(destination_key(each))
        if known is None:
            bare = Destination(each.connection, each.profile, each.target, entry=each.entry)
            differences = _destination_differences(bare, each)
            yield DestinationChange(
                *destination_key(each), ChangeKind.ADD, differences, each.profile
            )
        elif differences := _destination_differences(known, each):
            yield DestinationChange(*destination_key(each), ChangeKind.CHANGE, differences)


DESTINATION_KEYS = {
    "field_names": "names",
    "field_values": "values",
    "reload_command": "then",
    "file_mode": "mode",
    "file_group": "group",
}
"""The keys of the file for fields of a destination with other names."""


def _destination_differences(stored: Destination, wanted: Destination) -> tuple[Difference, ...]:
    pairs = ((each, getattr(stored, each), getattr(wanted, each)) for each in CONFIGURED_FIELDS)
    return tuple(
        Difference(DESTINATION_KEYS.get(key, key), _text(before), _text(after))
        for key, before, after in pairs
        if before != after
    )


def _text(value: str | Mapping[str, str]) -> str:
    if isinstance(value, str):
        return value
    return ", ".join(f"{key}={name}" for key, name in sorted(value.items()))


def _deliveries(
    wanted: Wanted, installed: Installation, consenting: set[str]
) -> Iterator[Destination]:
    stored = {destination_key(each): each for each in installed.destinations}
    for each in wanted.destinations:
        overview = installed.overviews.get(each.connection)
        grant = overview.grant if overview else None
        known = stored.get(destination_key(each))
        if each.connection in consenting:
            yield each
        elif grant is None or grant.state is not GrantState.VERIFIED:
            continue
        elif (
            known is None
            or _destination_differences(known, each)
            or not has_current_delivery(known, grant.generation)
        ):
            yield each


def _access_changes(wanted: Wanted, installed: Installation) -> Iterator[AccessChange]:
    stored = {(each.connection, each.uid) for each in installed.permissions}
    for each in wanted.permissions:
        if (each.connection, each.uid) not in stored:
            yield AccessChange(each.connection, each.user, ChangeKind.ADD)


def _monitor_difference(wanted: Wanted, installed: Installation) -> Difference | None:
    before, after = installed.notify_command, wanted.notify_command
    if after is None or before == after:
        return None
    return Difference("notify", shown_target(before), after)


def shown_target(notify_command: str) -> str:
    """A stored command; only the word URL for a URL, which may be a secret."""
    is_url = notify_command.lower().startswith(("https://", "http://"))
    return "URL" if is_url else notify_command


def _unmanaged(wanted: Wanted, installed: Installation) -> Unmanaged:
    client_ids = {each.client_id for each in wanted.clients}
    names = {each.name for each in wanted.connections}
    destinations = {destination_key(each) for each in wanted.destinations}
    permissions = {(each.connection, each.uid) for each in wanted.permissions}
    return Unmanaged(
        tuple(each for each in installed.clients.values() if each.client_id not in client_ids),
        tuple(name for name in installed.overviews if name not in names | wanted.kept),
        tuple(
            each
            for each in installed.destinations
            if each.connection in names - wanted.kept and destination_key(each) not in destinations
        ),
        tuple(
            each
            for each in installed.permissions
            if each.connection in names - wanted.kept
            and (each.connection, each.uid) not in permissions
        ),
    )
