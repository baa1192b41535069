"""A further task for a connection that is there: the same one, wider scopes, one consent."""

from core import SCOPE, Core
from made import refused

from wizard.authorization import Begun
from wizard.model import GrantState, RungState

BOOKS = ("ZohoBooks.settings.READ",)
WIDER = (*SCOPE, *BOOKS)


def begin(core: Core) -> Begun:
    return core.house.authorization.begin("crm", scope=BOOKS)


def scope_of(core: Core) -> tuple[str, ...]:
    return core.house.store.connection("crm").scope


def test_the_scopes_are_widened_when_the_new_grant_is_proved(core: Core) -> None:
    core.proved()
    done = core.finish(begun := begin(core), core.consent(begun))
    assert begun.attempt.scope == WIDER
    assert done.generation == 2
    assert scope_of(core) == SCOPE, "a consent is no proof yet"

    rungs = {rung.name: rung.state for rung in core.climb("crm", 2)}

    assert rungs["scope"] is RungState.PASSED
    assert scope_of(core) == WIDER
    grant = core.house.store.grant("crm")
    assert grant is not None
    assert (grant.generation, set(grant.scope)) == (2, set(WIDER))
    before = core.house.store.grant("crm", 1)
    assert before is not None
    assert before.state is GrantState.SUPERSEDED


def test_a_refused_consent_widens_nothing(core: Core) -> None:
    core.proved()
    begun = begin(core)
    state = begun.attempt.oauth_state
    core.finish(begun, f"{begun.attempt.redirect_uri}?error=access_denied&state={state}")

    assert scope_of(core) == SCOPE
    assert core.house.broker.access_token("crm").generation == 1
    assert core.house.authorization.begin("crm").attempt.scope == SCOPE


def test_another_persons_consent_widens_nothing(core: Core) -> None:
    core.proved()
    begun = begin(core)
    done = core.finish(begun, core.consent(begun, "carla@zylker.example", "20091000001"))
    assert done.generation is not None
    core.climb("crm", done.generation)

    assert scope_of(core) == SCOPE
    assert core.house.broker.access_token("crm").generation == 1


def test_scopes_that_were_narrowed_are_not_widened_by_the_next_consent(core: Core) -> None:
    core.proved()
    core.house.store.set_scope("crm", SCOPE[:2])
    done = core.authorize("crm")
    assert done.generation is not None
    core.climb("crm", done.generation)
    assert scope_of(core) == SCOPE[:2]


def test_an_unknown_connection_cannot_be_widened(core: Core) -> None:
    with refused("unknown-connection"):
        begin(core)
