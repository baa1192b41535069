"""What is possible if only a program's own message is known: a status without its body, a missing
field, or a word of its SDK.

None of these words is Zoho's, so nothing is confirmed by them; the response body would decide.
"""

from wizard.diagnosis import api_calls, authorization_codes, clients, tokens
from wizard.diagnosis.evidence import (
    CauseCheck,
    CauseEstimate,
    Evidence,
    FailureClass,
    evidence_item,
    likely,
    possible,
)


def only_possible(code: str) -> CauseCheck:
    """A cause that a program's message neither supports nor excludes."""
    return lambda evidence: possible(code)


# --- A status without its body --------------------------------------------------------------------

UNAUTHORIZED_CALL = FailureClass(
    "unauthorized-call",
    (
        tokens.expired,
        api_calls.scope_or_permission,
        *(
            check
            for check in tokens.ACCESS_TOKEN_REFUSED.checks
            if check not in (tokens.expired, tokens.granted_scopes_lack)
        ),
    ),
)
FORBIDDEN_CALL = FailureClass(
    "forbidden-call",
    (
        api_calls.role_lacks_permission,
        api_calls.scope_or_permission,
        api_calls.organization_not_covered,
        api_calls.environment_differs,
        api_calls.edition_lacks_call,
    ),
)
REFUSED_CALL = FailureClass(
    "refused-call",
    (
        only_possible("product-data-refused"),
        api_calls.organization_not_covered,
        api_calls.wrong_version,
        api_calls.scope_or_permission,
    ),
)
FAILED_CALL = FailureClass(
    "failed-call", (only_possible("data-center-down"), only_possible("program-failed"))
)
TOKEN_REQUEST_UNEXPLAINED = FailureClass(
    "token-request-unexplained",
    (
        api_calls.rate_limited_by_others,
        api_calls.rate_limited_by_own_requests,
        clients.sent_as_json,
        clients.parameter_missing,
    ),
)
"""HTTP 400 of the token endpoint: the rate limit is the usual reason of a complete request."""


# --- A missing field ------------------------------------------------------------------------------

ERROR_ANSWER_IGNORED = FailureClass(
    "error-answer-ignored",
    (
        clients.client_from_other_data_center,
        only_possible("token-of-other-data-center"),
        authorization_codes.expired,
        clients.secret_mistyped,
        api_calls.rate_limited_by_others,
        tokens.password_changed,
        tokens.refresh_token_evicted,
    ),
)
"""The token endpoint's errors have HTTP 200, and a program may look for the access token only."""


# --- An SDK's own words ---------------------------------------------------------------------------


def sdk_token_store(evidence: Evidence) -> CauseEstimate | None:
    """The SDK didn't find the token in its own file or database; Zoho wasn't asked."""
    own = evidence.failure is not None and evidence.failure.code == "sdk-error"
    weigh = likely if own else possible
    return weigh("sdk-token-store", *((evidence_item("words-of-sdk"),) if own else ()))


def sdk_outdated(evidence: Evidence) -> CauseEstimate | None:
    """The SDK is too old for its language: its own error class can't be loaded."""
    own = evidence.failure is not None and evidence.failure.code == "sdk-outdated"
    return likely("sdk-too-old", evidence_item("words-of-sdk")) if own else possible("sdk-too-old")


SDK_ERROR = FailureClass("sdk-error", (sdk_token_store, sdk_outdated))


# --- A JSON Web Token is expected -----------------------------------------------------------------


def access_token_not_jwt(evidence: Evidence) -> CauseEstimate | None:
    """A program decodes the access token, which is opaque."""
    own = evidence.failure is not None and evidence.failure.code == "jwt-expected"
    return (likely if own else possible)("access-token-not-jwt")


def id_token_header(evidence: Evidence) -> CauseEstimate | None:
    """A strict library rejects the header parameter ``key_id`` of Zoho's ID tokens."""
    own = evidence.failure is not None and evidence.failure.code == "id-token-refused"
    return (likely if own else possible)("id-token-header-rejected")


JWT_EXPECTED = FailureClass("jwt-expected", (access_token_not_jwt, id_token_header))

CLASSES = (
    UNAUTHORIZED_CALL,
    FORBIDDEN_CALL,
    REFUSED_CALL,
    FAILED_CALL,
    TOKEN_REQUEST_UNEXPLAINED,
    ERROR_ANSWER_IGNORED,
    SDK_ERROR,
    JWT_EXPECTED,
)
