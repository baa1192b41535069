"""Results of the commands about this installation and the simulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from wizard.cli.results.connections import Caution, ConnectionVerification
from wizard.cli.results.destinations import DestinationProblem
from wizard.serialization import ErrorReport


@dataclass(frozen=True)
class ServeEvent:
    """One line of `serve`: it is ready, was asked for a new link, or stops.

    `zoho-wizard` without a command prints the first.
    """

    event: Literal["serving", "link", "stopping"]
    base_url: str
    browser_link: str | None
    """Works once, for ten minutes; null if a browser was opened."""


@dataclass(frozen=True)
class ServiceUnit:
    """The result of `serve --print`."""

    kind: Literal["systemd"]
    text: str


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
    last_backup_at: datetime | None = None
    last_checked_at: datetime | None = None
    notify_program: str | None = None
    notify_failed_at: datetime | None = None
    notify_failure: ErrorReport | None = None
    deactivated_at: datetime | None = None
    connections: int = 0
    outcome_unknown: tuple[str, ...] = ()
    clients: int = 0
    destinations: int = 0
    destination_problems: tuple[DestinationProblem, ...] = ()
    cautions: tuple[Caution, ...] = ()
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
