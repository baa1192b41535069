"""Results of the commands about this installation and the simulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from wizard.cli.results.connections import Caution, ConnectionVerification
from wizard.cli.results.destinations import DestinationProblem, MachineReport
from wizard.serialization import ErrorReport


@dataclass(frozen=True)
class ServeEvent:
    """One line of `serve`: it is ready, was asked for a new link, or stops.

    `zoho-wizard` without a command prints the first.
    """

    event: Literal["serving", "link", "stopping"]
    base_url: str | None
    """Null if only the sockets are served."""
    browser_link: str | None
    """Works once, for ten minutes; null if a browser was opened."""


@dataclass(frozen=True)
class ServiceUnit:
    """The result of `serve --print`."""

    kind: Literal["systemd"]
    text: str


@dataclass(frozen=True)
class ServiceFile:
    """A file of an installed service."""

    path: str
    text: str
    change: Literal["created", "replaced", "unchanged"]


@dataclass(frozen=True)
class ServiceInstallation:
    """The result of `service install`."""

    scope: Literal["system", "user"]
    is_dry_run: bool
    problem: ErrorReport | None
    """With `--dry-run`: what prevents the installation."""
    files: tuple[ServiceFile, ...]
    commands: tuple[str, ...]
    """What was run; with `--dry-run`, what would be."""


@dataclass(frozen=True)
class ServiceUnitStatus:
    """An installed unit. What systemd says is null if it doesn’t answer."""

    name: str
    path: str
    active_state: str | None
    sub_state: str | None
    enabled_state: str | None
    text: str | None
    """What the service says of itself."""


@dataclass(frozen=True)
class ServiceStatus:
    """The result of `service status`."""

    scope: Literal["system", "user"]
    units: tuple[ServiceUnitStatus, ...]


@dataclass(frozen=True)
class ServiceRemoval:
    """The result of `service remove`."""

    scope: Literal["system", "user"]
    is_dry_run: bool
    files: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class UninstalledPlace:
    """Something of the wizard on this machine."""

    kind: str
    """`data`, `configuration`, `cache`, `key`, `keyring`, `runtime`, `unit` or `user`."""
    location: str
    """A path, the entry of a keyring, or the name of a user."""


@dataclass(frozen=True)
class Uninstallation:
    """The result of `uninstall`."""

    is_dry_run: bool
    places: tuple[UninstalledPlace, ...]
    revoked: tuple[str, ...]
    """The connections whose refresh tokens were revoked, or would be."""
    not_revoked: tuple[str, ...]
    """The connections whose refresh tokens still work at Zoho."""
    destinations: tuple[str, ...]
    """The files and commands that keep the credentials that they have."""
    machine: str | None
    """The name of this machine in a shared database, which keeps it until another machine removes
    it."""


@dataclass(frozen=True)
class SimulatedUser:
    """A user of the simulated Zoho."""

    email: str
    password: str
    location: str
    one_time_code: bool
    """Signing in asks for a one-time code, too."""


@dataclass(frozen=True)
class SimulatorEvent:
    """One line of `simulator` and `demo`: it is ready, was asked for a new link, or stops."""

    event: Literal["serving", "link", "stopping"]
    url: str
    """The value for `ZOHO_WIZARD_SIMULATOR_URL`."""
    admin_url: str
    """The page with its users, clients, clock and request journal."""
    environment: Mapping[str, str]
    """The variables that a program needs; with real host names, also for the proxy."""
    users: tuple[SimulatedUser, ...]
    browser_link: str | None
    """Of `demo`: opens its wizard; works once, for ten minutes."""


@dataclass(frozen=True)
class KeyStatus:
    """How the encryption key is stored."""

    kind: str
    strength: str
    detail: str
    stronger_options: tuple[str, ...]
    """Codes that `diagnose --code` explains."""


@dataclass(frozen=True)
class TokenRequests:
    """A connection with token requests in the last ten minutes."""

    connection: str
    requests: int
    left: int


@dataclass(frozen=True)
class Metrics:
    """The result of `status --metrics`."""

    file: str | None
    """Where they were written; null: they are in `text`."""
    text: str
    """In the text format of Prometheus."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The result of `status`."""

    version: str
    user: str
    zoho_instance: str
    key: KeyStatus | None = None
    """Null if nothing is stored yet."""
    data_dir: str
    config_dir: str
    database: str
    """The path of the file, or the address of a shared database."""
    cache_dir: str
    socket: str | None
    """The owner's socket; null if it isn't served."""
    shared_socket: str | None
    """The socket for other users; null if none has access."""
    browser_profiles: str | None
    base_url: str
    redirect_uri: str
    access_check: str
    is_serving: bool
    """Whether a wizard answers the owner's socket."""
    has_pages: bool
    """Whether it serves the web app, too."""
    last_backup_at: datetime | None = None
    last_backup_on: str | None = None
    """The machine that wrote it, if the database is shared."""
    last_checked_at: datetime | None = None
    last_checked_on: str | None = None
    """The machine whose monitor checked the connections, if the database is shared."""
    machines: tuple[MachineReport, ...] = ()
    """Those that share the database."""
    notify_program: str | None = None
    notify_failed_at: datetime | None = None
    notify_failure: ErrorReport | None = None
    deactivated_at: datetime | None = None
    backup_age_seconds: int | None = None
    connections: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    """How many connections are in each state."""
    oldest_success_at: datetime | None = None
    """When Zoho last accepted the connection that has waited longest for it; null if it never
    accepted one of them."""
    token_requests: tuple[TokenRequests, ...] = ()
    outcome_unknown: tuple[str, ...] = ()
    clients: int = 0
    destinations: int = 0
    destination_problems: tuple[DestinationProblem, ...] = ()
    cautions: tuple[Caution, ...] = ()
    warnings: tuple[Caution, ...] = ()
    """What may fail later, before anything does."""
    unattended: Mapping[str, str] | None
    """With `--unattended`: the variables that it needs without your session."""


@dataclass(frozen=True)
class BackupFile:
    """The result of `backup`."""

    file: str
    created_at: datetime
    is_deactivated: bool
    connections: tuple[str, ...]
    clients: tuple[str, ...]


@dataclass(frozen=True)
class DatabaseInUse:
    """The result of `database use`."""

    database: str
    """Its address, without the user and the options."""
    is_new: bool
    """Its tables were created."""
    key: str
    """Where this machine keeps the key: the path of a file, or the name of a keyring."""
    machine: str
    """The name of this machine."""


@dataclass(frozen=True)
class MachineList:
    """The result of `database machines`; empty if the database isn’t shared."""

    machines: tuple[MachineReport, ...]


@dataclass(frozen=True)
class RemovedMachine:
    """The result of `database machines remove`."""

    name: str


@dataclass(frozen=True)
class GrantedRole:
    """The result of `database grant`."""

    database: str
    role: str


@dataclass(frozen=True)
class DatabaseMove:
    """The result of `database migrate`."""

    is_dry_run: bool
    source: str
    """The path of the file, or the address of a shared database."""
    target: str
    """The same as `source` if everything was there already."""
    connections: int
    """How many were moved; with `--dry-run`, how many would be."""
    clients: int
    authorizations: int
    destinations: int
    history_entries: int


@dataclass(frozen=True)
class ExportedKey:
    """The result of `database export-key`."""

    file: str


@dataclass(frozen=True)
class RotatedKey:
    """The result of `database rotate-encryption-key`."""

    key: str
    """Where this machine keeps the key: the path of a file, or the name of a keyring."""
    sealed_values: int
    """How many values were encrypted again; 0 if an interrupted rotation had done that."""
    completes_earlier: bool
    """An interrupted rotation was completed, and there was no further one."""


@dataclass(frozen=True)
class RecoveredSecret:
    """What a destination gave back after the key was lost."""

    connection: str
    target: str
    error: ErrorReport | None


@dataclass(frozen=True)
class SkippedDestination:
    """A destination of the backup that isn't used from here."""

    connection: str
    profile: str
    target: str
    entry: str
    field_names: Mapping[str, str]
    field_values: Mapping[str, str]
    reload_command: str
    file_mode: str
    file_group: str


@dataclass(frozen=True)
class RestoreReport:
    """The result of `restore`."""

    created_at: datetime
    host: str
    restored: tuple[str, ...]
    already_present: tuple[str, ...]
    recovered: tuple[RecoveredSecret, ...]
    verifications: tuple[ConnectionVerification, ...]
    not_verified: tuple[str, ...]
    """They wait for Zoho's rate limit."""
    to_authorize: tuple[str, ...]
    skipped_destinations: tuple[SkippedDestination, ...]
    cautions: tuple[Caution, ...]


@dataclass(frozen=True)
class SharedGrantsForgotten:
    """The result of `restore --source-gone` without a file."""

    grants: int


@dataclass(frozen=True)
class CompletionScript:
    """The result of `completion`."""

    shell: str
    script: str


@dataclass(frozen=True)
class SchemaList:
    """The result of `schema` without a command."""

    schemas: tuple[str, ...]
