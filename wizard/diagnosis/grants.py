"""Why a refresh token is refused: Zoho says ``invalid_code`` to all of these alike.

A refresh token has no end of its own. What kills it kills others with it, or leaves them alive:
a removal of tokens with the password kills every token of the account, a removed app those of
one client, the 21st token of a user and client only the oldest. So other connections are the
witnesses, by who died together and who lived on.
"""

from datetime import datetime

from wizard.diagnosis.evidence import Evidence, Holder
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
    spoken,
)
from wizard.model import GrantState
from wizard.store import Life
from wizard.zoho import limits

LIVING = (GrantState.PROVED, GrantState.UNPROVED)
"""States of a witness that can be asked."""

KEPT = limits().refresh_tokens_per_user_and_client

TOGETHER = 3
"""So many that ended at one time had one cause; two may have met by chance, and somebody who tidies
up removes two apps in a minute."""


def password_changed(evidence: Evidence) -> Suspicion | None:
    """Every token of the account dies when its owner ticks the box while changing the password."""
    return _of_the_account("password-changed", evidence)


def app_removed(evidence: Evidence) -> Suspicion | None:
    """Every token of the account with this one client dies under Connected Apps."""
    code = "app-removed"
    survivor = _survivor(_own(evidence, same_client=True), evidence)
    if survivor:
        return ruled_out(code, sign("client-lives-on", other=survivor))
    together = _fallen(_own(evidence, same_client=True), evidence)
    spared = _survivor(_own(evidence, same_client=False), evidence)
    seen = _seen("died-with-client", together)
    if together and spared:
        seen = (*seen, sign("other-client-lives", other=spared))
    weigh = likely if spared and _at_once(together, evidence) else possible
    apart = _fallen(_own(evidence, same_client=False), evidence)
    return weigh(code, *seen).against(*_seen("other-client-died", apart))


def refresh_token_evicted(evidence: Evidence) -> Suspicion | None:
    """The 21st refresh token of a user and client kills the oldest."""
    life = evidence.life
    if life is None:
        return possible("refresh-token-evicted")
    mine = _own(evidence, same_client=True)
    older = _survivor([each for each in mine if each.granted_at < life.granted_at], evidence)
    if older:
        return ruled_out("refresh-token-evicted", sign("older-lives-on", other=older))
    younger = [each for each in mine if _counts(each) and each.granted_at > life.granted_at]
    fallen = _fallen(_own(evidence), evidence)
    if len(younger) >= KEPT:
        seen = sign("many-younger", count=str(len(younger)))
        weigh = possible if fallen else likely
        return weigh("refresh-token-evicted", seen).against(*_seen("several-died", fallen))
    doubt = counted("few-younger", len(younger), most=str(KEPT))
    return possible("refresh-token-evicted").against(doubt, *_seen("several-died", fallen))


def user_deactivated(evidence: Evidence) -> Suspicion | None:
    """A user who left or was deactivated takes every token along."""
    return _of_the_account("user-deactivated", evidence)


def token_revoked_elsewhere(evidence: Evidence) -> Suspicion | None:
    """Whoever holds a refresh token may revoke it, by API or among the devices signed in."""
    survivor = _survivor(_own(evidence, same_client=True), evidence)
    suspicion = possible("token-revoked-elsewhere", *_seen_alone(survivor))
    fallen = _fallen(_own(evidence), evidence)
    return suspicion.against(*_seen("several-died", fallen))


def rotated_token_lost(evidence: Evidence) -> Suspicion | None:
    """A server that rotates refresh tokens accepts only the newest; Zoho has rotated none so far.
    The answer with the newest got lost on its way here, or another holder of the token had it."""
    life = evidence.life
    if life is None:
        return None
    code, since = "rotated-token-lost", life.unknown_since
    same = [each for each in evidence.kin if each.location == life.location]
    rotated_at = life.rotated_at or max((e.rotated_at for e in same if e.rotated_at), default=None)
    unanswered = sign("refresh-unanswered", sent_at=spoken(since, evidence.now)) if since else None
    if rotated_at is None:
        return possible(code, unanswered).against(sign("never-rotated")) if unanswered else None
    rotates = sign("has-rotated", rotated_at=spoken(rotated_at, evidence.now))
    if unanswered is None:
        return possible(code, rotates) if life.rotated_at else None
    return likely(code, unanswered, rotates)


def access_token_in_its_place(evidence: Evidence) -> Suspicion | None:
    """An access token was saved where the refresh token belongs."""
    code = "access-token-in-its-place"
    if evidence.sent.token_is is Holder.ACCESS_TOKEN:
        return certain(code, sign("equals-access-token"))
    if evidence.as_access_token and evidence.as_access_token.ok:
        return certain(code, sign("taken-as-access-token"))
    return _unless_it_worked(code, evidence)


def token_of_other_client(evidence: Evidence) -> Suspicion | None:
    """A refresh token works with the client that it was made for, and with no other."""
    code, sent, grant = "token-of-other-client", evidence.sent, evidence.grant
    if grant and sent.client_id and sent.token_is is Holder.REFRESH_TOKEN:
        if sent.client_id == grant.client_id:
            return None
        return certain(code, sign("other-client-sent", sent=sent.client_id, made=grant.client_id))
    return _unless_it_worked(code, evidence)


def token_of_other_data_centre(evidence: Evidence) -> Suspicion | None:
    """A refresh token works in the data centre that issued it, and in no other."""
    asked, grant = evidence.sent.location, evidence.grant
    if asked and grant and evidence.sent.token_is is Holder.REFRESH_TOKEN:
        if asked == grant.location:
            return None
        signs = sign("sent-elsewhere", asked=asked.upper(), issued=grant.location.upper())
        return certain("token-of-other-data-centre", signs)
    return _unless_it_worked("token-of-other-data-centre", evidence)


REFRESH_TOKEN_REFUSED = FailureClass(
    "refresh-token-refused",
    frozenset({"grant-dead", "invalid-code"}),
    (
        password_changed,
        app_removed,
        refresh_token_evicted,
        user_deactivated,
        token_revoked_elsewhere,
        rotated_token_lost,
        access_token_in_its_place,
        token_of_other_client,
        token_of_other_data_centre,
    ),
)


def _of_the_account(code: str, evidence: Evidence) -> Suspicion:
    """What ends every token of an account, of whichever client: nothing that anybody sees tells
    a change of password from the end of a user."""
    survivor = _survivor(_own(evidence), evidence)
    if survivor:
        return ruled_out(code, sign("lives-on", other=survivor))
    apart = _fallen(_own(evidence, same_client=False), evidence)
    if not apart:
        together = _fallen(_own(evidence, same_client=True), evidence)
        return possible(code, *_seen("died-with-client", together))
    one_of_each = {each.client_id: each for each in apart}
    weigh = likely if _at_once(list(one_of_each.values()), evidence) else possible
    return weigh(code, *_seen("died-together", apart))


def _unless_it_worked(code: str, evidence: Evidence) -> Suspicion | None:
    """A token that ever gave an access token is the right one in the right place."""
    if evidence.life is None:
        return possible(code)
    return None if evidence.life.refreshed_at else possible(code, sign("never-worked"))


# --- The witnesses --------------------------------------------------------------------------------


def _own(evidence: Evidence, *, same_client: bool | None = None) -> list[Life]:
    """The lives of the same account's other grants, with this client, with others, or all."""
    life = evidence.life
    if life is None or life.account is None:
        return []
    return [
        each
        for each in evidence.kin
        if each.account is not None
        and (each.account.zuid, each.location) == (life.account.zuid, life.location)
        and same_client in (None, each.client_id == life.client_id)
    ]


def _survivor(witnesses: list[Life], evidence: Evidence) -> str:
    """The name of a witness that lived before the death and worked after it; empty: none did."""
    life, death = evidence.life, _death(evidence)
    if life is None or death is None:
        return ""
    for each in witnesses:
        worked_after = each.worked_at >= death or each.connection in evidence.alive
        if each.current and each.granted_at <= life.worked_at and worked_after:
            return each.connection
    return ""


def _fallen(witnesses: list[Life], evidence: Evidence) -> list[Life]:
    """Those that may have died in the same moment as the grant."""
    return [each for each in witnesses if each.current and _in_one_moment([each], evidence)]


def _at_once(fallen: list[Life], evidence: Evidence) -> bool:
    """Whether these and the grant are so many that they had one cause."""
    return len(fallen) + 1 >= TOGETHER and _in_one_moment(fallen, evidence)


def _in_one_moment(others: list[Life], evidence: Evidence) -> bool:
    """Whether there is a moment at which all of these and the grant may have died: each did after
    it last worked, and before it was refused."""
    life, death = evidence.life, _death(evidence)
    refusals = [_refused_at(each, evidence) for each in others]
    if life is None or death is None or None in refusals:
        return False
    worked = [life.worked_at, *(each.worked_at for each in others)]
    return max(worked) <= min(death, *(each for each in refusals if each is not None))


def _refused_at(kin: Life, evidence: Evidence) -> datetime | None:
    """By when a relative was dead; None where nobody knows that it is."""
    if kin.refused_at is None and kin.connection in evidence.refused - evidence.alive:
        return evidence.now  # its access token died before its end, as with its grant
    return kin.refused_at


def _death(evidence: Evidence) -> datetime | None:
    """The moment by which the grant was dead."""
    refused = evidence.life.refused_at if evidence.life else None
    return refused or evidence.now


def useful_witnesses(evidence: Evidence) -> tuple[Life, ...]:
    """The relatives whose life or death would tell something, the most telling first: one of
    another client of the account, one of the same client, one of a third. A relative that is
    older than the last sign of life tells by its life, too; a younger one only by its death."""
    life, death = evidence.life, _death(evidence)
    if life is None or death is None:
        return ()
    of_clients: dict[str, Life] = {}
    for each in sorted(_own(evidence), key=lambda each: each.granted_at):
        silent = each.current and each.state in LIVING
        if silent and each.granted_at < death and each.worked_at < death:
            of_clients.setdefault(each.client_id, each)
    beside = [each for each in of_clients.values() if each.client_id == life.client_id]
    apart = [each for each in of_clients.values() if each.client_id != life.client_id]
    return (*apart[:1], *beside, *apart[1:2])


def _counts(life: Life) -> bool:
    """Whether it filled one of the places that Zoho keeps for a user and client."""
    return life.state is not GrantState.REVOKED


def _seen(code: str, others: list[Life]) -> tuple[Sign, ...]:
    names = dict.fromkeys(each.connection for each in others)
    return (sign(code, others=", ".join(names)),) if names else ()


def _seen_alone(survivor: str) -> tuple[Sign, ...]:
    return (sign("died-alone", other=survivor),) if survivor else ()
