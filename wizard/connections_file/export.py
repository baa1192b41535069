"""Write a connections file for what is stored, in an order that only changes with it. Pure.

The file has no secrets. A webhook URL may be one, so it is left out; the file says so.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from wizard.connections_file.document import (
    ClientTable,
    ConnectionsFile,
    ConnectionTable,
    DestinationTable,
    MonitorTable,
    key_path,
    quoted,
)
from wizard.connections_file.plan import Installation, destination_key
from wizard.errors import WizardError, message
from wizard.model import Client
from wizard.store import AccessPermission, ConnectionOverview, Destination
from wizard.transport import webhook
from wizard.zoho import ACCOUNT_SCOPE, missing_scopes, preset

Value = str | bool | Sequence[str] | Mapping[str, str]


def export(installed: Installation) -> str:
    """The connections file for what is stored, as TOML. A comment names what is left out."""
    blocks = [_comment("heading"), *_blocks(to_document(installed))]
    if webhook.is_url(installed.notify_command):
        blocks.append(_comment("notify-url"))
    if installed.has_ssh_keys:
        blocks.append(_comment("ssh-keys"))
    return "\n\n".join(blocks) + "\n"


def to_document(installed: Installation) -> ConnectionsFile:
    """The connections file for what is stored."""
    destinations: dict[str, list[Destination]] = defaultdict(list)
    for destination in sorted(installed.destinations, key=destination_key):
        destinations[destination.connection].append(destination)
    permissions: dict[str, list[AccessPermission]] = defaultdict(list)
    for permission in sorted(installed.permissions, key=lambda each: (each.user, each.uid)):
        permissions[permission.connection].append(permission)
    locations: dict[str, set[str]] = defaultdict(set)
    for overview in installed.overviews.values():
        connection = overview.connection
        locations[connection.client_id].add(_location_of(overview) or "")
    clients = sorted(installed.clients.values(), key=lambda each: each.name)
    notify = installed.notify_command
    is_writable = bool(notify) and not webhook.is_url(notify)
    return ConnectionsFile(
        {each.name: _client_table(each, locations[each.client_id]) for each in clients},
        {
            name: _connection_table(
                overview,
                installed.clients[overview.connection.client_id],
                destinations[name],
                permissions[name],
            )
            for name, overview in sorted(installed.overviews.items())
        },
        MonitorTable(notify) if is_writable else None,
    )


def _location_of(overview: ConnectionOverview) -> str | None:
    return overview.grant.location if overview.grant else overview.connection.location


def _client_table(client: Client, used_locations: Collection[str]) -> ClientTable:
    """The client, with the data centers of its secrets and of its connections."""
    others = sorted({*client.locations, *used_locations} - {client.location, ""})
    return ClientTable(
        id=client.client_id,
        data_centers=(client.location, *others),
        redirect_uri=client.redirect_uri,
        self_client=not client.redirect_uri,
        common_secret=client.has_common_secret,
    )


def _connection_table(
    overview: ConnectionOverview,
    client: Client,
    destinations: Iterable[Destination],
    permissions: Iterable[AccessPermission],
) -> ConnectionTable:
    stored, grant = overview.connection, overview.grant
    location = _location_of(overview)
    presets, scopes = _access(stored.presets, stored.scope)
    organization = next(iter(grant.organizations), None) if grant else None
    return ConnectionTable(
        client=client.name,
        presets=presets,
        scopes=scopes,
        data_center="" if location in (None, client.location) else str(location),
        account=(grant.email if grant else "") or stored.expected_email,
        organization=stored.expected_organization or (organization.name if organization else ""),
        environment=stored.expected_environment
        or (organization.environment if organization else ""),
        owner=stored.owner,
        tags=stored.tags,
        note=stored.note,
        access=tuple(each.user for each in permissions),
        destinations=tuple(_destination_table(each) for each in destinations),
    )


def _access(
    preset_ids: Sequence[str], scope: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The presets that `scope` covers, and the scopes that they don't have."""
    covered: list[str] = []
    found: list[str] = []
    for each in preset_ids:
        try:
            wanted = preset(each).scope
        except WizardError:  # of another version
            continue
        if not missing_scopes(scope, wanted):
            covered.append(each)
            found += wanted
    others = tuple(sorted({*missing_scopes((*found, ACCOUNT_SCOPE), scope)}))
    if not covered and not others:
        others = tuple(scope)
    return tuple(covered), others


def _destination_table(destination: Destination) -> DestinationTable:
    return DestinationTable(
        profile=destination.profile,
        to=destination.target,
        entry=destination.entry,
        names=dict(sorted(destination.field_names.items())),
        values=dict(sorted(destination.field_values.items())),
        then=destination.reload_command,
        mode=destination.file_mode,
        group=destination.file_group,
    )


# --- TOML -----------------------------------------------------------------------------------------


def _blocks(document: ConnectionsFile) -> Iterator[str]:
    """The tables of `document`, without the values that are the default."""
    for name, client in document.clients.items():
        yield _table(key_path("clients", name), vars(client))
    for name, connection in document.connections.items():
        path = key_path("connections", name)
        values = {key: value for key, value in vars(connection).items() if key != "destinations"}
        yield _table(path, values)
        for destination in connection.destinations:
            yield _table(f"{path}.destinations", vars(destination), is_item=True)
    if document.monitor is not None:
        yield _table("monitor", vars(document.monitor))


def _comment(code: str) -> str:
    return "\n".join(f"# {line}" for line in message("connections-file", code).splitlines())


def _table(path: str, values: Mapping[str, Value], *, is_item: bool = False) -> str:
    return "\n".join([f"[[{path}]]" if is_item else f"[{path}]", *_lines(values)])


def _lines(values: Mapping[str, Value]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, bool):
            if value:
                yield f"{key} = true"
        elif not value:
            continue
        elif isinstance(value, Mapping):
            pairs = ", ".join(f"{key_path('', k)} = {quoted(v)}" for k, v in value.items())
            yield f"{key} = {{ {pairs} }}"
        elif isinstance(value, str):
            yield f"{key} = {quoted(value)}"
        else:
            yield f"{key} = [{', '.join(map(quoted, value))}]"
