"""The nouns of the house, frozen; this room imports nothing of ours.

Words are those of RFC 6749 and of Zoho. A *connection* is a named wish to reach one Zoho account
with one *client* and a set of scopes; a *grant* is what a consent gave; a *receipt* is the proof
of a grant; a *failure* is what went wrong, as data; a *finding* is a failure explained.
All times are aware UTC datetimes; every secret is left out of ``repr``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from wizard.credential_formats import Identifier, Token
from wizard.model.failure import (
    AnswerOption,
    Cause,
    Confidence,
    Explanation,
    Failure,
    HttpExchange,
    NextStep,
)
from wizard.model.failure_codes import FailureKind

__all__ = [
    "ATTEMPT_LIFETIME",
    "FORWARDED_ATTEMPT_LIFETIME",
    "AccessToken",
    "Account",
    "AnswerOption",
    "Attempt",
    "AttemptMode",
    "AttemptState",
    "Cause",
    "Client",
    "ClientSecret",
    "Clock",
    "Confidence",
    "Connection",
    "Event",
    "Explanation",
    "Failure",
    "FailureKind",
    "Grant",
    "GrantState",
    "HttpExchange",
    "Identifier",
    "NextStep",
    "Organization",
    "RequestKind",
    "SecretState",
    "StepState",
    "Token",
    "TokenRequest",
    "VerificationReport",
    "VerificationStep",
]

Clock = Callable[[], datetime]
"""Tells the time: returns an aware datetime in UTC. Always an argument, never a global."""


# --- Client ----------------------------------------------------------------------------------


class SecretState(StrEnum):
    CURRENT = "current"
    PREVIOUS = "previous"
    """Replaced, but kept until a refresh has succeeded with the new one."""


@dataclass(frozen=True)
class ClientSecret:
    """The secret of a client in one data centre."""

    location: str
    value: str = field(repr=False)
    state: SecretState = SecretState.CURRENT


@dataclass(frozen=True)
class Client:
    """An OAuth client registered in Zoho's API console; shared by many connections."""

    client_id: str
    name: str
    location: str
    """The home data centre: where it was registered."""
    redirect_uri: str
    """Empty for a Self Client, which has none."""
    secrets: tuple[ClientSecret, ...] = field(default=(), repr=False)
    has_common_secret: bool = False
    """Zoho's box "Use the same OAuth credentials for all data centers" is ticked."""
    registered_by: str = ""
    created_at: datetime | None = None

    def secret_for(self, location: str) -> str | None:
        """The current secret that may be sent to ``location``; None: nothing may be sent there."""
        current = [s for s in self.secrets if s.state is SecretState.CURRENT]
        own = next((s.value for s in current if s.location == location), None)
        if own is None and self.has_common_secret and current:
            return current[0].value
        return own

    def previous_secret_for(self, location: str) -> str | None:
        """The secret that was replaced there, while it is kept."""
        replaced = (s for s in self.secrets if s.state is SecretState.PREVIOUS)
        return next((s.value for s in replaced if s.location == location), None)

    @property
    def locations(self) -> tuple[str, ...]:
        """The data centres for which a secret is stored."""
        return tuple(s.location for s in self.secrets if s.state is SecretState.CURRENT)


# --- Connection, grant, receipt ----------------------------------------------------------------


@dataclass(frozen=True)
class Connection:
    """A named wish to reach one Zoho account with one client and a set of scopes."""

    name: str
    client_id: str
    scope: tuple[str, ...]
    location: str | None
    """The data centre the person chose; None: "I don't know", the callback tells."""
    generation: int = 0
    """The current grant's generation; 0 while there has been none."""
    presets: tuple[str, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True)
class Account:
    """Who consented. ``zuid`` and data centre identify a person at Zoho; the e-mail does not."""

    zuid: Identifier
    email: str
    display_name: str = ""


@dataclass(frozen=True)
class Organization:
    """An organization (or portal, or workspace) that a grant reaches in one product."""

    product: str
    id: Identifier
    name: str
    environment: str = ""
    """``Production``, ``Sandbox`` or ``Developer`` where the product tells; else empty."""


class GrantState(StrEnum):
    NOT_VERIFIED = "not_verified"
    """Stored; its ladder has not been climbed to the end."""
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    """Another account or organization than the grant before; waits for the person's decision."""
    NEEDS_REAUTHORIZATION = "needs_reauthorization"
    """An explicit OAuth error from the pinned host, confirmed once."""
    REPLACED = "replaced"
    """A later generation was proved; kept as the one before."""
    REVOKED = "revoked"


@dataclass(frozen=True)
class Grant:
    """What a consent gave."""

    connection: str
    generation: int
    client_id: str
    refresh_token: str = field(repr=False)
    scope: tuple[str, ...]
    """As granted, which may be fewer than asked."""
    location: str
    """The data centre that issued it; refresh, revoke and every call go to its own addresses."""
    state: GrantState
    granted_at: datetime
    account: Account | None = None
    organizations: tuple[Organization, ...] = ()
    failure: Failure | None = None
    """Why it is dead or refused."""
    rotated_at: datetime | None = None
    """When the server last replaced its refresh token (RFC 6749, section 6); None: never."""


@dataclass(frozen=True)
class AccessToken:
    """An access token, its end of life and where it may be sent."""

    value: str = field(repr=False)
    expires_at: datetime
    api_domain: str
    location: str
    connection: str = ""
    generation: int = 0
    refresh_at: datetime | None = None
    """From when on it is renewed, early enough for whoever is handed it; None: by its end."""
    issued_at: datetime | None = None
    """When it was asked for. Where that is still to come, the clock went back, and nobody knows
    how long the token lives."""
    stale: bool = False
    """Still good, served because a refresh was not possible now."""


class StepState(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    PARTIAL = "partial"


@dataclass(frozen=True)
class VerificationStep:
    """One step of the ladder: what was asked, what was seen."""

    name: str
    """``refresh``, ``identity``, ``organization``, ``read:<product>``, ``scope`` or ``clock``."""
    state: StepState
    evidence: Mapping[str, str]
    """What was seen, key to value, for people; never a secret."""
    at: datetime
    failure: Failure | None = None


@dataclass(frozen=True)
class VerificationReport:
    """The proof of a grant: the rungs climbed so far, with evidence and time."""

    connection: str
    generation: int
    steps: tuple[VerificationStep, ...]
    started_at: datetime
    finished_at: datetime | None = None
    """None: the climb is under way, or died with its process."""

    @property
    def is_verified(self) -> bool:
        """Every rung was climbed to the end and none failed."""
        return self.finished_at is not None and all(
            step.state is not StepState.FAILED for step in self.steps
        )

    @property
    def has_failed(self) -> bool:
        """It was climbed to its end, and something failed."""
        return self.finished_at is not None and not self.is_verified


# --- Authorization attempts ----------------------------------------------------------------------


class AttemptState(StrEnum):
    """Each arrow of an authorization is a durable commit; see ``Store.advance_attempt``."""

    REDIRECTED = "redirected"
    CALLBACK_RECEIVED = "callback_received"
    """The ``state`` was redeemed; it is never redeemed again."""
    EXCHANGE_INTENT = "exchange_intent"
    """Committed just before the one POST of the code."""
    STORED = "stored"
    FAILED = "failed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    """No readable answer to the one POST. Never posted again."""
    ABANDONED = "abandoned"


class AttemptMode(StrEnum):
    BROWSER = "browser"
    """Bound to the browser by a cookie; the callback finishes it."""
    PASTE = "paste"
    """Bound to the process that began it; the person pastes the callback's address, or the assisted
    browser brings it."""
    FORWARDED = "forwarded"
    """The link went to the person whose account it is; what their browser ended on comes back."""
    SELF_CLIENT = "self_client"
    """A Self Client's code: no redirect URI, no PKCE, one POST."""


ATTEMPT_LIFETIME = timedelta(hours=1)
"""Long enough to fetch a colleague or a second factor, short enough for a forgotten tab; the
cookie that binds a browser lives as long."""

FORWARDED_ATTEMPT_LIFETIME = timedelta(hours=24)
"""Long enough for a colleague to read a message and to find a moment."""


@dataclass(frozen=True)
class Attempt:
    """One authorization under way. The pair of endpoints is fixed when it begins."""

    id: str
    connection: str
    client_id: str
    mode: AttemptMode
    state: AttemptState
    location: str
    """The data centre the flow began at."""
    authorization_endpoint: str
    token_endpoint: str
    redirect_uri: str
    scope: tuple[str, ...]
    created_at: datetime
    oauth_state: str = field(repr=False)
    """RFC 6749's ``state`` parameter."""
    code_verifier: str = field(repr=False)
    binding: str = field(repr=False)
    """Keyed hash of the cookie (browser) or of the process's secret (paste)."""
    failed_tries: int = 0
    generation: int | None = None
    """The grant it led to."""
    failure: Failure | None = None

    def is_expired(self, now: datetime) -> bool:
        """Whether it waited for its consent for too long."""
        life = (
            FORWARDED_ATTEMPT_LIFETIME if self.mode is AttemptMode.FORWARDED else ATTEMPT_LIFETIME
        )
        return self.state is AttemptState.REDIRECTED and now - self.created_at >= life


# --- The ledger and the history ------------------------------------------------------------------


class RequestKind(StrEnum):
    AUTHORIZATION = "authorization"
    CODE_EXCHANGE = "code_exchange"
    PREFLIGHT = "preflight"
    REFRESH = "refresh"
    REVOCATION = "revocation"


@dataclass(frozen=True)
class TokenRequest:
    """One ask of an accounts server, as the ledger keeps it."""

    kind: RequestKind
    at: datetime
    location: str
    client_id: str
    connection: str = ""
    generation: int = 0
    zuid: str = ""
    outcome: str = "pending"
    """``ok``, the code of a failure, or ``asked`` while no answer has come."""
    retry_at: datetime | None = None
    """Before then Zoho does not want to be asked again, where it said so."""


@dataclass(frozen=True)
class Event:
    """One line of a connection's history, for people."""

    at: datetime
    connection: str
    kind: str
    """Kebab-case; the words for it stand in the table of words."""
    details: Mapping[str, str] = field(default_factory=dict)
