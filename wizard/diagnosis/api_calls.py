"""Why a call fails if not for its token: scope, permission, organization, limit, URL, network."""

from wizard.diagnosis import tokens
from wizard.diagnosis.evidence import (
    CauseEstimate,
    Evidence,
    EvidenceItem,
    FailureClass,
    confirmed,
    evidence_item,
    likely,
    possible,
    ruled_out,
)
from wizard.model import RequestKind, TokenRequest
from wizard.tokens import budgets
from wizard.zoho import limits, missing_scopes

MAX_TOKEN_REQUESTS = limits().token_requests


# --- Scope, permission, organization --------------------------------------------------------------


def scope_not_granted(evidence: Evidence) -> CauseEstimate | None:
    """A refresh never adds scopes."""
    code, needed, grant = "scope-not-granted", evidence.sent_request.required_scope, evidence.grant
    details = {"needed": needed, "scope_needed": needed} if needed else {}
    granted = evidence.sent_request.granted_scopes
    if grant is None and needed and granted:
        if missing_scopes(granted, (needed,)):
            return likely(code, evidence_item("scope-not-in-text", needed=needed), **details)
        return possible(code, **details)
    if grant is None or not needed:
        alone = evidence.sent_request.grant_type != tokens.CLIENT_CREDENTIALS
        weigh = likely if alone else possible
        return weigh(code, *_token_accepted_evidence(evidence), **details)
    if missing_scopes(grant.scope, (needed,)):
        return confirmed(code, evidence_item("scope-lacks", needed=needed), **details)
    if evidence.connection and missing_scopes(grant.scope, evidence.connection.scope):
        return likely(code, evidence_item("fewer-than-asked"), **details)
    return ruled_out(code, evidence_item("scope-granted", needed=needed))


def role_lacks_permission(evidence: Evidence) -> CauseEstimate | None:
    """The token and the scope are good, but the user doesn't have the permission."""
    return possible("role-without-right", *_token_accepted_evidence(evidence))


def organization_not_covered(evidence: Evidence) -> CauseEstimate | None:
    """A consent covers one organization or environment of the product, or the call named none."""
    grant = evidence.grant
    names = ", ".join(each.name for each in grant.organizations) if grant else ""
    items = (evidence_item("reaches", names=names),) if names else ()
    return possible("organization-not-reached", *items)


def environment_differs(evidence: Evidence) -> CauseEstimate | None:
    """Production, Sandbox and Developer are separate environments."""
    reached = evidence.grant.organizations if evidence.grant else ()
    kinds = {each.environment for each in reached if each.environment}
    if reached and not kinds:
        return None
    items = (evidence_item("environment-is", names=", ".join(sorted(kinds))),) if kinds else ()
    return possible("environment-differs", *items)


def user_missing(evidence: Evidence) -> CauseEstimate | None:
    """A call that needs a user rejects a client-credentials token as if a scope were missing."""
    has_no_user = evidence.sent_request.grant_type == tokens.CLIENT_CREDENTIALS
    return tokens.client_credentials_token(evidence) if has_no_user else None


def edition_lacks_call(evidence: Evidence) -> CauseEstimate | None:
    """The plan of the organization doesn't include the API or the feature."""
    return possible("edition-without-api")


SCOPE_MISSING = FailureClass(
    "scope-refused", (scope_not_granted, user_missing, tokens.scope_sent_on_refresh)
)
PERMISSION_REFUSED = FailureClass(
    "permission-refused",
    (role_lacks_permission, organization_not_covered, environment_differs, edition_lacks_call),
)
ORGANIZATION_REFUSED = FailureClass(
    "organization-refused",
    (organization_not_covered, environment_differs),
)


def scope_or_permission(evidence: Evidence) -> CauseEstimate | None:
    """Books and Inventory return code 57 for a missing scope as well."""
    if (lacking := tokens.granted_scopes_lack(evidence)) is not None:
        return lacking
    sent = evidence.sent_request
    needed = sent.required_scope
    details = {"needed": needed, "scope_needed": needed} if needed else {}
    estimate = possible("scope-not-granted", *_token_accepted_evidence(evidence), **details)
    if needed and sent.granted_scopes:
        return estimate.with_evidence_against(evidence_item("scope-in-text", needed=needed))
    return estimate


NOT_AUTHORIZED = FailureClass(
    "refused-without-a-reason",
    (
        scope_or_permission,
        role_lacks_permission,
        *(tokens.unless_token_accepted(check) for check in tokens.ACCESS_TOKEN_REFUSED.checks),
    ),
)


# --- Limits ---------------------------------------------------------------------------------------


def rate_limited_by_own_requests(evidence: Evidence) -> CauseEstimate | None:
    """The request log shows who sent requests."""
    counted = _recent_counted_requests(evidence)
    names = ", ".join(sorted({request.connection or "client checks" for request in counted}))
    item = evidence_item("asked-here", count=str(len(counted)), names=names)
    if len(counted) >= MAX_TOKEN_REQUESTS:
        return confirmed("throttled-by-ourselves", item)
    if not evidence.client:
        return possible("throttled-by-ourselves")
    return ruled_out("throttled-by-ourselves", item)


def rate_limited_by_others(evidence: Evidence) -> CauseEstimate | None:
    """Another program uses the same client or the same refresh token."""
    counted = _recent_counted_requests(evidence)
    if not evidence.client:
        return possible("throttled-by-others")
    if len(counted) >= MAX_TOKEN_REQUESTS:
        return None
    weigh = possible if evidence.attempt else likely
    return weigh("throttled-by-others", evidence_item("few-asked-here", count=str(len(counted))))


def too_many_refresh_tokens(evidence: Evidence) -> CauseEstimate | None:
    """A user can get ten refresh tokens with a client in ten minutes."""
    made = sum(
        request.kind is RequestKind.CODE_EXCHANGE and request.outcome == "ok"
        for request in evidence.recent_requests
    )
    exchanging = evidence.attempt is not None or not evidence.client
    items = (evidence_item("refresh-tokens-made", count=str(made)),) if made else ()
    return possible("too-many-refresh-tokens", *items) if exchanging else None


def too_many_codes(evidence: Evidence) -> CauseEstimate | None:
    """A client can get ten codes in ten minutes."""
    if evidence.client and not evidence.attempt:
        return None  # a refresh needs no code
    begun = evidence.recent_authorizations
    return possible(
        "too-many-codes", *((evidence_item("many-codes", count=str(begun)),) if begun else ())
    )


RATE_LIMITED = FailureClass(
    "too-many-requests",
    (rate_limited_by_others, rate_limited_by_own_requests, too_many_refresh_tokens, too_many_codes),
)


# --- The URL --------------------------------------------------------------------------------------


def wrong_host(evidence: Evidence) -> CauseEstimate | None:
    """Some products have their own hosts."""
    return possible("wrong-host")


def wrong_version(evidence: Evidence) -> CauseEstimate | None:
    """The path has a version or a call that the product doesn't have."""
    return possible("wrong-version")


def scope_hidden(evidence: Evidence) -> CauseEstimate | None:
    """Zoho's gateway may report a call as a wrong URL if the token lacks its scope."""
    word = evidence.failure.zoho_error if evidence.failure else ""
    if word != "URL_RULE_NOT_CONFIGURED" or evidence.grant is not None:
        return None
    needed = evidence.sent_request.required_scope
    details = {"needed": needed, "scope_needed": needed} if needed else {}
    return possible("scope-not-granted", evidence_item("same-word-for-scope"), **details)


WRONG_ADDRESS = FailureClass("wrong-address", (wrong_host, wrong_version, scope_hidden))


# --- The network ----------------------------------------------------------------------------------


def captive_portal(evidence: Evidence) -> CauseEstimate | None:
    """A network that requires a sign-in returns its own page."""
    if evidence.sent_request.is_page_of_zoho:
        return ruled_out("captive-portal", evidence_item("page-of-zoho"))
    return possible("captive-portal")


def zoho_page(evidence: Evidence) -> CauseEstimate | None:
    """Zoho itself returns a page during maintenance."""
    own = (evidence_item("page-of-zoho"),) if evidence.sent_request.is_page_of_zoho else ()
    return possible("zoho-answers-with-a-page", *own)


def tls_inspected(evidence: Evidence) -> CauseEstimate | None:
    """A company's proxy presents its own certificate."""
    return possible("tls-inspected")


def certificate_time(evidence: Evidence) -> CauseEstimate | None:
    """With a wrong clock, every certificate is too old or too new."""
    reason = evidence.failure.details.get("reason", "") if evidence.failure else ""
    if "not yet valid" in reason or "expired" in reason:
        return likely(
            "clock-against-certificate", evidence_item("certificate-says", reason=reason[:80])
        )
    return possible("clock-against-certificate")


NOT_JSON = FailureClass("not-zohos-answer", (captive_portal, zoho_page))
UNTRUSTED = FailureClass("certificate-refused", (tls_inspected, certificate_time))

CLASSES = (
    SCOPE_MISSING,
    PERMISSION_REFUSED,
    ORGANIZATION_REFUSED,
    NOT_AUTHORIZED,
    RATE_LIMITED,
    WRONG_ADDRESS,
    NOT_JSON,
    UNTRUSTED,
)


def _token_accepted_evidence(evidence: Evidence) -> tuple[EvidenceItem, ...]:
    """That the accounts server has just accepted the token."""
    return (evidence_item("token-taken"),) if tokens.is_token_accepted(evidence) else ()


def _recent_counted_requests(evidence: Evidence) -> list[TokenRequest]:
    """Token requests for the client that Zoho counted, without the rejected one."""
    return [
        request
        for request in evidence.recent_requests
        if budgets.is_counted(request) and request.outcome != budgets.RATE_LIMITED
    ]
