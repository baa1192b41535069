"""Why a consent or its code comes to nothing: codes, callbacks, redirect URIs, missing tokens."""

from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from wizard.diagnosis import grants
from wizard.diagnosis.answers import ON_REFRESH, WHILE_CONNECTING
from wizard.diagnosis.evidence import Evidence, Shape
from wizard.diagnosis.weighing import (
    FailureClass,
    Sign,
    Suspicion,
    certain,
    counted,
    likely,
    possible,
    ruled_out,
    sign,
    within,
)
from wizard.model import AskKind, Mode
from wizard.zoho import limits

LIFE = timedelta(seconds=limits().code_life)
CODES = limits().codes_per_client
WINDOW = timedelta(seconds=limits().window)


# --- A code that is refused -----------------------------------------------------------------------


def expired(evidence: Evidence) -> Suspicion | None:
    """A code lives for two minutes."""
    if _exchanged_within(evidence, LIFE):
        return ruled_out("code-expired", sign("exchanged-at-once"))
    return possible("code-expired")


def used(evidence: Evidence) -> Suspicion | None:
    """A code works once."""
    again = (sign("code-sent-again"),) if evidence.sent.code_repeated else ()
    suspicion = possible("code-used", *again)
    return suspicion.against(sign("sent-once")) if evidence.attempt else suspicion


def with_query(evidence: Evidence) -> Suspicion | None:
    """The rest of the address was pasted with the code."""
    if evidence.sent.token_shape is Shape.WITH_QUERY:
        return certain("code-with-query", sign("code-goes-on"))
    known = evidence.attempt or evidence.sent.token_shape
    return None if known else possible("code-with-query")


def of_other_data_centre(evidence: Evidence) -> Suspicion | None:
    """A code is exchanged where it was issued: the callback's ``accounts-server``."""
    code, sent, attempt = "code-of-other-data-centre", evidence.sent, evidence.attempt
    if sent.code_location and sent.location:
        if sent.code_location == sent.location:
            return None
        issued, asked = sent.code_location.upper(), sent.location.upper()
        return certain(code, sign("code-sent-elsewhere", asked=asked, issued=issued))
    # Only a code pasted without its address does not say where it comes from.
    bound = attempt is not None and attempt.mode is Mode.BROWSER
    return None if bound else possible(code)


def of_other_client(evidence: Evidence) -> Suspicion | None:
    """A code works with the client that asked for it."""
    code, sent = "code-of-other-client", evidence.sent
    if sent.code_client_id and sent.client_id:
        if sent.code_client_id == sent.client_id:
            return None
        seen = sign("code-asked-for-another", asked=sent.code_client_id, sent=sent.client_id)
        return certain(code, seen)
    bound = evidence.attempt is not None and evidence.attempt.mode is Mode.BROWSER
    return None if bound else possible(code)


def verifier_wrong(evidence: Evidence) -> Suspicion | None:
    """A consent begun with a ``code_challenge`` (RFC 7636) wants its ``code_verifier``. Most
    programs begin without one, so that a missing verifier alone says nothing."""
    code, sent = "verifier-missing", evidence.sent
    if evidence.attempt or sent.challenge is False or sent.verifier_fits:
        return None
    if sent.verifier_fits is False:
        return certain(code, sign("verifier-of-another"))
    if sent.challenge and sent.parameters is not None and "code_verifier" not in sent.parameters:
        return certain(code, sign("no-verifier-sent"))
    return possible(code)


CODE_CHECKS = (expired, used, with_query, of_other_data_centre, of_other_client, verifier_wrong)

CODE_REFUSED = FailureClass("code-refused", frozenset({"code-refused"}), CODE_CHECKS)

CODE_OR_REFRESH_TOKEN_REFUSED = FailureClass(
    "code-or-refresh-token-refused",
    frozenset(),
    (
        *within(WHILE_CONNECTING, CODE_CHECKS),
        *within(ON_REFRESH, grants.REFRESH_TOKEN_REFUSED.checks),
    ),
)
"""One word, ``invalid_code``, of which nobody knows where it was met."""


# --- The redirect URI -----------------------------------------------------------------------------


def redirect_uri_differs(evidence: Evidence) -> Suspicion | None:
    """Sent and registered redirect URI are compared character by character."""
    sent = evidence.sent.redirect_uri
    registered = evidence.client.redirect_uri if evidence.client else ""
    if not sent or not registered:
        return possible("redirect-uri-differs", sent=sent or "…", registered=registered or "…")
    if sent == registered:
        return None
    seen = sign("redirect-uris-differ", part=difference(sent, registered), sent=sent)
    return certain("redirect-uri-differs", seen, sent=sent, registered=registered)


def redirect_uri_unregistered(evidence: Evidence) -> Suspicion | None:
    """It was never registered, or the client was changed in the console since."""
    sent = evidence.sent.redirect_uri
    same = bool(evidence.client) and sent in (
        "",
        evidence.client.redirect_uri if evidence.client else "",
    )
    if same:
        return likely("redirect-uri-unregistered", sign("sent-as-registered"))
    return possible("redirect-uri-unregistered")


def without_redirect_uri(evidence: Evidence) -> Suspicion | None:
    """A Self Client has no redirect URI and no consent page."""
    client = evidence.client
    if client is None:
        return possible("self-client-in-browser")
    return None if client.redirect_uri else certain("self-client-in-browser", sign("no-uri-stored"))


def difference(sent: str, registered: str) -> str:
    """The first part in which two redirect URIs differ, by its name: ``scheme``, ``host``,
    ``port``, ``path``, ``slash at the end`` or ``query``; ``loopback name`` where one says
    127.0.0.1 and the other localhost."""
    one, other = _split(sent), _split(registered)
    if one is None or other is None:
        return "form"
    if one.scheme != other.scheme:
        return "scheme"
    if {one.hostname, other.hostname} == {"localhost", "127.0.0.1"}:
        return "loopback name"
    if one.hostname != other.hostname:
        return "host"
    if one.netloc != other.netloc:
        return "port"
    if one.path != other.path:
        same = one.path.rstrip("/") == other.path.rstrip("/")
        return "slash at the end" if same else "path"
    return "query"


REDIRECT_URI_REFUSED = FailureClass(
    "redirect-uri-refused",
    frozenset({"invalid-redirect-uri", "zoho-page-invalid-redirect-uri"}),
    (redirect_uri_differs, redirect_uri_unregistered, without_redirect_uri),
)


# --- What comes back with an error, or without a refresh token ------------------------------------


def rejected(evidence: Evidence) -> Suspicion | None:
    """Somebody pressed Reject."""
    few = _codes(evidence)
    seen = (counted("few-codes", few, most=str(CODES)),) if evidence.attempt else ()
    return possible("consent-rejected", *seen)


def codes_used_up(evidence: Evidence) -> Suspicion | None:
    """After ten codes in ten minutes a client's consents are refused."""
    begun = _codes(evidence)
    if begun >= CODES:
        return likely("codes-used-up", sign("many-codes", count=str(begun)))
    suspicion = possible("codes-used-up")
    if evidence.attempt is None:
        return suspicion
    return suspicion.against(counted("few-codes", begun, most=str(CODES)))


def made_too_many(evidence: Evidence) -> Suspicion | None:
    """Ten refresh tokens in ten minutes are as many as a user may make with a client."""
    return possible("too-many-refresh-tokens")


def product_not_set_up(evidence: Evidence) -> Suspicion | None:
    """The person has no account in the product that a scope belongs to."""
    return possible("product-not-set-up").against(*_had_organization(evidence))


def wrong_person(evidence: Evidence) -> Suspicion | None:
    """The browser was signed in as somebody else."""
    return possible("wrong-person-signed-in", *_had_organization(evidence))


def _had_organization(evidence: Evidence) -> tuple[Sign, ...]:
    """Whoever consented before had an organization there, at least then."""
    grant = evidence.grant
    known = grant is not None and grant.account is not None and grant.organizations
    email = grant.account.email if grant and grant.account else ""
    return (sign("had-organization", email=email),) if known else ()


def access_type_online(evidence: Evidence) -> Suspicion | None:
    """Without ``access_type=offline`` no refresh token is given."""
    code, offline = "access-type-online", evidence.sent.offline
    if evidence.attempt:
        return ruled_out(code, sign("asked-offline"))
    if offline is not None:
        return None if offline else certain(code, sign("asked-online"))
    return possible(code)


def consent_not_shown(evidence: Evidence) -> Suspicion | None:
    """A consent that was given before and is not shown again gives no refresh token."""
    if evidence.attempt:
        return likely("consent-not-shown", sign("asked-offline"))
    silent = evidence.sent.offline and not evidence.sent.consent_asked
    seen = (sign("asked-silently"),) if silent else ()
    return (likely if silent else possible)("consent-not-shown", *seen)


CONSENT_REFUSED = FailureClass(
    "consent-refused", frozenset({"access-denied"}), (rejected, codes_used_up)
)
CONSENTS_USED_UP = FailureClass(
    "consents-used-up", frozenset({"zoho-page-too-many-requests"}), (codes_used_up, made_too_many)
)
NO_ORGANIZATION = FailureClass(
    "no-organization-there", frozenset({"no-organization"}), (product_not_set_up, wrong_person)
)
NO_REFRESH_TOKEN = FailureClass(
    "no-refresh-token-given",
    frozenset({"no-refresh-token"}),
    (consent_not_shown, access_type_online),
)


def no_refresh_token_stored(evidence: Evidence) -> Suspicion | None:
    """A program without a refresh token works for as long as its first access token."""
    return possible("no-refresh-token-stored")


def expiry_in_milliseconds(evidence: Evidence) -> Suspicion | None:
    """``expires_in`` is read in milliseconds where it is seconds, or the other way round."""
    return possible("expiry-arithmetic")


DIES_WITHIN_THE_HOUR = FailureClass(
    "dies-within-the-hour",
    frozenset({"works-for-an-hour"}),
    (no_refresh_token_stored, expiry_in_milliseconds),
)

CLASSES = (
    CODE_REFUSED,
    CODE_OR_REFRESH_TOKEN_REFUSED,
    REDIRECT_URI_REFUSED,
    CONSENT_REFUSED,
    CONSENTS_USED_UP,
    NO_ORGANIZATION,
    NO_REFRESH_TOKEN,
    DIES_WITHIN_THE_HOUR,
)


def _exchanged_within(evidence: Evidence, span: timedelta) -> bool:
    """Whether the code was sent so soon after its consent was begun that it cannot be too old."""
    attempt = evidence.attempt
    if attempt is None or attempt.mode is Mode.SELF_CLIENT:
        return False
    sent = [
        ask.at
        for ask in evidence.asks
        if ask.kind is AskKind.EXCHANGE and ask.connection == attempt.connection
    ]
    return bool(sent) and sent[0] - attempt.created_at < span


def _codes(evidence: Evidence) -> int:
    """Consents begun with the client in the window in which Zoho counts."""
    if evidence.now is None:
        return 0
    since = evidence.now - WINDOW
    return sum(ask.kind is AskKind.CODE and ask.at > since for ask in evidence.asks)


def _split(uri: str) -> SplitResult | None:
    try:
        return urlsplit(uri)
    except ValueError:
        return None
