"""A re-authorization is read from the store: planned, paused, resumed, guarded, verified."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.harness import (
    ANNA,
    BOB,
    CARLA,
    FIRST_ORGANIZATION,
    SCOPE,
    SECOND_ORGANIZATION,
    Harness,
)
from support.reauthorization import (
    add_verified_connection,
    authorize,
    change_password_and_detect,
    current_items,
    item_states,
    next_action,
    reauthorize_all,
)

from wizard.errors import WizardError
from wizard.model import Grant, GrantState
from wizard.reauthorization.plan import Action
from wizard.services import Services
from wizard.zoho import limits

NAMES = ("books", "crm", "desk")


def three_rejected(harness: Harness) -> None:
    client = harness.register_client()
    for name in NAMES:
        add_verified_connection(harness, name, client)
    change_password_and_detect(harness, *NAMES)


def grant_of(harness: Harness, name: str, generation: int | None = None) -> Grant:
    grant = harness.services.store.grants.get(name, generation)
    assert grant is not None
    return grant


def is_ended(harness: Harness, grant: Grant) -> bool:
    return bool(
        harness.simulator.world.grants.refresh_tokens[grant.refresh_token].invalidation_reason
    )


def test_rejected_connections_are_reauthorized_one_consent_at_a_time(harness: Harness) -> None:
    three_rejected(harness)
    assert harness.services.reauthorization.rejected_connections() == NAMES
    harness.services.reauthorization.begin()
    assert item_states(harness) == dict.fromkeys(NAMES, "pending")

    reauthorize_all(harness)

    assert next_action(harness).action is Action.DONE
    assert item_states(harness) == dict.fromkeys(NAMES, "reauthorized")
    for name in NAMES:
        assert harness.services.tokens.access_token(name).generation == 2
    harness.services.reauthorization.end()
    assert harness.services.reauthorization.current() is None
    assert harness.services.reauthorization.rejected_connections() == ()


def test_while_a_new_grant_is_being_verified_no_further_consent_begins(harness: Harness) -> None:
    """Until it is known which account approved it."""
    three_rejected(harness)
    harness.services.reauthorization.begin()
    done = harness.authorize("books")
    assert next_action(harness).action is Action.VERIFYING
    harness.verify("books", done.generation or 0)
    harness.services.reauthorization.continue_after_verification("books")
    assert next_action(harness).action is Action.CONSENT


def test_where_the_account_is_certain_only_a_consent_that_can_start_precedes_a_verification(
    harness: Harness,
) -> None:
    three_rejected(harness)
    service = harness.services.reauthorization
    service.begin()
    harness.authorize("books")
    meanwhile = service.next_action(verifies_meanwhile=True)
    assert meanwhile is not None
    assert (meanwhile.action, meanwhile.item and meanwhile.item.connection) == (
        Action.CONSENT,
        "crm",
    )
    client_id = harness.services.store.connections.get("books").client_id
    for _ in range(limits().codes_budget):
        harness.services.request_log.record_authorization(client_id, "eu", "books")
    waiting = service.next_action(verifies_meanwhile=True)
    assert waiting is not None
    assert waiting.action is Action.VERIFYING


def test_a_part_of_a_reauthorization_is_done_while_others_wait_for_an_answer(
    harness: Harness,
) -> None:
    three_rejected(harness)
    service = harness.services.reauthorization
    service.begin()
    harness.services.authorization.request_consent("books")
    authorize(harness, "crm")
    part = service.next_action(["crm"])
    assert part is not None
    assert part.action is Action.DONE
    rest = next_action(harness)
    assert (rest.action, rest.item and rest.item.connection) == (Action.CONSENT, "desk")


def test_without_rejected_connections_there_is_nothing_to_reauthorize(harness: Harness) -> None:
    harness.add_verified_connection()
    with pytest.raises(WizardError, match="nothing-to-reauthorize"):
        harness.services.reauthorization.begin()
    with pytest.raises(WizardError, match="no-reauthorization"):
        harness.services.reauthorization.pause()


def test_a_working_connection_is_reauthorized_only_by_a_new_consent(harness: Harness) -> None:
    add_verified_connection(harness, "crm", harness.register_client())
    harness.services.reauthorization.begin(("crm",))
    assert item_states(harness) == {"crm": "pending"}
    authorize(harness, "crm")
    assert item_states(harness) == {"crm": "reauthorized"}


def test_a_plan_groups_by_account_data_center_and_client(harness: Harness) -> None:
    one, other = harness.register_client("one"), harness.register_client("two", BOB)
    for name, client, email, organization in (
        ("a", one, ANNA, ""),
        ("b", one, CARLA, FIRST_ORGANIZATION),
        ("c", other, BOB, ""),
        ("d", one, ANNA, ""),
    ):
        add_verified_connection(harness, name, client, email, organization)
    harness.advance(minutes=11)

    plan = harness.services.reauthorization.plan(("a", "b", "c", "d"))

    found = [(group.email, group.location, group.client_name, group.names) for group in plan.groups]
    assert found == [
        (ANNA, "eu", "one", ("a", "d")),
        (BOB, "in", "two", ("c",)),
        (CARLA, "eu", "one", ("b",)),
    ]
    assert (plan.sign_in_count, plan.wait) == (3, timedelta(0))
    assert harness.services.reauthorization.current() is None, "a plan stores nothing"


@pytest.mark.slow
def test_the_ninth_consent_of_a_client_waits_until_zoho_issues_codes_again(
    harness: Harness,
) -> None:
    client = harness.register_client()
    names = [f"crm{number}" for number in range(9)]
    for number, name in enumerate(names):
        if number == 8:
            harness.advance(minutes=11)
        add_verified_connection(harness, name, client)
    harness.advance(minutes=11)
    change_password_and_detect(harness, *names)
    assert harness.services.reauthorization.plan().wait == timedelta(minutes=10)
    harness.services.reauthorization.begin()
    began = harness.now()

    reauthorize_all(harness)

    step = next_action(harness)
    assert step.action is Action.WAIT
    assert step.until is not None
    assert timedelta(minutes=9) < step.until - began <= timedelta(minutes=11)
    harness.advance(seconds=(step.until - harness.now()).total_seconds())
    reauthorize_all(harness)
    assert next_action(harness).action is Action.DONE


def test_a_reauthorization_pauses_resumes_and_skips(harness: Harness) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin()
    harness.services.reauthorization.pause()
    assert next_action(harness).action is Action.PAUSED
    harness.services.reauthorization.resume()
    harness.services.reauthorization.skip("crm")
    reauthorize_all(harness)
    assert item_states(harness) == {
        "books": "reauthorized",
        "crm": "skipped",
        "desk": "reauthorized",
    }
    assert grant_of(harness, "crm").state is GrantState.NEEDS_REAUTHORIZATION


def test_a_reauthorization_survives_a_restart_midway(harness: Harness) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin()
    authorize(harness, "books")
    harness.services.authorization.begin("crm")  # the browser was closed at Zoho
    with Services.open(harness.services.settings, harness.services.clock) as again:
        step = again.reauthorization.next_action()
    assert step is not None
    assert step.item is not None
    assert (step.action, step.item.connection) == (Action.CONSENT, "crm")
    assert (step.item.state, step.previous_email, step.remaining_consents) == (
        "waiting_for_consent",
        ANNA,
        2,
    )


def test_a_rejected_consent_is_repeated_last_and_keeps_its_failure(harness: Harness) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin()
    begun = harness.services.authorization.begin("books")
    state = begun.attempt.oauth_state
    harness.complete_authorization(
        begun, f"{begun.attempt.redirect_uri}?error=access_denied&state={state}"
    )
    assert item_states(harness)["books"] == "authorization_failed"
    authorize(harness, "crm")
    authorize(harness, "desk")
    step = next_action(harness)
    assert step.item is not None
    assert step.item.failure is not None
    assert (step.action, step.item.connection) == (Action.CONSENT, "books")


def test_a_different_account_stops_the_reauthorization_before_replacing_anything(
    harness: Harness,
) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin()
    authorize(harness, "books", CARLA, FIRST_ORGANIZATION)
    step = next_action(harness)
    assert step.item is not None
    assert step.item.failure is not None
    assert (step.action, step.item.connection) == (Action.DECIDE, "books")
    assert harness.services.reauthorization.next_action(verifies_meanwhile=True) == step
    assert (step.item.email, step.item.failure.details["actual"]) == (ANNA, CARLA)
    assert harness.services.store.connections.get("books").generation == 1

    harness.services.reauthorization.discard("books")

    assert is_ended(harness, grant_of(harness, "books", 2))
    assert item_states(harness)["books"] == "pending"
    reauthorize_all(harness)
    assert next_action(harness).action is Action.DONE


def test_a_different_account_is_accepted_only_deliberately(harness: Harness) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin(("books",))
    authorize(harness, "books", CARLA, FIRST_ORGANIZATION)
    harness.services.reauthorization.accept("books")
    assert item_states(harness) == {"books": "reauthorized"}
    account = grant_of(harness, "books").account
    assert account is not None
    assert account.email == CARLA


def test_a_different_organization_stops_the_reauthorization(harness: Harness) -> None:
    add_verified_connection(harness, "crm", harness.register_client(), CARLA, FIRST_ORGANIZATION)
    change_password_and_detect(harness, "crm", email=CARLA)
    harness.services.reauthorization.begin()
    authorize(harness, "crm", CARLA, SECOND_ORGANIZATION)
    assert item_states(harness) == {"crm": "needs_decision"}


def test_fewer_scopes_than_before_stop_the_reauthorization(harness: Harness) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin(("books",))
    begun = harness.services.authorization.begin("books")
    less = replace(begun, url=begun.url.replace("%2CZohoCRM.org.READ", ""))
    assert less.url != begun.url
    done = harness.complete_authorization(begun, harness.give_consent(less))
    harness.verify("books", done.generation or 0)
    harness.services.reauthorization.continue_after_verification("books")
    (item,) = current_items(harness)
    assert item.failure is not None
    assert (item.state, item.failure.code) == ("needs_decision", "scopes-lost")
    assert item.failure.details["missing"] == "ZohoCRM.org.READ"
    assert grant_of(harness, "books").generation == 1


def test_scopes_are_added_during_the_reauthorization(harness: Harness) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin(
        ("books",), additional_scope=("ZohoBooks.settings.READ",)
    )
    reauthorize_all(harness)
    wider = (*SCOPE, "ZohoBooks.settings.READ")
    assert harness.services.store.connections.get("books").scope == wider
    assert set(grant_of(harness, "books").scope) == set(wider)


def test_an_account_moved_to_another_data_center_waits_for_a_decision_and_may_be_accepted(
    harness: Harness,
) -> None:
    client = harness.register_client()
    secret = harness.controls.enable_data_center(client.client_id, "in")
    harness.services.store.clients.set_secret(client.client_id, "in", secret)
    for name in ("crm", "desk"):
        add_verified_connection(harness, name, client)
    change_password_and_detect(harness, "crm", "desk")
    harness.services.reauthorization.begin()
    authorize(harness, "crm")
    harness.controls.move_account(ANNA, "in")
    authorize(harness, "desk")
    _, item = current_items(harness)
    assert item.failure is not None
    assert (item.state, item.failure.code) == ("needs_decision", "account-moved")
    harness.services.reauthorization.accept("desk")
    assert (grant_of(harness, "desk").location, item_states(harness)["desk"]) == (
        "in",
        "reauthorized",
    )

    harness.verify("crm", 2)
    harness.services.reauthorization.end()
    assert harness.services.reauthorization.rejected_connections() == ("crm",), (
        "connections re-authorized earlier were rejected with it"
    )


def test_a_finished_reauthorization_is_replaced_by_the_next(harness: Harness) -> None:
    three_rejected(harness)
    harness.services.reauthorization.begin(("crm",))
    authorize(harness, "crm")
    harness.services.reauthorization.begin()
    assert item_states(harness) == {"books": "pending", "desk": "pending"}
