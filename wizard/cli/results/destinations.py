"""Results of `destination`, `deliver` and `access`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from wizard.model.states import (
    DestinationState,
)
from wizard.serialization import ErrorReport
from wizard.store import Machine


@dataclass(frozen=True)
class DestinationDetails:
    """A destination and its last delivery: the result of `destination add` and `undo`."""

    connection: str
    profile: str
    target: str
    """The path of the file, or the command line."""
    entry: str | None
    """The entry in a file of several."""
    field_names: Mapping[str, str]
    """Fields that have another name there."""
    field_values: Mapping[str, str]
    """Fields that the user set, with placeholders."""
    reload_command: str | None
    file_mode: str | None
    """The mode that the file gets; null: 0600."""
    file_group: str | None
    """The group that the file gets; null: it keeps its own."""
    generation: int | None
    """Of the authorization that was delivered last."""
    delivered_at: datetime | None
    reloaded_at: datetime | None
    """When the reload command succeeded after that; null: it isn't known to be in use."""
    error: ErrorReport | None
    """Why the last delivery, or the reload after it, failed."""
    machine: str | None
    """The machine that it’s on, if another one: only commands there deliver to it."""


@dataclass(frozen=True)
class DeliveryPreviewReport:
    """The result of `destination add --dry-run`."""

    connection: str
    profile: str
    target: str
    entry: str | None
    field_names: Mapping[str, str]
    field_values: Mapping[str, str]
    reload_command: str | None
    file_mode: str | None
    """The mode that the file gets; null: 0600."""
    file_group: str | None
    """The group that the file gets; null: it keeps its own."""
    generation: int
    is_new: bool
    """The file doesn't exist yet."""
    mode: str | None
    """The file's mode, if it would change."""
    owner: str | None
    """The file's owner, if that is another user."""
    group_writable: tuple[str, ...]
    """The directories above the file in which a group can replace it."""
    fields: Mapping[str, str]
    """By name: `added`, `changed` or `same`."""


@dataclass(frozen=True)
class DestinationList:
    """The result of `destination list`."""

    destinations: tuple[DestinationDetails, ...]


@dataclass(frozen=True)
class DestinationStatusReport:
    """What one destination has now."""

    connection: str
    profile: str
    target: str
    entry: str | None
    field_names: Mapping[str, str]
    field_values: Mapping[str, str]
    reload_command: str | None
    file_mode: str | None
    """The mode that the file gets; null: 0600."""
    file_group: str | None
    """The group that the file gets; null: it keeps its own."""
    state: DestinationState
    needs_delivery: bool
    found_generation: int | None
    """Of the authorization found there."""
    changed_fields: tuple[str, ...]
    """The fields that someone else changed."""
    delivered_at: datetime | None
    reloaded_at: datetime | None
    error: ErrorReport | None


@dataclass(frozen=True)
class DestinationStatusList:
    """The result of `destination status`."""

    destinations: tuple[DestinationStatusReport, ...]


@dataclass(frozen=True)
class DestinationProblem:
    """A destination whose program may not use the current authorization."""

    connection: str
    target: str
    state: DestinationState
    error: ErrorReport


@dataclass(frozen=True)
class MachineReport:
    """One of the machines that share a database."""

    name: str
    is_this_one: bool
    last_seen_at: datetime
    """When it last wrote to the database."""
    destinations: int
    outdated_destinations: int
    """How many of them don’t have the current authorization."""


def machine_reports(machines: Iterable[Machine]) -> tuple[MachineReport, ...]:
    """Machines as scripts read them."""
    return tuple(
        MachineReport(
            each.name,
            each.is_here,
            each.last_seen_at,
            each.destinations,
            each.outdated_destinations,
        )
        for each in machines
    )


@dataclass(frozen=True)
class RemovedDestination:
    """The result of `destination remove`."""

    connection: str
    profile: str
    target: str
    entry: str | None
    field_names: Mapping[str, str]
    field_values: Mapping[str, str]
    reload_command: str | None
    file_mode: str | None
    """The mode that the file gets; null: 0600."""
    file_group: str | None
    """The group that the file gets; null: it keeps its own."""


@dataclass(frozen=True)
class DeliveryReport:
    """The result of `deliver`."""

    destinations: tuple[DestinationDetails, ...]


@dataclass(frozen=True)
class AddedAccess:
    """The result of `access add`."""

    connection: str
    user: str
    uid: int
    socket: str
    """Where their programs ask."""
    is_served: bool
    """The wizard serves, so that they can ask now."""


@dataclass(frozen=True)
class AddedKeyAccess:
    """The result of `access add --ssh-key`."""

    connection: str
    comment: str
    """The key’s comment."""
    fingerprint: str
    authorized_keys: str
    """The line for the file of that name, which lets the key do nothing else."""


@dataclass(frozen=True)
class AccessEntry:
    """A user who may ask for the access tokens of a connection."""

    connection: str
    user: str
    """Their name when they were added."""
    uid: int
    created_at: datetime
    machine: str | None
    """The machine that they’re a user of, if another one."""


@dataclass(frozen=True)
class KeyAccessEntry:
    """An SSH key that may ask for the access tokens of a connection."""

    connection: str
    comment: str
    """The key’s comment when it was added."""
    fingerprint: str
    created_at: datetime


@dataclass(frozen=True)
class AccessList:
    """The result of `access list`."""

    permissions: tuple[AccessEntry, ...]
    keys: tuple[KeyAccessEntry, ...]


@dataclass(frozen=True)
class RemovedAccess:
    """The result of `access remove`."""

    connection: str
    user: str
    uid: int


@dataclass(frozen=True)
class RemovedKeyAccess:
    """The result of `access remove --ssh-key`."""

    connection: str
    fingerprint: str
