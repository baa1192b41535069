"""Why a call fails that is no matter of tokens: scope, right, organization, limit, address, way."""

from datetime import timedelta

from wizard.diagnosis import access
from wizard.diagnosis.evidence import Evidence
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
)
from wizard.model import Ask, AskKind
from wizard.zoho import covers, limits

WINDOW = timedelta(seconds=limits().window)
REQUESTS = limits().token_requests
UNNAMED = "which the answer does not name"
"""Stands for the scope that a call wants, where neither Zoho nor the paste says it."""
TOKEN_KINDS = (AskKind.EXCHANGE, AskKind.REFRESH, AskKind.PREFLIGHT)


# --- Scope, right, organization -------------------------------------------------------------------


def scope_not_granted(evidence: Evidence) -> Suspicion | None:
    """A refresh never widens what was granted."""
    code, needed, grant = "scope-not-granted", evidence.sent.scope_needed, evidence.grant
    details = {"needed": needed, "scope_needed": needed} if needed else {"needed": UNNAMED}
    if grant is None or not needed:
        alone = evidence.sent.grant_type != access.WITHOUT_PERSON
        weigh = likely if alone else possible
        return weigh(code, *_token_good(evidence), **details)
    if covers(grant.scope, (needed,)):
        return certain(code, sign("scope-lacks", needed=needed), **details)
    if evidence.connection and covers(grant.scope, evidence.connection.scope):
        return likely(code, sign("fewer-than-asked"), **details)
    return ruled_out(code, sign("scope-granted", needed=needed))


def role_without_right(evidence: Evidence) -> Suspicion | None:
    """Token and scope are good, but the person may not."""
    return possible("role-without-right", *_token_good(evidence))


def organization_not_reached(evidence: Evidence) -> Suspicion | None:
    """A consent covers one organization or environment of the product, or the call named none."""
    grant = evidence.grant
    names = ", ".join(each.name for each in grant.organizations) if grant else ""
    seen = (sign("reaches", names=names),) if names else ()
    return possible("organization-not-reached", *seen)


def environment_differs(evidence: Evidence) -> Suspicion | None:
    """Production, Sandbox and Developer are environments apart."""
    reached = evidence.grant.organizations if evidence.grant else ()
    kinds = {each.environment for each in reached if each.environment}
    if reached and not kinds:
        return None
    seen = (sign("environment-is", names=", ".join(sorted(kinds))),) if kinds else ()
    return possible("environment-differs", *seen)


def person_missing(evidence: Evidence) -> Suspicion | None:
    """What acts for a person refuses a client-credentials token as if a scope were missing."""
    asked = evidence.sent.grant_type == access.WITHOUT_PERSON
    return access.without_user(evidence) if asked else None


SCOPE_MISSING = FailureClass(
    "scope-refused", frozenset({"scope-missing"}), (scope_not_granted, person_missing)
)
PERMISSION_REFUSED = FailureClass(
    "permission-refused",
    frozenset({"no-permission"}),
    (role_without_right, organization_not_reached, environment_differs),
)
ORGANIZATION_REFUSED = FailureClass(
    "organization-refused",
    frozenset({"wrong-organization"}),
    (organization_not_reached, environment_differs),
)


def scope_or_right(evidence: Evidence) -> Suspicion | None:
    """Books and Inventory say code 57 for a scope that was not granted, too."""
    needed = evidence.sent.scope_needed or UNNAMED
    return possible("scope-not-granted", *_token_good(evidence), needed=needed)


NOT_AUTHORIZED = FailureClass(
    "refused-without-a-reason",
    frozenset({"not-authorized"}),
    (
        scope_or_right,
        role_without_right,
        *(access.unless_good(check) for check in access.ACCESS_TOKEN_REFUSED.checks),
    ),
)


# --- Limits ---------------------------------------------------------------------------------------


def throttled_by_ourselves(evidence: Evidence) -> Suspicion | None:
    """The ledger shows who asked."""
    asked = _asked_lately(evidence)
    names = ", ".join(sorted({ask.connection or "pre-flights" for ask in asked}))
    seen = counted("asked-here", len(asked), names=names)
    if len(asked) >= REQUESTS:
        return certain("throttled-by-ourselves", seen)
    if not evidence.client:
        return possible("throttled-by-ourselves")
    return ruled_out("throttled-by-ourselves", seen)


def throttled_by_others(evidence: Evidence) -> Suspicion | None:
    """Another program uses the same client or the same refresh token."""
    asked = _asked_lately(evidence)
    if not evidence.client:
        return possible("throttled-by-others")
    if len(asked) >= REQUESTS:
        return None
    weigh = possible if evidence.attempt else likely
    return weigh("throttled-by-others", counted("few-asked-here", len(asked)))


def too_many_refresh_tokens(evidence: Evidence) -> Suspicion | None:
    """A user may make ten refresh tokens with a client in ten minutes."""
    made = sum(ask.kind is AskKind.EXCHANGE and ask.outcome == "ok" for ask in _lately(evidence))
    exchanging = evidence.attempt is not None or not evidence.client
    seen = (counted("refresh-tokens-made", made),) if made else ()
    return possible("too-many-refresh-tokens", *seen) if exchanging else None


def too_many_codes(evidence: Evidence) -> Suspicion | None:
    """A client may have ten codes in ten minutes."""
    if evidence.client and not evidence.attempt:
        return None  # a refresh asks for no code
    begun = sum(ask.kind is AskKind.CODE for ask in _lately(evidence))
    return possible("too-many-codes", *((sign("many-codes", count=str(begun)),) if begun else ()))


THROTTLED = FailureClass(
    "too-many-requests",
    frozenset({"throttled", "throttled-token-lives"}),
    (throttled_by_others, throttled_by_ourselves, too_many_refresh_tokens, too_many_codes),
)


# --- No matter of OAuth ---------------------------------------------------------------------------


def wrong_host(evidence: Evidence) -> Suspicion | None:
    """Some products answer on hosts of their own, and at no other."""
    return possible("wrong-host")


def wrong_version(evidence: Evidence) -> Suspicion | None:
    """The path names a version or a call that the product does not have."""
    return possible("wrong-version")


WRONG_ADDRESS = FailureClass(
    "wrong-address", frozenset({"wrong-path"}), (wrong_host, wrong_version)
)


# --- The way to Zoho ------------------------------------------------------------------------------


def captive_portal(evidence: Evidence) -> Suspicion | None:
    """A network that wants a sign-in answers with its own page."""
    return possible("captive-portal")


def zoho_page(evidence: Evidence) -> Suspicion | None:
    """Zoho itself answers with a page while it is being repaired."""
    return possible("zoho-answers-with-a-page")


def tls_inspected(evidence: Evidence) -> Suspicion | None:
    """A company's proxy shows a certificate of its own."""
    return possible("tls-inspected")


def certificate_time(evidence: Evidence) -> Suspicion | None:
    """To a clock that is wrong every certificate is too old or too new."""
    reason = evidence.failure.details.get("reason", "") if evidence.failure else ""
    if "not yet valid" in reason or "expired" in reason:
        return likely("clock-against-certificate", sign("certificate-says", reason=reason[:80]))
    return possible("clock-against-certificate")


NOT_JSON = FailureClass(
    "not-zohos-answer", frozenset({"not-json", "unexpected-redirect"}), (captive_portal, zoho_page)
)
UNTRUSTED = FailureClass(
    "certificate-refused", frozenset({"network-tls"}), (tls_inspected, certificate_time)
)

CLASSES = (
    SCOPE_MISSING,
    PERMISSION_REFUSED,
    ORGANIZATION_REFUSED,
    NOT_AUTHORIZED,
    THROTTLED,
    WRONG_ADDRESS,
    NOT_JSON,
    UNTRUSTED,
)


def _token_good(evidence: Evidence) -> tuple[Sign, ...]:
    """The accounts server took the token just now."""
    return (sign("token-taken"),) if access.is_good(evidence) else ()


def _lately(evidence: Evidence) -> list[Ask]:
    if evidence.now is None:
        return []
    return [ask for ask in evidence.asks if ask.at > evidence.now - WINDOW]


def _asked_lately(evidence: Evidence) -> list[Ask]:
    """Token requests for the client that Zoho counted, without the one that was refused."""
    refused = ("not-sent", "throttled")
    return [
        ask for ask in _lately(evidence) if ask.kind in TOKEN_KINDS and ask.outcome not in refused
    ]
