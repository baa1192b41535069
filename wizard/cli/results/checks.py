"""Results of `check`, `monitor`, `diagnose`, `reauthorize` and `password-change`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from wizard.cli.results.connections import CheckSummary, ConnectionVerification
from wizard.model import Account, Organization
from wizard.model.states import (
    Activity,
    ConnectionState,
    ItemState,
)
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
    is_of_connections: bool
    """False: only the destinations on this machine were checked, because another process, mostly on
    another machine that shares the database, checks the connections."""


@dataclass(frozen=True)
class NotificationTest:
    """The result of `monitor --test-notify`."""

    notify_program: str


@dataclass(frozen=True)
class Timer:
    """The result of `monitor --print`."""

    kind: Literal["systemd", "cron"]
    text: str


@dataclass(frozen=True)
class DeliveredDestination:
    """A destination after a re-authorization."""

    target: str
    generation: int
    """Of the authorization that was delivered; 0: none."""
    delivered_at: datetime | None
    reloaded_at: datetime | None
    failure: str | None


@dataclass(frozen=True)
class ReauthorizedConnection:
    """One connection of a re-authorization."""

    name: str
    state: ItemState
    is_verified: bool
    generation: int | None
    headline: str | None
    account: Account | None
    organizations: tuple[Organization, ...]
    location: str
    verified_at: datetime | None
    retry_at: datetime | None
    destinations: tuple[DeliveredDestination, ...]
    revoke_at: datetime | None
    """When the replaced refresh token is revoked."""
    undelivered_machines: tuple[str, ...]
    """Other machines that share the database, whose destinations don’t have the new
    authorization yet."""
    error: ErrorReport | None


@dataclass(frozen=True)
class ReauthorizationReport:
    """The result of `reauthorize`, also with `--response`."""

    connections: tuple[ReauthorizedConnection, ...]
    verifications: tuple[ConnectionVerification, ...] = ()
    """With `--response`: connections whose consents came back and that aren't being
    re-authorized."""


@dataclass(frozen=True)
class ConsentRequest:
    """The message to forward to one account owner; the result of `connect --request`."""

    email: str
    names: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class ConsentRequestList:
    """The result of `reauthorize --request`, and of `connect --request` for several connections."""

    requests: tuple[ConsentRequest, ...]


@dataclass(frozen=True)
class AffectedConnectionSummary:
    """A connection that a password change may end."""

    name: str
    state: ConnectionState
    activity: Activity | None
    last_check: CheckSummary | None
    last_refreshed_at: datetime | None


@dataclass(frozen=True)
class AccountRisk:
    """What depends on the password of one account."""

    email: str
    location: str
    connections: tuple[AffectedConnectionSummary, ...]
    client_ids: tuple[str, ...]
    programs: tuple[str, ...]
    message: str
    """What to send to the account owner."""


@dataclass(frozen=True)
class PasswordChangeReport:
    """The result of `password-change`."""

    accounts: tuple[AccountRisk, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class UriDifference:
    """Two redirect URIs, and the parts in which they differ."""

    sent: str
    registered: str
    common_prefix: str
    common_suffix: str


@dataclass(frozen=True)
class DiagnosisReport:
    """The result of `diagnose`."""

    is_explained: bool
    """False: the wizard doesn't know it; the exit code is 1."""
    connection: str
    """The stored connection it is about; empty if there is none for certain."""
    explanation: ErrorReport
    understood: tuple[str, ...]
    """Sentences about what was read."""
    has_secrets: bool
    """The text contained secrets."""
    comparison: UriDifference | None
    excerpt: str
    """The end of the text, masked; empty for a connection."""


@dataclass(frozen=True)
class CodeExplanation:
    """The result of `diagnose --code CODE`."""

    explanation: ErrorReport


@dataclass(frozen=True)
class CodeTitle:
    """A code and its title."""

    code: str
    title: str


@dataclass(frozen=True)
class CodeList:
    """The result of `diagnose --code all`."""

    codes: tuple[CodeTitle, ...]
