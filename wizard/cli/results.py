"""What each command prints with ``--json``: one dataclass per result; its fields are the JSON keys.

Times are UTC in ISO 8601 with their offset, enumerations are their codes, and a list stays a list
whatever it holds. `RESULTS` says which command has which result. The JSON Schemas in
``wizard/schemas`` are generated from these types by ``make schemas``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from wizard.model import Account, Event, Explanation, Organization, StepState
from wizard.model.states import (
    Activity,
    ConnectionState,
    ConnectionStatus,
    DestinationState,
    ItemState,
)
from wizard.serialization import ErrorReport, commands_of
from wizard.tokens.api_access import TokenDocument


@dataclass(frozen=True)
class ErrorDocument:
    """The last line on stderr of a command that failed before it had a result."""

    error: ErrorReport


@dataclass(frozen=True)
class Caution:
    """Something that may go wrong later, and what prevents it."""

    code: str
    title: str
    cause: str
    fix: str
    commands: tuple[str, ...]


def caution_of(explanation: Explanation) -> Caution:
    """A caution as scripts read it."""
    return Caution(
        explanation.code,
        explanation.title,
        explanation.cause,
        explanation.fix,
        commands_of(explanation),
    )


# connections


@dataclass(frozen=True)
class CheckSummary:
    """When a connection was last verified or checked, and what that found."""

    at: datetime
    outcome: str
    """`ok`, or the code of the failure."""


def status_fields(status: ConnectionStatus) -> dict[str, Any]:
    """The fields `state`, `activity` and `last_check` of a result about a connection."""
    check = status.last_check
    last_check = CheckSummary(check.at, check.outcome) if check else None
    return {"state": status.state, "activity": status.activity, "last_check": last_check}


@dataclass(frozen=True)
class ConnectionSummary:
    """One connection of `list`."""

    name: str
    client_id: str
    generation: int
    """Of the current authorization; 0 if there is none."""
    state: ConnectionState
    activity: Activity | None
    last_check: CheckSummary | None
    account: Account | None
    organizations: tuple[Organization, ...]
    location: str | None
    """The data center; null if it isn't known yet."""
    last_refreshed_at: datetime | None


@dataclass(frozen=True)
class ConnectionList:
    """The result of `list`."""

    connections: tuple[ConnectionSummary, ...]
    last_checked_at: datetime | None
    """When all connections were last checked by `monitor`."""


@dataclass(frozen=True)
class AccountConnection:
    """One connection of an account."""

    name: str
    state: ConnectionState
    activity: Activity | None
    last_check: CheckSummary | None
    client: str
    """The name of its client."""
    destinations: tuple[str, ...]


@dataclass(frozen=True)
class AccountConnections:
    """The connections that depend on one sign-in."""

    account: str | None
    """The email address; null if nobody has consented yet."""
    location: str | None
    connections: tuple[AccountConnection, ...]


@dataclass(frozen=True)
class AccountList:
    """The result of `list --by account`."""

    accounts: tuple[AccountConnections, ...]


@dataclass(frozen=True)
class GrantSummary:
    """One authorization of a connection, current or past."""

    generation: int
    state: str
    scope: tuple[str, ...]
    location: str
    granted_at: datetime
    account: Account | None
    organizations: tuple[Organization, ...]
    failure: str | None
    """The code of the failure that ended it."""


@dataclass(frozen=True)
class StepResult:
    """One step of a verification."""

    name: str
    state: StepState
    evidence: Mapping[str, str]
    at: datetime
    failure: str | None
    """The code of what failed."""


@dataclass(frozen=True)
class VerificationSummary:
    """The last verification or check of an authorization."""

    generation: int
    started_at: datetime
    finished_at: datetime | None
    steps: tuple[StepResult, ...]


@dataclass(frozen=True)
class TokenRequestSummary:
    """One request to an accounts server."""

    kind: str
    at: datetime
    outcome: str
    """`success`, `pending`, or the code of the failure."""
    retry_at: datetime | None


@dataclass(frozen=True)
class RequestBudget:
    """The token requests of the last ten minutes, and how many are left."""

    requests: tuple[TokenRequestSummary, ...]
    token_requests_left: int
    deferrable_requests_left: int
    """Of these, for what can wait, such as a diagnosis."""
    next_request_at: datetime | None
    authorizations_left: int
    refresh_token_count: int
    """Working refresh tokens of this user and client; Zoho keeps 20."""
    is_near_refresh_token_limit: bool
    is_counted_by_client: bool
    client_requests_left: int


@dataclass(frozen=True)
class ConnectionDetails:
    """The result of `show`."""

    name: str
    client_id: str
    client_name: str
    scope: tuple[str, ...]
    location: str | None
    api_domain: str | None
    generation: int
    state: ConnectionState
    activity: Activity | None
    last_check: CheckSummary | None
    headline: str | None
    grants: tuple[GrantSummary, ...]
    verification: VerificationSummary | None
    request_budget: RequestBudget
    history: tuple[Event, ...]
    cautions: tuple[Caution, ...]


@dataclass(frozen=True)
class RevealedCredentials:
    """The result of `show --reveal`. It contains secrets."""

    client_id: str
    client_secret: str
    refresh_token: str
    accounts_server: str
    api_domain: str
    data_center: str
    """The ending of Zoho's host names there, such as `eu` or `com.au`."""
    scope: str
    """Joined by commas."""


@dataclass(frozen=True)
class ConnectionVerification:
    """The result of verifying or checking one connection: of `connect`, and part of others."""

    name: str
    is_verified: bool
    generation: int | None
    state: ConnectionState
    activity: Activity | None
    last_check: CheckSummary | None
    headline: str | None
    account: Account | None
    organizations: tuple[Organization, ...]
    steps: tuple[StepResult, ...]
    error: ErrorReport | None


@dataclass(frozen=True)
class ImportedConnection:
    """The result of `import`."""

    name: str
    profile: str
    """How the file was read; empty: by the meaning of its names."""
    entry: str
    found: Mapping[str, str]
    """The values found, without secrets."""
    location: str
    scope: tuple[str, ...]
    verification: ConnectionVerification


@dataclass(frozen=True)
class RenamedConnection:
    """The result of `rename`."""

    name: str
    previous_name: str


@dataclass(frozen=True)
class OpenedPage:
    """The result of `open`: printed before it waits, if it has to serve the page."""

    name: str
    url: str
    browser_link: str | None
    """Works once, for ten minutes; null if a browser was opened."""


@dataclass(frozen=True)
class RevokedConnection:
    """The result of `revoke`."""

    name: str
    revoked_generations: tuple[int, ...]


@dataclass(frozen=True)
class RemovedConnection:
    """The result of `remove`."""

    name: str
    revoked_generations: tuple[int, ...]
    kept_generations: tuple[int, ...]
    """Authorizations that still work at Zoho."""
    destinations: tuple[str, ...]
    """Where its credentials stay."""


# clients


@dataclass(frozen=True)
class RefreshTokenCount:
    """Working refresh tokens of one user and client."""

    zuid: str
    email: str
    count: int


@dataclass(frozen=True)
class ClientDetails:
    """A client: the result of `client show` and `client add`."""

    client_id: str
    name: str
    location: str
    redirect_uri: str | None
    """Null for a Self Client."""
    secret_locations: tuple[str, ...]
    has_common_secret: bool
    connections: tuple[str, ...]
    refresh_tokens: tuple[RefreshTokenCount, ...]
    created_at: datetime | None


@dataclass(frozen=True)
class ClientList:
    """The result of `client list`."""

    clients: tuple[ClientDetails, ...]


@dataclass(frozen=True)
class ClientSecretCheck:
    """Whether one secret of a client is right."""

    client_id: str
    location: str
    error: ErrorReport | None


@dataclass(frozen=True)
class ClientCheckList:
    """The result of `client check`."""

    checks: tuple[ClientSecretCheck, ...]


@dataclass(frozen=True)
class RemovedClient:
    """The result of `client remove`."""

    client_id: str


# checks and re-authorization


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


@dataclass(frozen=True)
class UriDifference:
    """Two redirect URIs, and the parts in which they differ."""

    sent: str
    registered: str
    common_prefix: str
    common_suffix: str


@dataclass(frozen=True)
class Diagnosis:
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
    error: ErrorReport | None


@dataclass(frozen=True)
class ReauthorizationReport:
    """The result of `reauthorize`, also with `--response`."""

    connections: tuple[ReauthorizedConnection, ...]


@dataclass(frozen=True)
class ConsentRequest:
    """The message to forward to one account owner."""

    email: str
    names: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class ConsentRequestList:
    """The result of `reauthorize --request`."""

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


# destinations and access


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
    reload_command: str | None
    generation: int | None
    """Of the authorization that was delivered last."""
    delivered_at: datetime | None
    reloaded_at: datetime | None
    """When the reload command succeeded after that; null: it isn't known to be in use."""
    error: ErrorReport | None
    """Why the last delivery, or the reload after it, failed."""


@dataclass(frozen=True)
class DeliveryPreviewReport:
    """The result of `destination add --dry-run`."""

    connection: str
    profile: str
    target: str
    entry: str | None
    field_names: Mapping[str, str]
    reload_command: str | None
    generation: int
    is_new: bool
    """The file doesn't exist yet."""
    mode: str | None
    """The file's mode, if it would change to 0600."""
    owner: str | None
    """The file's owner, if that is another user."""
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
    reload_command: str | None
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
class RemovedDestination:
    """The result of `destination remove`."""

    connection: str
    profile: str
    target: str
    entry: str | None
    field_names: Mapping[str, str]
    reload_command: str | None


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
class AccessEntry:
    """A user who may ask for the access tokens of a connection."""

    connection: str
    user: str
    """Their name when they were added."""
    uid: int
    created_at: datetime


@dataclass(frozen=True)
class AccessList:
    """The result of `access list`."""

    permissions: tuple[AccessEntry, ...]


@dataclass(frozen=True)
class RemovedAccess:
    """The result of `access remove`."""

    connection: str
    user: str
    uid: int


# this installation


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
class Status:
    """The result of `status`."""

    version: str
    user: str
    zoho_instance: str
    key: KeyStatus
    data_dir: str
    config_dir: str
    database: str
    browser_profiles: str | None
    base_url: str
    redirect_uri: str
    access_check: str
    is_serving: bool
    last_backup_at: datetime | None
    last_checked_at: datetime | None
    notify_program: str | None
    notify_failed_at: datetime | None
    notify_failure: ErrorReport | None
    deactivated_at: datetime | None
    connections: int
    outcome_unknown: tuple[str, ...]
    clients: int
    cautions: tuple[Caution, ...]
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


RESULTS: Mapping[str, tuple[Any, ...]] = {
    "token": (TokenDocument,),
    "error": (ErrorDocument,),
    "connect": (ConnectionVerification,),
    "list": (ConnectionList, AccountList),
    "show": (ConnectionDetails, RevealedCredentials),
    "import": (ImportedConnection,),
    "rename": (RenamedConnection,),
    "open": (OpenedPage,),
    "revoke": (RevokedConnection,),
    "remove": (RemovedConnection,),
    "client list": (ClientList,),
    "client show": (ClientDetails,),
    "client add": (ClientDetails,),
    "client check": (ClientCheckList,),
    "client set-secret": (ClientDetails,),
    "client remove": (RemovedClient,),
    "destination add": (DestinationDetails, DeliveryPreviewReport),
    "destination list": (DestinationList,),
    "destination status": (DestinationStatusList,),
    "destination undo": (DestinationDetails,),
    "destination remove": (RemovedDestination,),
    "deliver": (DeliveryReport,),
    "access add": (AddedAccess,),
    "access list": (AccessList,),
    "access remove": (RemovedAccess,),
    "check": (CheckReport,),
    "monitor": (MonitorCheck, NotificationTest, Timer),
    "diagnose": (Diagnosis, CodeExplanation, CodeList),
    "reauthorize": (ReauthorizationReport, ConsentRequestList),
    "password-change": (PasswordChangeReport, CheckReport),
    "serve": (ServeEvent,),
    "simulator": (SimulatorEvent,),
    "demo": (SimulatorEvent,),
    "status": (Status,),
    "backup": (BackupFile,),
    "restore": (RestoreReport, SharedGrantsForgotten),
    "completion": (CompletionScript,),
    "schema": (SchemaList, dict[str, Any]),
}
"""The results of each command; ``error`` is that of every command that fails without one.

``run`` has none: it becomes the command that it runs.
"""
