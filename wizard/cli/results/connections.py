"""Results of the commands about connections and clients, and the cautions in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from wizard.cli.results.destinations import DestinationProblem, MachineReport
from wizard.model import Account, Event, Explanation, Organization, StepState
from wizard.model.states import (
    Activity,
    ConnectionState,
    ConnectionStatus,
)
from wizard.serialization import ErrorReport, commands_of


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
    owner: str
    """Who is responsible for it, as the user wrote it; empty if nobody is named."""
    tags: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class ConnectionList:
    """The result of `list`."""

    connections: tuple[ConnectionSummary, ...]
    last_checked_at: datetime | None
    """When all connections were last checked by `monitor`."""
    destination_problems: tuple[DestinationProblem, ...]
    """Destinations on this machine whose programs may not use the current authorization."""
    outdated_machines: tuple[MachineReport, ...] = ()
    """Other machines that share the database, with destinations that don’t have it."""


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
class EvidenceResult:
    """One observation of a step."""

    code: str
    values: Mapping[str, str]
    label: str
    """What was observed, in words."""
    text: str
    """The observation, in words."""


@dataclass(frozen=True)
class StepResult:
    """One step of a verification."""

    name: str
    state: StepState
    evidence: tuple[EvidenceResult, ...]
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
    unknown_scope: tuple[str, ...]
    """Scopes that Zoho may have added to the refresh token; the next refresh decides."""
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
    owner: str
    """Who is responsible for it, as the user wrote it; empty if nobody is named."""
    tags: tuple[str, ...]
    note: str


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
    organization_id: str
    """Empty if it is unknown."""


@dataclass(frozen=True)
class Sample:
    """The result of `sample`."""

    language: str
    code: str


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
class FoundFile:
    """Where `import` found a refresh token."""

    path: str
    entry: str
    """Its name in the file; empty if it has none."""
    profile: str
    """How the file was read; empty: by the meaning of its names."""


@dataclass(frozen=True)
class SkippedFile:
    """A file or directory that `import` found but didn’t read, or didn’t understand."""

    path: str
    reason: Literal[
        "unreadable", "link-outside", "other-file-system", "too-deep", "too-many", "unknown-format"
    ]
    detail: str


@dataclass(frozen=True)
class FoundConnection:
    """A refresh token that `import` found in one file or several."""

    name: str
    """Of the connection that it becomes, or that it is stored as."""
    state: Literal["found", "imported", "already_stored", "waiting", "failed"]
    """`found`: Zoho accepts it, and it isn’t stored. `waiting`: its test was
    delayed by a rate limit, or stopped."""
    client_id: str
    client_name: str
    """Of the stored client; empty if it isn’t stored."""
    email: str
    """Of the account; empty if its scopes don’t include it."""
    location: str
    """Empty if it isn’t known yet."""
    scope: tuple[str, ...]
    files: tuple[FoundFile, ...]
    """Every place where it was found."""
    retry_at: datetime | None
    verification: ConnectionVerification | None
    error: ErrorReport | None


@dataclass(frozen=True)
class ImportReport:
    """The result of `import` for directories, patterns or several files."""

    is_dry_run: bool
    connections: tuple[FoundConnection, ...]
    skipped: tuple[SkippedFile, ...]
    """What was found but not read."""


@dataclass(frozen=True)
class RenamedConnection:
    """The result of `rename`."""

    name: str
    previous_name: str


@dataclass(frozen=True)
class EditedConnection:
    """The result of `edit`."""

    name: str
    owner: str
    tags: tuple[str, ...]
    note: str


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
class ExportedClient:
    """The result of `client export`."""

    file: str
    client_id: str
    name: str
    redirect_uri: str | None
    """Null for a Self Client."""
    secret_locations: tuple[str, ...]
    presets: tuple[str, ...]
    """Suggested for a colleague's first connection."""


@dataclass(frozen=True)
class ImportedClient:
    """The result of `client import`."""

    client: ClientDetails
    presets: tuple[str, ...]
    """Suggested for the first connection."""


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
