"""Add scopes to an existing connection with one consent."""

from support.harness import SCOPE, Harness
from support.records import raises_failure

from wizard.authorization import StartedAttempt
from wizard.model import GrantState, StepState

BOOKS = ("ZohoBooks.settings.READ",)
WIDER_SCOPE = (*SCOPE, *BOOKS)


def begin_extension(harness: Harness) -> StartedAttempt:
    return harness.services.authorization.begin("crm", additional_scope=BOOKS)


def scope_of(harness: Harness) -> tuple[str, ...]:
    return harness.services.store.connections.get("crm").scope


def test_scopes_are_extended_when_the_new_grant_is_verified(harness: Harness) -> None:
    harness.add_verified_connection()
    done = harness.complete_authorization(
        begun := begin_extension(harness), harness.give_consent(begun)
    )
    assert begun.attempt.scope == WIDER_SCOPE
    assert done.generation == 2
    assert scope_of(harness) == SCOPE, "the consent isn't verified yet"

    steps = {step.name: step.state for step in harness.verify("crm", 2)}

    assert steps["scope"] is StepState.PASSED
    assert scope_of(harness) == WIDER_SCOPE
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    assert (grant.generation, set(grant.scope)) == (2, set(WIDER_SCOPE))
    before = harness.services.store.grants.get("crm", 1)
    assert before is not None
    assert before.state is GrantState.REPLACED


def test_a_refused_consent_extends_no_scopes(harness: Harness) -> None:
    harness.add_verified_connection()
    begun = begin_extension(harness)
    state = begun.attempt.oauth_state
    harness.complete_authorization(
        begun, f"{begun.attempt.redirect_uri}?error=access_denied&state={state}"
    )

    assert scope_of(harness) == SCOPE
    assert harness.services.tokens.access_token("crm").generation == 1
    assert harness.services.authorization.begin("crm").attempt.scope == SCOPE


def test_the_consent_of_a_different_user_extends_no_scopes(harness: Harness) -> None:
    harness.add_verified_connection()
    begun = begin_extension(harness)
    done = harness.complete_authorization(
        begun, harness.give_consent(begun, "carla@zylker.example", "20091000001")
    )
    assert done.generation is not None
    harness.verify("crm", done.generation)

    assert scope_of(harness) == SCOPE
    assert harness.services.tokens.access_token("crm").generation == 1


def test_scopes_that_were_narrowed_are_not_extended_by_the_next_consent(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.store.connections.set_scope("crm", SCOPE[:2])
    done = harness.authorize("crm")
    assert done.generation is not None
    harness.verify("crm", done.generation)
    assert scope_of(harness) == SCOPE[:2]


def test_an_unknown_connection_cannot_be_extended(harness: Harness) -> None:
    with raises_failure("unknown-connection"):
        begin_extension(harness)
