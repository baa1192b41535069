"""Why a product refuses an access token: some ten words of ten products, meaning the same.

An access token lives for an hour, in the data centre that issued it, as long as its refresh token
lives, and among the last ten that were made from it.
"""

from datetime import timedelta

from wizard.diagnosis import grants
from wizard.diagnosis.evidence import Evidence, Holder, Shape
from wizard.diagnosis.weighing import (
    Check,
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
from wizard.model import AskKind
from wizard.zoho import limits

KEPT = limits().access_tokens_per_refresh_token
LIFE = timedelta(seconds=limits().access_token_life)
WITHOUT_PERSON = "client_credentials"
"""The grant type of a Self Client's tokens that speak for no person."""
SKEW = timedelta(seconds=60)
"""A difference of clocks beyond which people should know of it."""


def minted(evidence: Evidence) -> int:
    """Access tokens made here from the grant within the life of one."""
    life = evidence.life
    if life is None or evidence.now is None:
        return 0
    return sum(
        (ask.connection, ask.generation) == (life.connection, life.generation)
        and ask.kind is AskKind.REFRESH
        and ask.outcome == "ok"
        and evidence.now - ask.at < LIFE
        for ask in evidence.asks
    )


def of_other_data_centre(evidence: Evidence) -> Suspicion | None:
    """An access token works in the data centre that issued it, and in no other."""
    code, asked, grant = "access-token-of-other-data-centre", evidence.sent.location, evidence.grant
    if asked and grant:
        signs = sign("sent-elsewhere", asked=asked.upper(), issued=grant.location.upper())
        ours = evidence.sent.token_is is Holder.ACCESS_TOKEN
        if asked == grant.location:
            return ruled_out(code, sign("sent-home", location=asked.upper()))
        return certain(code, signs) if ours else likely(code, signs)
    return None if _met_here(evidence) else possible(code, *_cached_is_good(evidence))


def evicted(evidence: Evidence) -> Suspicion | None:
    """One more than ten from one refresh token kills the oldest at once."""
    made = minted(evidence)
    if made > KEPT:
        return likely("access-token-evicted", sign("many-minted", count=str(made)))
    unexpired = evidence.access_token_until and not _over(evidence)
    if _refused(evidence) and unexpired and evidence.refresh and evidence.refresh.ok:
        return likely("access-token-evicted", sign("refused-early"), sign("refresh-works"))
    suspicion = possible("access-token-evicted")
    if evidence.life is None:
        return suspicion
    return suspicion.against(counted("few-minted", made, most=str(KEPT)))


def expired(evidence: Evidence) -> Suspicion | None:
    """It lives for an hour."""
    age = evidence.sent.age
    if age is not None:
        old = counted("token-age", age // timedelta(minutes=1))
        code = "access-token-expired"
        return certain(code, old) if age >= LIFE else ruled_out(code, old)
    if evidence.access_token_until is None or not _refused(evidence):
        return possible("access-token-expired", *_cached_is_good(evidence))
    if _over(evidence):
        return likely("access-token-expired", sign("past-its-end"))
    return ruled_out("access-token-expired", sign("before-its-end"))


def clock_wrong(evidence: Evidence) -> Suspicion | None:
    """A clock that is behind takes a dead token for a living one."""
    skew = evidence.skew
    if skew is None or abs(skew) <= SKEW:
        return None
    seconds = str(abs(round(skew.total_seconds())))
    direction = "ahead of" if skew > timedelta() else "behind"
    details = {"seconds": seconds, "direction": direction}
    seen = sign("clocks-differ", **details)
    weigh = likely if skew < timedelta() and _refused(evidence) else possible
    return weigh("clock-skew", seen, **details)


def without_user(evidence: Evidence) -> Suspicion | None:
    """A client-credentials token speaks for an organization and for no person."""
    if evidence.sent.grant_type == WITHOUT_PERSON:
        return likely("client-credentials-token", sign("asked-without-user"))
    return None if _met_here(evidence) or evidence.grant else possible("client-credentials-token")


def refresh_token_in_its_place(evidence: Evidence) -> Suspicion | None:
    """A refresh token was sent where an access token belongs."""
    if evidence.sent.token_is is Holder.REFRESH_TOKEN:
        return certain("refresh-token-in-its-place", sign("equals-refresh-token"))
    known = evidence.sent.token_is is not None or _met_here(evidence)
    return None if known else possible("refresh-token-in-its-place")


def not_a_token(evidence: Evidence) -> Suspicion | None:
    """What was sent has not the form of a token."""
    causes = {
        Shape.TRUNCATED: "token-truncated",
        Shape.QUOTED: "token-quoted",
        Shape.BLANK: "token-quoted",
        Shape.CLIENT_ID: "id-in-its-place",
        Shape.CLIENT_SECRET: "id-in-its-place",
        Shape.OTHER: "token-truncated",
    }
    shape = evidence.sent.token_shape
    if shape in causes:
        return certain(causes[shape], sign("token-shape", shape=shape.value.replace("-", " ")))
    known = shape is not None or _met_here(evidence)
    return None if known else possible("token-truncated")


def died_with_its_grant(check: Check) -> Check:
    """A cause that killed the refresh token kills its access tokens as well."""

    def weighed(evidence: Evidence) -> Suspicion | None:
        suspicion = check(evidence)
        if suspicion and evidence.refresh and evidence.refresh.ok:
            return ruled_out(suspicion.code, sign("refresh-works"))
        if suspicion and is_good(evidence):
            return ruled_out(suspicion.code, sign("token-taken"))
        return suspicion

    return weighed


FROM_THE_GRANT = tuple(
    died_with_its_grant(check)
    for check in (
        grants.password_changed,
        grants.app_removed,
        grants.token_revoked_elsewhere,
        grants.refresh_token_evicted,
        grants.user_deactivated,
    )
)

ACCESS_TOKEN_REFUSED = FailureClass(
    "access-token-refused",
    frozenset({"token-invalid"}),
    (
        of_other_data_centre,
        evicted,
        expired,
        *FROM_THE_GRANT,
        clock_wrong,
        refresh_token_in_its_place,
        not_a_token,
        without_user,
    ),
)


def unless_good(check: Check) -> Check:
    """A cause in the token, which is no cause once the accounts server has taken the token."""
    return lambda evidence: None if is_good(evidence) else check(evidence)


def is_good(evidence: Evidence) -> bool:
    """Whether the accounts server or a product took the access token just now."""
    return any(heard is not None and heard.ok for heard in (evidence.user_info, evidence.read))


def _over(evidence: Evidence) -> bool:
    """Whether the access token's life had ended, by this computer's clock."""
    until = evidence.access_token_until
    return until is not None and evidence.now is not None and until <= evidence.now


def _refused(evidence: Evidence) -> bool:
    """Whether the accounts server itself refused the access token just now."""
    heard = evidence.user_info
    return heard is not None and heard.failure is not None and heard.failure.code == "token-invalid"


def _cached_is_good(evidence: Evidence) -> tuple[Sign, ...]:
    """The token that is cached here works: a program was refused with another, or elsewhere."""
    taken = evidence.access_token_until is not None and is_good(evidence)
    return (sign("cached-is-good"),) if taken and not _refused(evidence) else ()


def _met_here(evidence: Evidence) -> bool:
    """Whether the wizard itself sent the token: to the right place, whole, and an access token."""
    return evidence.failure is not None and evidence.failure.exchange is not None
