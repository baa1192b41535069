"""Results of `reauthorize` and `password-change`."""

from dataclasses import dataclass
from datetime import datetime

from wizard.cli.results.connections import CheckSummary
from wizard.model import Account, Organization
from wizard.model.states import (
    Activity,
    ConnectionState,
    ItemState,
)
from wizard.serialization import ErrorReport


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
