"""The result of `access ssh`, which the wizard of another machine reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from wizard.cli.results.checks import CheckReport
from wizard.cli.results.connections import ConnectionDetails, ConnectionList


@dataclass(frozen=True)
class ServedToken:
    """An access token, and what the other machine prints of it."""

    access_token: str = field(repr=False)
    generation: int
    """Of the authorization."""
    expires_in: int
    """Seconds."""
    document: str = field(repr=False)
    """The result of `token`, with 0 for the seconds left."""
    variables: Mapping[str, str]
    """The environment variables that `run` sets in addition to the token."""


@dataclass(frozen=True)
class KeyRefusal:
    """Why there is no answer. It contains nothing about this installation."""

    code: str
    details: Mapping[str, str]
    temporary: bool
    """Waiting or trying again may help."""
    retry_at: datetime | None


@dataclass(frozen=True)
class KeyAnswer:
    """The answer to one request; one of the last three isn't null."""

    protocol: int
    zoho: str
    """Which Zoho the connections belong to: `live`, or a simulator’s URL."""
    token: ServedToken | None = None
    report: ConnectionList | ConnectionDetails | CheckReport | None = None
    """What `list`, `show` or `check` prints, only about connections that the key can use."""
    error: KeyRefusal | None = None
