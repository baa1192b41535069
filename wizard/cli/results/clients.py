"""Results of `client`."""

from dataclasses import dataclass
from datetime import datetime

from wizard.serialization import ErrorReport


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
