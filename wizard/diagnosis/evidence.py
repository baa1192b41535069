"""What is known about a failure when it is judged; whatever nobody knows is None or empty.

Evidence is gathered by asking (`wizard.diagnosis.gathering`) or read from what a person pasted;
judging it asks nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from wizard.model import (
    Ask,
    Attempt,
    Client,
    Connection,
    Failure,
    Grant,
    Receipt,
)
from wizard.store import Life


class Met(StrEnum):
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


class Shape(StrEnum):
    """What a pasted token looks like."""

    WHOLE = "whole"
    TRUNCATED = "truncated"
    QUOTED = "quoted"
    BLANK = "blank"
    """Whole, but with a blank or line end within or around."""
    CLIENT_ID = "client-id"
    CLIENT_SECRET = "client-secret"  # noqa: S105 a shape, no secret
    WITH_QUERY = "with-query"
    """More of the callback's address follows the code, as in ``…&location=eu``."""
    OTHER = "other"


class Holder(StrEnum):
    """What a pasted token is, known because it equals one that is stored."""

    REFRESH_TOKEN = "refresh-token"  # noqa: S105 a kind, no secret
    ACCESS_TOKEN = "access-token"  # noqa: S105 a kind, no secret


@dataclass(frozen=True)
class Sent:
    """What is known of the request that was refused, as when it was pasted. Never a secret."""

    location: str = ""
    """The data centre it went to."""
    method: str = ""
    content_type: str = ""
    grant_type: str = ""
    client_id: str = ""
    client_id_blank: bool = False
    """A blank or line end stood in it or at its ends."""
    redirect_uri: str = ""
    parameters: frozenset[str] | None = None
    """Names of the parameters; None where the request is not known."""
    token_shape: Shape | None = None
    token_is: Holder | None = None
    secret_shape: Shape | None = None
    secret_of: frozenset[str] | None = None
    """The data centres whose stored secret it is; None where there is nothing to compare."""
    age: timedelta | None = None
    """How old the access token was when it was refused, by the answer's own date."""
    code_location: str = ""
    """The data centre that the callback named with the code."""
    code_client_id: str = ""
    """The client that the consent was asked for."""
    code_repeated: bool = False
    """The same code was sent more than once."""
    offline: bool | None = None
    """The consent was asked for with ``access_type=offline``; None where that is not known."""
    consent_asked: bool | None = None
    """It was asked for with ``prompt=consent``."""
    challenge: bool | None = None
    """The consent was asked for with a ``code_challenge``; None where that is not known."""
    verifier_fits: bool | None = None
    """The ``code_verifier`` that was sent belongs to the challenge; None: not both are known."""
    scope_needed: str = ""
    """The scope that the call wants, as far as the product's documentation tells."""


@dataclass(frozen=True)
class Heard:
    """What one ask of this diagnosis was answered; `failure` None: it was answered as wished."""

    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether it was answered as wished."""
        return self.failure is None


@dataclass(frozen=True)
class Evidence:
    """Everything a judge may weigh."""

    failure: Failure | None = None
    """None: nothing failed, or nothing is known to have."""
    now: datetime | None = None
    met: Met = Met.UNKNOWN
    product: str = ""
    sent: Sent = Sent()

    connection: Connection | None = None
    client: Client | None = None
    grant: Grant | None = None
    receipt: Receipt | None = None
    attempt: Attempt | None = None
    life: Life | None = None
    kin: tuple[Life, ...] = ()
    """What other connections of the same account or the same client have lived through."""
    alive: frozenset[str] = frozenset()
    """Connections among the kin whose token was just now seen to work."""
    refused: frozenset[str] = frozenset()
    """Connections among the kin whose living access token Zoho refused just now."""
    asks: tuple[Ask, ...] = ()
    """Asks for the same client within the last hour, newest first."""

    skew: timedelta | None = None
    """This computer's clock minus Zoho's."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """What data centres say about the client: location → ``valid``, ``wrong-secret``,
    ``known-here`` or ``unknown-client``."""
    searched: bool = False
    """Whether every data centre was asked for the client."""
    refresh: Heard | None = None
    """Whether the refresh token gave an access token, asked just now."""
    as_access_token: Heard | None = None
    """Whether what is stored as refresh token was taken as an access token."""
    access_token_until: datetime | None = None
    """End of the life of the access token that was refused or is cached."""
    user_info: Heard | None = None
    """Who the access token belongs to, asked at the accounts server."""
    read: Heard | None = None
    """One cheap read from the product."""
    told: tuple[str, ...] = ()
    """What a person has answered to the questions so far: codes of causes, or of a denial."""

    details: Mapping[str, str] = field(default_factory=dict)
    """What the words need beside the failure's own details: names and addresses, no secret."""
