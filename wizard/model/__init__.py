"""The domain model: frozen dataclasses, in the terms of RFC 6749 and of Zoho.

All times are aware UTC datetimes. A ``location`` is the code of a data center, such as ``eu``.
Secrets aren't in the ``repr``.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wizard.credential_formats import Identifier, Token
from wizard.model.failure import (
    AnswerOption,
    Cause,
    Confidence,
    Explanation,
    Failure,
    FailureKind,
    HttpExchange,
    NextStep,
)

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
    "SimulatorProxy",
    "StepState",
    "Token",
    "TokenRequest",
    "VerificationReport",
    "VerificationStep",
]

Clock = Callable[[], datetime]
"""Returns the current time, aware, in UTC. Always an argument, never a global."""


@dataclass(frozen=True)
class SimulatorProxy:
    """How a simulated Zoho is reached at Zoho's real host names."""

    url: str
    authority_file: str
    """The certificate authority of this run of the simulator."""


# --- Client ----------------------------------------------------------------------------------


class SecretState(StrEnum):
    CURRENT = "current"
    PREVIOUS = "previous"
    """Replaced, but kept until a refresh succeeds with the new one."""


@dataclass(frozen=True)
class ClientSecret:
    """The secret of a client in one data center."""

    location: str
    value: str = field(repr=False)
    state: SecretState = SecretState.CURRENT


@dataclass(frozen=True)
class Client:
    """An OAuth client registered in Zoho's API console; connections can share it."""

    client_id: str
    name: str
    location: str
    """The data center where it was registered."""
    redirect_uri: str
    """Empty for a Self Client."""
    secrets: tuple[ClientSecret, ...] = field(default=(), repr=False)
    has_common_secret: bool = False
    """Zoho's option "Use the same OAuth credentials for all data centers" is on."""
    registered_by: str = ""
    created_at: datetime | None = None

    def secret_for(self, location: str) -> str | None:
        """The current secret that may be sent to ``location``; None if there is none."""
        current = [s for s in self.secrets if s.state is SecretState.CURRENT]
        own = next((s.value for s in current if s.location == location), None)
        if own is None and self.has_common_secret and current:
            return current[0].value
        return own

    def previous_secret_for(self, location: str) -> str | None:
        """The replaced secret of ``location``; None if there is none, or no longer."""
        replaced = (s for s in self.secrets if s.state is SecretState.PREVIOUS)
        return next((s.value for s in replaced if s.location == location), None)

    @property
    def locations(self) -> tuple[str, ...]:
        """The data centers for which a secret is stored."""
        return tuple(s.location for s in self.secrets if s.state is SecretState.CURRENT)


# --- Connection, grant, verification report ----------------------------------------------------


@dataclass(frozen=True)
class Connection:
    """Access to one Zoho account with one client and a set of scopes, under a name."""

    name: str
    client_id: str
    scope: tuple[str, ...]
    location: str | None
    """The data center that the user chose; None: the first callback decides."""
    generation: int = 0
    """The current grant's generation; 0 if there has been none."""
    presets: tuple[str, ...] = ()
    created_at: datetime | None = None
    owner: str = ""
    """The person or team responsible for it, as the user wrote it."""
    tags: tuple[str, ...] = ()
    """In lower case, in alphabetical order."""
    note: str = ""
    """Free text of the user, perhaps of several lines; never a secret."""
    expected_email: str = ""
    """The account that must give the first consent; empty: any."""
    expected_organization: str = ""
    """The name or the ID of an organization that the first consent must reach; empty: any."""
    expected_environment: str = ""
    """The environment that it must reach there, such as ``Production``; empty: any."""

    def is_expected_to_reach(self, organizations: "Collection[Organization]") -> bool:
        """Whether one of `organizations` is the expected one, in the expected environment; the case
        of letters doesn't matter."""
        name, environment = (
            each.casefold() for each in (self.expected_organization, self.expected_environment)
        )
        if not (name or environment):
            return True
        return any(
            name in ("", each.name.casefold(), each.id.casefold())
            and environment in ("", each.environment.casefold())
            for each in organizations
        )

    def matches(self, text: str) -> bool:
        """Whether its name, its owner or one of its tags contains `text`, ignoring case."""
        return any(
            text.casefold() in each.casefold() for each in (self.name, self.owner, *self.tags)
        )


def is_same_email(one: str, other: str) -> bool:
    """Whether two email addresses are the same, ignoring case."""
    return one.casefold() == other.casefold()


@dataclass(frozen=True)
class Account:
    """Who consented. The ZUID and the data center identify a Zoho account; the email doesn't."""

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
    """``Production``, ``Sandbox`` or ``Developer``; empty if the product doesn't say."""


class GrantState(StrEnum):
    NOT_VERIFIED = "not_verified"
    """Stored, but not all verification steps have passed."""
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    """For a different account or organization than the previous grant, or with fewer scopes; waits
    for the user's decision."""
    NEEDS_REAUTHORIZATION = "needs_reauthorization"
    """Zoho rejected the refresh token with an explicit OAuth error, confirmed once."""
    REPLACED = "replaced"
    """A later generation was verified; kept as the previous one."""
    REVOKED = "revoked"

    @property
    def is_ended(self) -> bool:
        """Whether the grant was rejected or revoked."""
        return self in (GrantState.NEEDS_REAUTHORIZATION, GrantState.REVOKED)


@dataclass(frozen=True)
class Grant:
    """What a consent granted: a refresh token, its scopes and its account."""

    connection: str
    generation: int
    client_id: str
    refresh_token: str = field(repr=False)
    scope: tuple[str, ...]
    """As granted, which may be fewer than requested."""
    location: str
    """The data center that issued it, which gets all requests with it."""
    state: GrantState
    granted_at: datetime
    account: Account | None = None
    organizations: tuple[Organization, ...] = ()
    failure: Failure | None = None
    """Why it can't be used, or not yet."""
    rotated_at: datetime | None = None
    """When the server last replaced its refresh token (RFC 6749, section 6); None: never."""

    @property
    def email(self) -> str:
        """The email address of its account; empty: unknown."""
        return self.account.email if self.account else ""

    @property
    def end_failure(self) -> Failure | None:
        """Why its refresh token no longer works: ``refresh-token-rejected`` with Zoho's answer, or
        ``grant-revoked``; None if it was neither rejected nor revoked."""
        if self.state is GrantState.NEEDS_REAUTHORIZATION:
            code, details = "refresh-token-rejected", {"name": self.connection}
            return replace(self.failure or Failure(code, details=details), code=code)
        if self.state is GrantState.REVOKED:
            return Failure("grant-revoked", details={"name": self.connection})
        return None


@dataclass(frozen=True)
class AccessToken:
    """An access token, when it expires, and where it may be sent."""

    value: str = field(repr=False)
    expires_at: datetime
    api_domain: str
    location: str
    connection: str = ""
    generation: int = 0
    refresh_at: datetime | None = None
    """When to refresh it, early enough for the program that gets it; None: when it expires."""
    issued_at: datetime | None = None
    """When it was requested. If that is in the future, the clock was set back, and its age is
    unknown."""
    stale: bool = False
    """Due for a refresh, which wasn't possible, and not expired yet."""


class StepState(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    PARTIAL = "partial"


@dataclass(frozen=True)
class StepEvidence:
    """One observation of a verification step, as data. Its words are in the message table."""

    code: str
    values: Mapping[str, str] = field(default_factory=dict)
    """Never a secret."""


@dataclass(frozen=True)
class VerificationStep:
    """One step of a verification, and its evidence."""

    name: str
    """``refresh``, ``identity``, ``organization``, ``read:<product>``, ``scope`` or ``clock``."""
    state: StepState
    evidence: tuple[StepEvidence, ...]
    at: datetime
    failure: Failure | None = None


@dataclass(frozen=True)
class VerificationReport:
    """The verification of a grant: its steps so far."""

    connection: str
    generation: int
    steps: tuple[VerificationStep, ...]
    started_at: datetime
    finished_at: datetime | None = None
    """None: it is running, or its process died."""

    @property
    def is_verified(self) -> bool:
        """It is finished, and no step failed."""
        return self.finished_at is not None and all(
            step.state is not StepState.FAILED for step in self.steps
        )

    @property
    def has_failed(self) -> bool:
        """It is finished, and a step failed."""
        return self.finished_at is not None and not self.is_verified


# --- Authorization attempts ----------------------------------------------------------------------


class AttemptState(StrEnum):
    """Each change is a durable commit: see ``AttemptRepository.advance``."""

    REDIRECTED = "redirected"
    CALLBACK_RECEIVED = "callback_received"
    """The ``state`` was redeemed, which works once."""
    EXCHANGE_INTENT = "exchange_intent"
    """Committed immediately before the one POST of the code."""
    STORED = "stored"
    FAILED = "failed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    """There was no readable response to that POST. The code is never posted again. In place: Zoho
    may have added the scopes; the next refresh decides."""
    ABANDONED = "abandoned"


class AttemptMode(StrEnum):
    BROWSER = "browser"
    """Bound to the browser by a cookie; the callback completes it."""
    PASTE = "paste"
    """Bound to the process that began it, which gets the callback URL from the user or the assisted
    browser."""
    FORWARDED = "forwarded"
    """The link was sent to the account owner, who sends the callback URL back."""
    SELF_CLIENT = "self_client"
    """A Self Client's code: no redirect URI, no PKCE, one POST."""


ATTEMPT_LIFETIME = timedelta(hours=1)
"""Enough for a second factor, and short enough for a forgotten tab. The cookie that binds a browser
expires with it."""

FORWARDED_ATTEMPT_LIFETIME = timedelta(hours=24)
"""Enough for a colleague to read a message and act on it."""


@dataclass(frozen=True)
class Attempt:
    """One authorization in progress. Its endpoints are fixed when it begins."""

    id: str
    connection: str
    client_id: str
    mode: AttemptMode
    state: AttemptState
    location: str
    """The data center where it began."""
    authorization_endpoint: str
    token_endpoint: str
    redirect_uri: str
    scope: tuple[str, ...]
    created_at: datetime
    oauth_state: str = field(repr=False)
    """RFC 6749's ``state`` parameter."""
    code_verifier: str = field(repr=False)
    binding: str = field(repr=False)
    """SHA-256 of the cookie (browser) or of the process's secret (paste)."""
    failed_tries: int = 0
    generation: int | None = None
    """The generation of the grant that it led to."""
    widened_generation: int | None = None
    """The generation of the grant that it adds scopes to in place; None: it asks for a grant of its
    own."""
    failure: Failure | None = None

    @property
    def is_in_place(self) -> bool:
        """Whether it adds scopes to a refresh token, and `scope` are only these."""
        return self.widened_generation is not None

    @property
    def abandoned_state(self) -> AttemptState:
        """How it ends without an answer. Zoho may have added scopes in place."""
        return AttemptState.OUTCOME_UNKNOWN if self.is_in_place else AttemptState.ABANDONED

    def is_expired(self, now: datetime) -> bool:
        """Whether it has waited for its consent for too long."""
        life = (
            FORWARDED_ATTEMPT_LIFETIME if self.mode is AttemptMode.FORWARDED else ATTEMPT_LIFETIME
        )
        return self.state is AttemptState.REDIRECTED and now - self.created_at >= life


# --- The request log and the history -------------------------------------------------------------


class RequestKind(StrEnum):
    AUTHORIZATION = "authorization"
    CODE_EXCHANGE = "code_exchange"
    PREFLIGHT = "preflight"
    REFRESH = "refresh"
    ENHANCEMENT = "enhancement"
    """For a token with which the user can add scopes to a refresh token."""
    REVOCATION = "revocation"


@dataclass(frozen=True)
class TokenRequest:
    """One request to an accounts server, as in the request log."""

    kind: RequestKind
    at: datetime
    location: str
    client_id: str
    connection: str = ""
    generation: int = 0
    zuid: str = ""
    outcome: str = "pending"
    """``ok``, the code of a failure, or ``pending`` if there is no response yet."""
    retry_at: datetime | None = None
    """When Zoho allows the next request, if it said so."""


TOKEN_SERVING_EVENTS = ("token-served", "token-refused", "token-reported")
"""Events that programs cause with every request for a token."""


@dataclass(frozen=True)
class Event:
    """One line of the history, which is only added to."""

    at: datetime
    connection: str
    """Its name then; empty if the event isn’t about one connection."""
    kind: str
    """A code, such as `delivered`; its words are in the message table `history`."""
    details: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """The user of the operating system who caused it."""
    process_id: int | None = None
    """The process that caused it; null if it is unknown."""
    machine: str = ""
    """The machine that recorded it: its name in a shared database, otherwise its host name."""
    database_role: str = ""
    """The role that it used in a shared database; empty in a local one."""
