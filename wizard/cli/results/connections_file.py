"""Results of `plan`, `apply` and `export-config`."""

from dataclasses import dataclass

from wizard.cli.results.checks import ReauthorizedConnection
from wizard.connections_file.plan import (
    AccessChange,
    ClientChange,
    ConnectionChange,
    Consent,
    DestinationChange,
    Difference,
)
from wizard.serialization import ErrorReport


@dataclass(frozen=True)
class PlannedConsents:
    """Connections that one account approves one after the other, with one client."""

    account: str
    """Who must sign in; empty if any account may."""
    location: str
    client: str
    connections: tuple[str, ...]
    wait_seconds: int
    """Until the last of these consents can start."""


@dataclass(frozen=True)
class PlannedDelivery:
    """A destination that gets credentials."""

    connection: str
    target: str
    entry: str


@dataclass(frozen=True)
class FailedPart:
    """A part of the file that isn't applied, and why."""

    path: str
    error: ErrorReport


@dataclass(frozen=True)
class UnmanagedParts:
    """What is stored but isn't in the file."""

    connections: tuple[str, ...]
    destinations: tuple[PlannedDelivery, ...]
    access: tuple[AccessChange, ...]
    clients: tuple[str, ...]


@dataclass(frozen=True)
class FilePlanReport:
    """The result of `plan`."""

    has_changes: bool
    clients: tuple[ClientChange, ...]
    connections: tuple[ConnectionChange, ...]
    destinations: tuple[DestinationChange, ...]
    access: tuple[AccessChange, ...]
    monitor: Difference | None
    consents: tuple[Consent, ...]
    requested: tuple[Consent, ...]
    """Consents whose link was forwarded, and that the account owner hasn't answered yet."""
    sign_ins: int
    groups: tuple[PlannedConsents, ...]
    """The consents in order."""
    wait_seconds: int
    """Until the last consent can start, because of Zoho's limits."""
    deliveries: tuple[PlannedDelivery, ...]
    declined: tuple[FailedPart, ...]
    warnings: tuple[FailedPart, ...]
    """What is applied, but may be a mistake."""
    unmanaged: UnmanagedParts
    prune: bool
    """What is unmanaged is removed."""


@dataclass(frozen=True)
class ApplyReport:
    """The result of `apply`."""

    plan: FilePlanReport
    """What differed before."""
    connections: tuple[ReauthorizedConnection, ...]
    """Those that needed a consent."""
    deliveries: tuple[PlannedDelivery, ...]
    """Those that needed no consent."""
    failed: tuple[FailedPart, ...]
    """Deliveries and removals that failed."""
    removed: UnmanagedParts | None


@dataclass(frozen=True)
class ExportedConfiguration:
    """The result of `export-config`."""

    text: str
    """The connections file, in TOML."""
