"""What is known about a failure, and how likely a cause is by that evidence. Pure.

Evidence is gathered by requests (`wizard.diagnosis.probes`), from the store
(`wizard.diagnosis.service`), or from a pasted text. Unknown values are None or empty.

A user's answer makes a cause likely, never confirmed. A denied cause becomes less likely but isn't
ruled out, because someone else may be responsible. An answer doesn't change what the evidence
decided.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wizard.model import (
    Attempt,
    Client,
    Confidence,
    Connection,
    Failure,
    Grant,
    RequestKind,
    TokenRequest,
    VerificationReport,
)
from wizard.model.failure import question_causes
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
    granted_scopes: tuple[str, ...] = ()
    """The scopes that the text names as those of the token; empty if it names none."""
    token_location: str = ""
    """The data center that issued the access token, according to a token response in the text."""
    is_token_missing: bool | None = None
    """The call had no access token, or a word such as ``undefined`` in its place; None: unknown."""
    is_code_as_refresh_token: bool = False
    """The value sent as the refresh token is an authorization code elsewhere in the text."""
    has_scope_on_refresh: bool = False
    """A refresh named scopes."""
    has_revocation: bool = False
    """The text has a request that revokes a token."""
    is_url_alone: bool = False
    """Nothing is known of a token request but its URL, and perhaps the page in response, as in a
    browser."""
    is_page_of_zoho: bool = False
    """The response was a page that shows that it is Zoho's own."""


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


@dataclass(frozen=True)
class EvidenceItem:
    """One observation for or against a cause. Its sentence is in the message table."""

    code: str
    details: Mapping[str, str | datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class CauseEstimate:
    """A cause with its confidence and evidence, without words."""

    code: str
    confidence: Confidence
    evidence_for: tuple[EvidenceItem, ...] = ()
    evidence_against: tuple[EvidenceItem, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    """The group of the cause, in a class with several groups."""

    def with_evidence_for(self, *items: EvidenceItem) -> "CauseEstimate":
        """The same with more evidence for it."""
        return replace(self, evidence_for=(*self.evidence_for, *items))

    def with_evidence_against(self, *items: EvidenceItem) -> "CauseEstimate":
        """The same with more evidence against it."""
        return replace(self, evidence_against=(*self.evidence_against, *items))


CauseCheck = Callable[[Evidence], CauseEstimate | None]
"""Estimates one cause; None: the evidence doesn't suggest it."""


@dataclass(frozen=True)
class FailureClass:
    """Causes with the same error from Zoho."""

    code: str
    checks: tuple[CauseCheck, ...]
    """The most common cause first, which is their order if the evidence doesn't decide."""


def in_group(group: str, checks: tuple[CauseCheck, ...]) -> tuple[CauseCheck, ...]:
    """`checks` whose causes belong to `group`."""

    def add_group(check: CauseCheck) -> CauseCheck:
        def grouped_check(evidence: Evidence) -> CauseEstimate | None:
            estimate = check(evidence)
            return replace(estimate, group=group) if estimate else None

        return grouped_check

    return tuple(add_group(check) for check in checks)


def evidence_item(code: str, **details: str | datetime) -> EvidenceItem:
    """An item of evidence with the values of its sentence."""
    return EvidenceItem(code, details)


def confirmed(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Nothing else fits."""
    return CauseEstimate(code, Confidence.CONFIRMED, items, details=details)


def likely(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Some evidence is for it, none against it."""
    return CauseEstimate(code, Confidence.LIKELY, items, details=details)


def possible(code: str, *items: EvidenceItem, **details: str) -> CauseEstimate:
    """Nothing decides."""
    return CauseEstimate(code, Confidence.POSSIBLE, items, details=details)


def ruled_out(code: str, *items: EvidenceItem) -> CauseEstimate:
    """The `items` exclude it."""
    return CauseEstimate(code, Confidence.RULED_OUT, evidence_against=items)


NONE, NO = "none", "no"
"""Denies all causes that a question names; ``no`` if that is one."""

WHILE_CONNECTING, ON_REFRESH = "while-connecting", "on-refresh"
ORIGIN_ANSWERS = (WHILE_CONNECTING, ON_REFRESH)
"""The answers to the question when Zoho returned an error that belongs to two classes."""

ANSWER_EVIDENCE_CODES = ("you-say", "you-deny", "you-deny-others")
"""The codes of evidence from answers."""
AFFIRMED, DENIED, OTHERS_DENIED = (evidence_item(code) for code in ANSWER_EVIDENCE_CODES)


def question_of(estimates: tuple[CauseEstimate, ...], class_code: str) -> str:
    """The code of the question that would decide: the leading cause's own, otherwise that of the
    class. Empty if it was answered."""
    own = estimates[0].code if estimates else ""
    open_ones = (each for each in (own, class_code) if _open_causes(each, estimates))
    return next(open_ones, "")


def allowed_answers(question: str, estimates: tuple[CauseEstimate, ...]) -> tuple[str, ...]:
    """The answers to a question."""
    named = _open_causes(question, estimates)
    others = any(
        each.code not in named and DENIED not in each.evidence_against for each in estimates
    )
    denial = (NO if len(named) == 1 else NONE,) if named and others else ()
    return (*named, *denial)


def apply_answer(
    answer: str, estimates: tuple[CauseEstimate, ...], class_code: str
) -> tuple[CauseEstimate, ...]:
    """The causes after an answer: one of them, or none of those that the question names. A
    confirmed cause doesn't change, and neither does anything if the answer isn't among the causes.
    """
    if any(each.confidence is Confidence.CONFIRMED for each in estimates):
        return estimates
    if answer in (NONE, NO):
        return _deny(_open_causes(question_of(estimates, class_code), estimates), estimates)
    if all(each.code != answer for each in estimates):
        return estimates
    return tuple(_affirm(each) if each.code == answer else _lower(each) for each in estimates)


def known_answers() -> tuple[str, ...]:
    """All possible answers."""
    causes = (cause for named in question_causes().values() for cause in named)
    return tuple(dict.fromkeys((*ORIGIN_ANSWERS, NONE, NO, *causes)))


def is_denied(estimate: CauseEstimate) -> bool:
    """Whether the user denied it."""
    return DENIED in estimate.evidence_against


def _open_causes(question: str, estimates: tuple[CauseEstimate, ...]) -> tuple[str, ...]:
    """The causes that a question names, without excluded and denied ones."""
    could_be = {each.code for each in estimates if not is_denied(each)}
    return tuple(code for code in question_causes().get(question, ()) if code in could_be)


def _deny(
    denied_codes: tuple[str, ...], estimates: tuple[CauseEstimate, ...]
) -> tuple[CauseEstimate, ...]:
    """The causes without the denied ones; a single remaining one is likely."""
    found = [
        _lower(e).with_evidence_against(DENIED) if e.code in denied_codes else e for e in estimates
    ]
    left = [each for each in found if not is_denied(each)]
    if denied_codes and len(left) == 1 and left[0].confidence is Confidence.POSSIBLE:
        likely = replace(left[0], confidence=Confidence.LIKELY).with_evidence_for(OTHERS_DENIED)
        found[found.index(left[0])] = likely
    return tuple(found)


def _affirm(estimate: CauseEstimate) -> CauseEstimate:
    return replace(estimate, confidence=Confidence.LIKELY).with_evidence_for(AFFIRMED)


def _lower(estimate: CauseEstimate) -> CauseEstimate:
    return replace(estimate, confidence=Confidence.POSSIBLE)
