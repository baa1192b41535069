"""What is known about a failure when it is judged; whatever nobody knows is None or empty.

Evidence is gathered by asking (`wizard.diagnosis.gathering`) or read from what a person pasted;
judging it asks nobody.
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
    TokenRequest,
    VerificationReport,
)
from wizard.store import GrantRecord


class Origin(StrEnum):
    """Where a failure was met."""

    CONSENT = "consent"
    """On a page of Zoho's, before anybody came back."""
    CALLBACK = "callback"
    EXCHANGE = "exchange"
    REFRESH = "refresh"
    CLIENT = "client"
    """A pre-flight, or any token request that did not get as far as its code or token."""
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
    """Whole, but with a blank or line end within or around."""
    CLIENT_ID = "client-id"
    CLIENT_SECRET = "client-secret"  # noqa: S105 a shape, no secret
    WITH_QUERY = "with-query"
    """More of the callback's address follows the code, as in ``…&location=eu``."""
    OTHER = "other"


class StoredTokenKind(StrEnum):
    """What a pasted token is, known because it equals one that is stored."""

    REFRESH_TOKEN = "refresh-token"  # noqa: S105 a kind, no secret
    ACCESS_TOKEN = "access-token"  # noqa: S105 a kind, no secret


@dataclass(frozen=True)
class SentRequest:
    """What is known of the request that was refused, as when it was pasted. Never a secret."""

    location: str = ""
    """The data centre it went to."""
    method: str = ""
    content_type: str = ""
    grant_type: str = ""
    client_id: str = ""
    has_whitespace_in_client_id: bool = False
    """A blank or line end stood in it or at its ends."""
    redirect_uri: str = ""
    parameters: frozenset[str] | None = None
    """Names of the parameters; None where the request is not known."""
    token_format: TokenFormat | None = None
    stored_token_kind: StoredTokenKind | None = None
    secret_format: TokenFormat | None = None
    secret_locations: frozenset[str] | None = None
    """The data centres whose stored secret it is; None where there is nothing to compare."""
    access_token_age: timedelta | None = None
    """How old the access token was when it was refused, by the answer's own date."""
    code_location: str = ""
    """The data centre that the callback named with the code."""
    code_client_id: str = ""
    """The client that the consent was asked for."""
    is_code_repeated: bool = False
    """The same code was sent more than once."""
    is_offline: bool | None = None
    """The consent was asked for with ``access_type=offline``; None where that is not known."""
    has_consent_prompt: bool | None = None
    """It was asked for with ``prompt=consent``."""
    has_code_challenge: bool | None = None
    """The consent was asked for with a ``code_challenge``; None where that is not known."""
    is_verifier_valid: bool | None = None
    """The ``code_verifier`` that was sent belongs to the challenge; None: not both are known."""
    required_scope: str = ""
    """The scope that the call wants, as far as the product's documentation tells."""


@dataclass(frozen=True)
class ProbeResult:
    """What one ask of this diagnosis was answered; `failure` None: it was answered as wished."""

    failure: Failure | None = None

    @property
    def is_success(self) -> bool:
        """Whether it was answered as wished."""
        return self.failure is None


@dataclass(frozen=True)
class Evidence:
    """Everything a judge may weigh."""

    failure: Failure | None = None
    """None: nothing failed, or nothing is known to have."""
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
    """What other connections of the same account or the same client have lived through."""
    working_connections: frozenset[str] = frozenset()
    """Connections among the kin whose token was just now seen to work."""
    rejected_connections: frozenset[str] = frozenset()
    """Connections among the kin whose living access token Zoho refused just now."""
    requests: tuple[TokenRequest, ...] = ()
    """Asks for the same client within the last hour, newest first."""

    clock_skew: timedelta | None = None
    """This computer's clock minus Zoho's."""
    client_verdicts: Mapping[str, str] = field(default_factory=dict)
    """What data centres say about the client: location → ``valid``, ``wrong-secret``,
    ``known-here`` or ``unknown-client``."""
    has_searched_everywhere: bool = False
    """Whether every data centre was asked for the client."""
    refresh_result: ProbeResult | None = None
    """Whether the refresh token gave an access token, asked just now."""
    as_access_token_result: ProbeResult | None = None
    """Whether what is stored as refresh token was taken as an access token."""
    access_token_expires_at: datetime | None = None
    """End of the life of the access token that was refused or is cached."""
    user_info_result: ProbeResult | None = None
    """Who the access token belongs to, asked at the accounts server."""
    read_result: ProbeResult | None = None
    """One cheap read from the product."""
    answers: tuple[str, ...] = ()
    """What a person has answered to the questions so far: codes of causes, or of a denial."""

    details: Mapping[str, str] = field(default_factory=dict)
    """What the words need beside the failure's own details: names and addresses, no secret."""
