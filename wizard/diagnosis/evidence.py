"""What is known about a failure. Unknown values are None or empty.

Evidence is gathered by requests (`wizard.diagnosis.probes`), from the store
(`wizard.diagnosis.stored_evidence`), or from a pasted text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from wizard.model import (
    Attempt,
    Client,
    Connection,
    Failure,
    Grant,
    RequestKind,
    TokenRequest,
    VerificationReport,
)
from wizard.store import GrantRecord
from wizard.tokens.budgets import WINDOW


class Origin(StrEnum):
    """Where a failure occurred."""

    CONSENT = "consent"
    """On one of Zoho's pages, before a callback."""
    CALLBACK = "callback"
    EXCHANGE = "exchange"
    REFRESH = "refresh"
    CLIENT = "client"
    """A pre-flight, or a token request that failed before its code or token was looked at."""
    PRODUCT = "product"
    SIGN_IN = "sign-in"
    STORE = "store"
    NETWORK = "network"
    UNKNOWN = ""


class TokenFormat(StrEnum):
    """What a pasted token looks like."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    QUOTED = "quoted"
    WITH_WHITESPACE = "with-whitespace"
    """Complete, but with a space or line end within or around it."""
    CLIENT_ID = "client-id"
    CLIENT_SECRET = "client-secret"  # noqa: S105 a shape, no secret
    WITH_QUERY = "with-query"
    """More of the callback URL follows the code, as in ``…&location=eu``."""
    OTHER = "other"


class StoredTokenKind(StrEnum):
    """What a pasted token is, if it equals a stored one."""

    REFRESH_TOKEN = "refresh-token"  # noqa: S105 a kind, no secret
    ACCESS_TOKEN = "access-token"  # noqa: S105 a kind, no secret


@dataclass(frozen=True)
class SentRequest:
    """What is known about the rejected request, such as a pasted one. Never a secret."""

    location: str = ""
    """The data center it was sent to."""
    method: str = ""
    content_type: str = ""
    grant_type: str = ""
    client_id: str = ""
    has_whitespace_in_client_id: bool = False
    """A space or line end was in it or around it."""
    redirect_uri: str = ""
    parameters: frozenset[str] | None = None
    """Names of the parameters; None if the request is unknown."""
    token_format: TokenFormat | None = None
    stored_token_kind: StoredTokenKind | None = None
    secret_format: TokenFormat | None = None
    secret_locations: frozenset[str] | None = None
    """The data centers whose stored secret it is; None if there is nothing to compare."""
    access_token_age: timedelta | None = None
    """The age of the access token when it was rejected, by the response's own date."""
    code_location: str = ""
    """The data center that the callback named with the code."""
    code_client_id: str = ""
    """The client of the authorization request."""
    is_code_repeated: bool = False
    """The same code was sent more than once."""
    is_offline: bool | None = None
    """The authorization request had ``access_type=offline``; None if it is unknown."""
    has_consent_prompt: bool | None = None
    """It had ``prompt=consent``."""
    has_code_challenge: bool | None = None
    """It had a ``code_challenge``; None if it is unknown."""
    is_verifier_valid: bool | None = None
    """The ``code_verifier`` matches the challenge; None if not both are known."""
    required_scope: str = ""
    """The scope that the call needs, according to the product's documentation."""


@dataclass(frozen=True)
class ProbeResult:
    """The result of one request of this diagnosis; `failure` None: it succeeded."""

    failure: Failure | None = None

    @property
    def is_success(self) -> bool:
        """Whether it succeeded."""
        return self.failure is None


@dataclass(frozen=True)
class Evidence:
    """Everything that is known about a failure."""

    failure: Failure | None = None
    """None: nothing failed, as far as is known."""
    now: datetime | None = None
    origin: Origin = Origin.UNKNOWN
    product: str = ""
    sent_request: SentRequest = SentRequest()

    connection: Connection | None = None
    client: Client | None = None
    grant: Grant | None = None
    report: VerificationReport | None = None
    attempt: Attempt | None = None
    grant_record: GrantRecord | None = None
    related_grants: tuple[GrantRecord, ...] = ()
    """Grants of other connections with the same account or client."""
    working_connections: frozenset[str] = frozenset()
    """Related connections whose token has just worked."""
    rejected_connections: frozenset[str] = frozenset()
    """Related connections whose valid access token Zoho has just rejected."""
    requests: tuple[TokenRequest, ...] = ()
    """Requests for the same client within the last hour, newest first."""

    clock_skew: timedelta | None = None
    """This computer's clock minus Zoho's."""
    client_verdicts: Mapping[str, str] = field(default_factory=dict)
    """The verdicts of data centers about the client: location → ``valid``, ``wrong-secret``,
    ``known-here`` or ``unknown-client``."""
    has_searched_everywhere: bool = False
    """Whether every data center was asked about the client."""
    refresh_result: ProbeResult | None = None
    """Whether the refresh token has just yielded an access token."""
    as_access_token_result: ProbeResult | None = None
    """Whether the stored refresh token was accepted as an access token."""
    access_token_expires_at: datetime | None = None
    """When the rejected or cached access token expires."""
    user_info_result: ProbeResult | None = None
    """The accounts server's response about the token's account."""
    read_result: ProbeResult | None = None
    """One cheap read of the product."""
    answers: tuple[str, ...] = ()
    """The user's answers so far: codes of causes, or a denial."""

    details: Mapping[str, str] = field(default_factory=dict)
    """Values for the sentences in addition to the failure's own details. Never a secret."""

    @property
    def recent_requests(self) -> tuple[TokenRequest, ...]:
        """The requests within the window in which Zoho counts."""
        if self.now is None:
            return ()
        return tuple(each for each in self.requests if each.at > self.now - WINDOW)

    @property
    def recent_authorizations(self) -> int:
        """How many authorizations began with the client within that window."""
        return sum(each.kind is RequestKind.AUTHORIZATION for each in self.recent_requests)
