"""Plan and apply a connections file. The consents are those of a re-authorization.

Each step is stored by itself and skipped if it is done: after a crash, the next plan has what is
left. Nothing is removed except by `prune`.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby

from wizard.clients import ClientService, ConnectionRequest, Credentials, parse_secret
from wizard.connections_file.document import (
    ConnectionsFile,
    DestinationTable,
    key_path,
    misspelled_scopes,
)
from wizard.connections_file.plan import (
    ChangeKind,
    Consent,
    Declined,
    FilePlan,
    Installation,
    Unmanaged,
    Wanted,
    applicable,
    destination_key,
    is_unauthorized,
    judge,
    removed_scopes,
)
from wizard.delivery.service import DeliveryService, require_not_taken
from wizard.errors import WizardError
from wizard.model import Client, Clock, Connection, Event
from wizard.monitoring.notifications import resolve_target
from wizard.paths import resolve_user
from wizard.reauthorization.plan import SETTLED_STATES
from wizard.reauthorization.service import ReauthorizationService
from wizard.settings import Settings
from wizard.store import AccessPermission, ConnectionOverview, Destination, Store
from wizard.tokens.request_log import RequestLog
from wizard.tokens.service import TokenService


@dataclass(frozen=True)
class AppliedFile:
    """What was done besides the consents."""

    delivered: tuple[Destination, ...]
    failed: tuple[Declined, ...]
    """Steps that failed; the others were done."""


class ConnectionsFileService:
    """Compares a connections file with the store, and makes the store as the file says."""

    def __init__(
        self,
        store: Store,
        clients: ClientService,
        tokens: TokenService,
        request_log: RequestLog,
        delivery: DeliveryService,
        reauthorization: ReauthorizationService,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._clients = clients
        self._tokens = tokens
        self._request_log = request_log
        self._delivery = delivery
        self._reauthorization = reauthorization
        self._settings = settings
        self._clock = clock

    def plan(self, document: ConnectionsFile, *, is_pruning: bool = False) -> FilePlan:
        """What differs from `document`, and what it takes; stores nothing."""
        places = [
            (client.id, location)
            for client in document.clients.values()
            for location in client.data_centers
        ]
        schedules = self._request_log.consent_schedules(places) if places else {}
        installed = self.installation()
        return judge(
            self._wanted(document, installed),
            installed,
            schedules,
            self._clock(),
            is_pruning=is_pruning,
        )

    def installation(self) -> Installation:
        """What is stored."""
        store = self._store
        return Installation(
            clients={each.client_id: each for each in store.clients.all()},
            overviews={each.connection.name: each for each in store.overviews.all()},
            destinations=store.destinations.all(),
            permissions=store.access_permissions.all(),
            notify_command=store.monitoring.notify_command(),
            has_ssh_keys=bool(store.key_permissions.all()),
        )

    # the file in the types of the store

    def _wanted(self, document: ConnectionsFile, installed: Installation) -> Wanted:
        obstacles: list[Declined] = []
        kept: set[str] = set()
        destinations: list[Destination] = []
        permissions: list[AccessPermission] = []
        places: dict[tuple[str, str], list[Destination]] = defaultdict(list)
        for stored in installed.destinations:
            places[stored.target, stored.entry].append(stored)
        for name, table in document.connections.items():
            path, known = key_path("connections", name), len(obstacles)
            for number, row in enumerate(table.destinations):
                with _collecting(obstacles, f"{path}.destinations[{number}]"):
                    destination = self._destination(name, row)
                    place = places[destination.target, destination.entry]
                    require_not_taken(destination, place)
                    place.append(destination)
                    destinations.append(destination)
            for number, user in enumerate(table.access):
                with _collecting(obstacles, f"{path}.access[{number}]"):
                    uid, user_name = resolve_user(user)
                    permissions.append(AccessPermission(name, uid, user_name, self._clock()))
            if len(obstacles) > known:
                kept.add(name)
        wanted = Wanted(
            clients=tuple(self._client(name, document) for name in document.clients),
            client_locations={each.id: each.data_centers for each in document.clients.values()},
            connections=tuple(self._connection(name, document) for name in document.connections),
            destinations=tuple(destinations),
            permissions=tuple(permissions),
            notify_command=self._notify_command(document, obstacles),
            obstacles=tuple(obstacles),
            kept=frozenset(kept),
            warnings=tuple(
                Declined(each.path, each.failure) for each in misspelled_scopes(document)
            ),
        )
        return applicable(wanted, installed)

    def _client(self, name: str, document: ConnectionsFile) -> Client:
        table = document.clients[name]
        uri = "" if table.self_client else table.redirect_uri or self._settings.redirect_uri
        return Client(
            client_id=table.id,
            name=name,
            location=table.data_centers[0],
            redirect_uri=uri,
            has_common_secret=table.common_secret,
        )

    def _connection(self, name: str, document: ConnectionsFile) -> Connection:
        table = document.connections[name]
        client = document.clients[table.client]
        request = ConnectionRequest.of(
            table.presets,
            ",".join(table.scopes),
            table.data_center or client.data_centers[0],
            owner=table.owner,
            tags=table.tags,
            note=table.note,
            expected_email=table.account,
        )
        return Connection(
            name=name,
            client_id=client.id,
            scope=request.scope,
            location=request.location,
            presets=request.preset_ids,
            created_at=self._clock(),
            owner=request.owner,
            tags=request.tags,
            note=request.note,
            expected_email=request.expected_email,
            expected_organization=table.organization.strip(),
            expected_environment=table.environment.strip(),
        )

    def _destination(self, name: str, table: DestinationTable) -> Destination:
        wanted = Destination(
            name,
            table.profile,
            table.to,
            entry=table.entry,
            field_names=table.names,
            field_values=table.values,
            reload_command=table.then,
            file_mode=table.mode,
            file_group=table.group,
        )
        resolved = self._delivery.resolve(wanted)
        self._delivery.require_directory(resolved)
        return resolved

    def _notify_command(self, document: ConnectionsFile, obstacles: list[Declined]) -> str | None:
        notify = document.monitor.notify if document.monitor else None
        try:
            return notify and resolve_target(notify, self._settings.child_environment)
        except WizardError as error:
            obstacles.append(Declined("monitor.notify", error.failure))
            return None

    # apply

    def store_secret(
        self, document: ConnectionsFile, client_id: str, location: str, text: str
    ) -> Client:
        """Check the secret in `text` at Zoho, and store it, with the client if that is new.

        Raises what `ClientService.admit` and `parse_secret` raise. Nothing is stored then.
        """
        name = next(name for name, each in document.clients.items() if each.id == client_id)
        client = self._client(name, document)
        return self._clients.admit(
            Credentials(client_id, parse_secret(text, client_id)),
            name=name,
            redirect_uri=client.redirect_uri,
            location=location,
            has_common_secret=client.has_common_secret,
        )

    def store_connections(self, document: ConnectionsFile, plan: FilePlan) -> AppliedFile:
        """Store the connections with their access, destinations and notifications, and deliver what
        needs no consent.

        A step that fails doesn't stop the others. Needs the clients. Raises ``unknown-client``.
        """
        installed = self.installation()
        wanted = self._wanted(document, installed)
        changed = {each.name for each in plan.connections}
        for connection in wanted.connections:
            if connection.name in changed:
                overview = installed.overviews.get(connection.name)
                self._store_connection(connection, overview)
        new_users = {(each.connection, each.user) for each in plan.access}
        for permission in wanted.permissions:
            self._store.access_permissions.add(permission)
            if (permission.connection, permission.user) in new_users:
                self._record("access-added", permission.connection, user=permission.user)
        if plan.monitor is not None and wanted.notify_command is not None:
            self._store.monitoring.set_notify_command(wanted.notify_command)
        return self._store_destinations(wanted, plan)

    def _store_connection(self, wanted: Connection, overview: ConnectionOverview | None) -> None:
        if overview is None:
            self._store.connections.add(wanted)
            return
        stored = overview.connection
        is_moved = (stored.client_id, stored.location) != (wanted.client_id, wanted.location)
        if is_moved and is_unauthorized(overview):
            self._store.connections.add(wanted, replaces=wanted.name)
            return
        removed = removed_scopes(stored.scope, wanted.scope)
        kept = tuple(each for each in stored.scope if each not in removed)
        self._store.connections.configure(
            replace(wanted, scope=wanted.scope if overview.grant is None else kept)
        )
        self._record("configured", wanted.name)

    def _store_destinations(self, wanted: Wanted, plan: FilePlan) -> AppliedFile:
        """Store the destinations, and deliver to those whose connection has a usable grant."""
        changed = {each.key: each.kind for each in plan.destinations}
        due = {destination_key(each) for each in plan.deliveries}
        consenting = {each.connection for each in plan.consents}
        stored = {destination_key(each): each for each in self._store.destinations.all()}
        delivered: list[Destination] = []
        failed: list[Declined] = []
        for each in wanted.destinations:
            key = destination_key(each)
            if changed.get(key) is ChangeKind.CHANGE:
                self._store.destinations.remove(stored.pop(key).id)
            known = stored.get(key) or self._store.destinations.add(each)
            if key not in due or each.connection in consenting:
                continue
            with _collecting(failed, f"{each.connection}: {each.target}"):
                done = self._delivery.deliver(known)
                delivered.append(done)
                if done.failure is not None:
                    raise WizardError(done.failure)
        return AppliedFile(tuple(delivered), tuple(failed))

    def begin_consents(self, plan: FilePlan) -> tuple[str, ...]:
        """Begin the re-authorization of the connections that need a consent, or add them to the
        current one; return their names. One that waits there already stays as it is."""
        current = self._reauthorization.current()
        waiting = {
            (each.connection, each.additional_scope, each.new_account_email)
            for each in (current.items if current else ())
            if each.state not in SETTLED_STATES
        }
        for (scope, email), group in groupby(sorted(plan.consents, key=_request), key=_request):
            names = [each.connection for each in group]
            new = [name for name in names if (name, scope, email) not in waiting]
            if new:
                self._reauthorization.begin(new, scope, email)
        if plan.consents:
            self._reauthorization.resume()
        return tuple(each.connection for each in plan.consents)

    def prune(self, unmanaged: Unmanaged) -> tuple[Declined, ...]:
        """Remove what isn't in the file: access, destinations, connections, which are revoked at
        Zoho first, and clients that no connection uses. Returns the failures; the rest is
        removed."""
        failed: list[Declined] = []
        for permission in unmanaged.permissions:
            self._store.access_permissions.remove(permission.connection, permission.uid)
            self._record("access-removed", permission.connection, user=permission.user)
        for destination in unmanaged.destinations:
            self._delivery.remove(destination)
        for name in unmanaged.connections:
            with _collecting(failed, name):
                for grant in self._store.grants.revocable(name):
                    self._tokens.revoke(grant)
                self._tokens.remove_connection(name)
        for client in unmanaged.clients:
            with _collecting(failed, client.name):
                self._clients.remove(client.client_id)
        return tuple(failed)

    def _record(self, kind: str, connection: str, **details: str) -> None:
        self._store.events.record(Event(self._clock(), connection, kind, details))


def _request(consent: Consent) -> tuple[tuple[str, ...], str]:
    return consent.additional_scope, consent.new_account_email


@contextmanager
def _collecting(failed: list[Declined], path: str) -> Iterator[None]:
    """Add what the block raises to `failed`."""
    try:
        yield
    except WizardError as error:
        failed.append(Declined(path, error.failure))
