"""Why an authorization or its code fails: codes, callbacks, redirect URIs, missing tokens."""

from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from wizard.diagnosis import tokens
from wizard.diagnosis.evidence import (
    ON_REFRESH,
    WHILE_CONNECTING,
    CauseEstimate,
    Evidence,
    EvidenceItem,
    FailureClass,
    TokenFormat,
    confirmed,
    evidence_item,
    in_group,
    likely,
    possible,
    ruled_out,
)
from wizard.model import AttemptMode, RequestKind
from wizard.zoho import limits

CODE_LIFETIME = timedelta(seconds=limits().code_lifetime_seconds)
MAX_CODES = limits().codes_per_client


# --- A rejected code ------------------------------------------------------------------------------


def expired(evidence: Evidence) -> CauseEstimate | None:
    """A code is valid for two minutes."""
    if _was_exchanged_within(evidence, CODE_LIFETIME):
        return ruled_out("code-expired", evidence_item("exchanged-at-once"))
    return possible("code-expired")


def used(evidence: Evidence) -> CauseEstimate | None:
    """A code works once."""
    again = (evidence_item("code-sent-again"),) if evidence.sent_request.is_code_repeated else ()
    estimate = possible("code-used", *again)
    return (
        estimate.with_evidence_against(evidence_item("sent-once")) if evidence.attempt else estimate
    )


def with_query(evidence: Evidence) -> CauseEstimate | None:
    """The rest of the URL was pasted with the code."""
    if evidence.sent_request.token_format is TokenFormat.WITH_QUERY:
        return confirmed("code-with-query", evidence_item("code-goes-on"))
    known = evidence.attempt or evidence.sent_request.token_format
    return None if known else possible("code-with-query")


def from_other_data_center(evidence: Evidence) -> CauseEstimate | None:
    """A code is exchanged where it was issued: the callback's ``accounts-server``."""
    code, sent, attempt = "code-of-other-data-center", evidence.sent_request, evidence.attempt
    if sent.code_location and sent.location:
        if sent.code_location == sent.location:
            return None
        issued, asked = sent.code_location.upper(), sent.location.upper()
        return confirmed(code, evidence_item("code-sent-elsewhere", asked=asked, issued=issued))
    # Only a code that was pasted without its URL doesn't have a location.
    bound = attempt is not None and attempt.mode is AttemptMode.BROWSER
    return None if bound else possible(code)


def from_other_client(evidence: Evidence) -> CauseEstimate | None:
    """A code works only with the client that requested it."""
    code, sent = "code-of-other-client", evidence.sent_request
    if sent.code_client_id and sent.client_id:
        if sent.code_client_id == sent.client_id:
            return None
        item = evidence_item(
            "code-asked-for-another", asked=sent.code_client_id, sent=sent.client_id
        )
        return confirmed(code, item)
    bound = evidence.attempt is not None and evidence.attempt.mode is AttemptMode.BROWSER
    return None if bound else possible(code)


def verifier_wrong(evidence: Evidence) -> CauseEstimate | None:
    """An authorization with a ``code_challenge`` (RFC 7636) needs its ``code_verifier``. Most
    programs don't use PKCE, so a missing verifier alone says nothing."""
    code, sent = "verifier-missing", evidence.sent_request
    if evidence.attempt or sent.has_code_challenge is False or sent.is_verifier_valid:
        return None
    if sent.is_verifier_valid is False:
        return confirmed(code, evidence_item("verifier-of-another"))
    if (
        sent.has_code_challenge
        and sent.parameters is not None
        and "code_verifier" not in sent.parameters
    ):
        return confirmed(code, evidence_item("no-verifier-sent"))
    return possible(code)


CODE_CHECKS = (expired, used, with_query, from_other_data_center, from_other_client, verifier_wrong)

CODE_REFUSED = FailureClass("code-refused", CODE_CHECKS)

CODE_OR_REFRESH_TOKEN_REFUSED = FailureClass(
    "code-or-refresh-token-refused",
    (
        *in_group(WHILE_CONNECTING, CODE_CHECKS),
        *in_group(ON_REFRESH, tokens.REFRESH_TOKEN_REFUSED.checks),
    ),
)
"""``invalid_code`` if it isn't known which request returned it."""


# --- The redirect URI -----------------------------------------------------------------------------


def redirect_uri_differs(evidence: Evidence) -> CauseEstimate | None:
    """Zoho compares redirect URIs character by character."""
    sent = evidence.sent_request.redirect_uri
    registered = evidence.client.redirect_uri if evidence.client else ""
    if not sent or not registered:
        return possible("redirect-uri-differs", sent=sent, registered=registered)
    if sent == registered:
        return None
    item = evidence_item(
        "redirect-uris-differ", part=redirect_uri_difference(sent, registered), sent=sent
    )
    return confirmed("redirect-uri-differs", item, sent=sent, registered=registered)


def redirect_uri_unregistered(evidence: Evidence) -> CauseEstimate | None:
    """It was never registered, or the client was changed in the console."""
    sent = evidence.sent_request.redirect_uri
    same = bool(evidence.client) and sent in (
        "",
        evidence.client.redirect_uri if evidence.client else "",
    )
    if same:
        return likely("redirect-uri-unregistered", evidence_item("sent-as-registered"))
    return possible("redirect-uri-unregistered")


def without_redirect_uri(evidence: Evidence) -> CauseEstimate | None:
    """A Self Client has no redirect URI and no consent screen."""
    client = evidence.client
    if client is None:
        return possible("self-client-in-browser")
    return (
        None
        if client.redirect_uri
        else confirmed("self-client-in-browser", evidence_item("no-uri-stored"))
    )


def redirect_uri_difference(sent: str, registered: str) -> str:
    """The first part in which two redirect URIs differ: ``scheme``, ``host``, ``port``, ``path``,
    ``trailing-slash`` or ``query``; ``loopback-name`` for 127.0.0.1 and localhost."""
    one, other = _split_uri(sent), _split_uri(registered)
    if one is None or other is None:
        return "form"
    if one.scheme != other.scheme:
        return "scheme"
    if {one.hostname, other.hostname} == {"localhost", "127.0.0.1"}:
        return "loopback-name"
    if one.hostname != other.hostname:
        return "host"
    if one.netloc != other.netloc:
        return "port"
    if one.path != other.path:
        same = one.path.rstrip("/") == other.path.rstrip("/")
        return "trailing-slash" if same else "path"
    return "query"


REDIRECT_URI_REFUSED = FailureClass(
    "redirect-uri-refused",
    (redirect_uri_differs, redirect_uri_unregistered, without_redirect_uri),
)


# --- A callback with an error, or a response without a refresh token ------------------------------


def consent_rejected(evidence: Evidence) -> CauseEstimate | None:
    """Someone pressed Reject."""
    few = evidence.recent_authorizations
    items = (
        (evidence_item("few-codes", count=str(few), most=str(MAX_CODES)),)
        if evidence.attempt
        else ()
    )
    return possible("consent-rejected", *items)


def code_limit_reached(evidence: Evidence) -> CauseEstimate | None:
    """After ten codes in ten minutes, Zoho rejects a client's authorizations."""
    begun = evidence.recent_authorizations
    if begun >= MAX_CODES:
        return likely("codes-used-up", evidence_item("many-codes", count=str(begun)))
    estimate = possible("codes-used-up")
    if evidence.attempt is None:
        return estimate
    return estimate.with_evidence_against(
        evidence_item("few-codes", count=str(begun), most=str(MAX_CODES))
    )


def refresh_token_limit_reached(evidence: Evidence) -> CauseEstimate | None:
    """A user can get ten refresh tokens with a client in ten minutes."""
    return possible("too-many-refresh-tokens")


def product_not_set_up(evidence: Evidence) -> CauseEstimate | None:
    """The user has no account in the product of a scope."""
    return possible("product-not-set-up").with_evidence_against(*_organization_evidence(evidence))


def wrong_user(evidence: Evidence) -> CauseEstimate | None:
    """The browser was signed in as someone else."""
    return possible("wrong-person-signed-in", *_organization_evidence(evidence))


def _organization_evidence(evidence: Evidence) -> tuple[EvidenceItem, ...]:
    """That the user who consented before had an organization there."""
    grant = evidence.grant
    known = grant is not None and grant.account is not None and grant.organizations
    email = grant.email if grant else ""
    return (evidence_item("had-organization", email=email),) if known else ()


def access_type_online(evidence: Evidence) -> CauseEstimate | None:
    """Without ``access_type=offline``, Zoho issues no refresh token."""
    code, offline = "access-type-online", evidence.sent_request.is_offline
    if evidence.attempt:
        return ruled_out(code, evidence_item("asked-offline"))
    if offline is not None:
        return None if offline else confirmed(code, evidence_item("asked-online"))
    return possible(code)


def consent_not_shown(evidence: Evidence) -> CauseEstimate | None:
    """If the consent was given before and isn't shown again, Zoho issues no refresh token."""
    if evidence.attempt:
        return likely("consent-not-shown", evidence_item("asked-offline"))
    is_silent = evidence.sent_request.is_offline and not evidence.sent_request.has_consent_prompt
    items = (evidence_item("asked-silently"),) if is_silent else ()
    return (likely if is_silent else possible)("consent-not-shown", *items)


CONSENT_REFUSED = FailureClass("consent-refused", (consent_rejected, code_limit_reached))
CONSENT_LIMIT_REACHED = FailureClass(
    "consents-used-up",
    (code_limit_reached, refresh_token_limit_reached),
)
NO_ORGANIZATION = FailureClass("no-organization-there", (product_not_set_up, wrong_user))
NO_REFRESH_TOKEN = FailureClass(
    "no-refresh-token-given",
    (consent_not_shown, access_type_online),
)


def no_refresh_token_stored(evidence: Evidence) -> CauseEstimate | None:
    """A program without a refresh token works until its first access token expires."""
    return possible("no-refresh-token-stored")


def expiry_in_milliseconds(evidence: Evidence) -> CauseEstimate | None:
    """``expires_in`` is read in milliseconds instead of seconds, or the reverse."""
    return possible("expiry-arithmetic")


STOPS_AFTER_AN_HOUR = FailureClass(
    "dies-within-the-hour",
    (no_refresh_token_stored, expiry_in_milliseconds),
)

CLASSES = (
    CODE_REFUSED,
    CODE_OR_REFRESH_TOKEN_REFUSED,
    REDIRECT_URI_REFUSED,
    CONSENT_REFUSED,
    CONSENT_LIMIT_REACHED,
    NO_ORGANIZATION,
    NO_REFRESH_TOKEN,
    STOPS_AFTER_AN_HOUR,
)


def _was_exchanged_within(evidence: Evidence, duration: timedelta) -> bool:
    """Whether the code was sent so soon that it can't have expired."""
    attempt = evidence.attempt
    if attempt is None or attempt.mode is AttemptMode.SELF_CLIENT:
        return False
    sent = [
        request.at
        for request in evidence.requests
        if request.kind is RequestKind.CODE_EXCHANGE and request.connection == attempt.connection
    ]
    return bool(sent) and sent[0] - attempt.created_at < duration


def _split_uri(uri: str) -> SplitResult | None:
    try:
        return urlsplit(uri)
    except ValueError:
        return None
