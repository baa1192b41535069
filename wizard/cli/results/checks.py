"""Results of `check` and `monitor`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from wizard.cli.results.connections import ConnectionVerification
from wizard.serialization import ErrorReport


@dataclass(frozen=True)
class IncidentReport:
    """One cause, and every connection that fails because of it."""

    key: str
    level: str
    connections: tuple[str, ...]
    suspected_connections: tuple[str, ...]
    """Most likely affected, too; not checked yet."""
    sign_in_as: str | None
    """Who can re-authorize; null if that doesn't help, or isn't known."""
    programs: tuple[str, ...]
    """Destinations that have credentials of these connections."""
    access_tokens_expire_at: datetime | None
    error: ErrorReport


@dataclass(frozen=True)
class CheckReport:
    """The result of `check` and `password-change --check`."""

    connections: tuple[ConnectionVerification, ...]
    incidents: tuple[IncidentReport, ...]


@dataclass(frozen=True)
class MonitorCheck:
    """One line of `monitor`: one check of all connections."""

    at: datetime
    checked: int
    incidents: tuple[IncidentReport, ...]


@dataclass(frozen=True)
class NotificationTest:
    """The result of `monitor --test-notify`."""

    notify_program: str


@dataclass(frozen=True)
class Timer:
    """The result of `monitor --print`."""

    kind: Literal["systemd", "cron"]
    text: str
