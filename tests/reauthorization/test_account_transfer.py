"""A user leaves: another account takes the connections over, and the organization stays."""

from typing import Any

import pytest
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.reauthorization import (
    add_verified_connection,
    authorize,
    current_items,
    item_states,
    next_action,
)

from wizard.model import GrantState
from wizard.reauthorization.plan import Action

NEW_ACCOUNT = "integrations@zylker.example"
SAME_ORGANIZATION = {"product": "crm", "organization_id": "20090000001", "name": "Zylker GmbH"}
OTHER_ORGANIZATION = {"product": "crm", "organization_id": "20099999999", "name": "Zylker Labs"}


def add_new_account(
    harness: Harness, *organizations: dict[str, str], email: str = NEW_ACCOUNT
) -> None:
    facts: dict[str, Any] = {"first_name": "Ina", "last_name": "Gration", "location": "eu"}
    harness.controls.add_user(
        email, **facts, password="ina-made-up-password", organizations=[*organizations]
    )


def begin(harness: Harness) -> None:
    client = harness.register_client()
    add_verified_connection(harness, "crm", client)
    add_verified_connection(harness, "leads", client)
    harness.services.reauthorization.begin(
        harness.services.reauthorization.connections_of_account(ANNA), new_account_email=NEW_ACCOUNT
    )


def test_the_new_account_is_accepted_for_the_whole_group(harness: Harness) -> None:
    add_new_account(harness, SAME_ORGANIZATION)
    begin(harness)
    step = next_action(harness)
    assert step.item is not None
    assert step.item.email == NEW_ACCOUNT
    for name in ("crm", "leads"):
        authorize(harness, name, NEW_ACCOUNT)
    assert item_states(harness) == {"crm": "reauthorized", "leads": "reauthorized"}
    assert harness.services.reauthorization.connections_of_account(NEW_ACCOUNT) == ("crm", "leads")
    before = harness.services.store.grants.get("crm", 1)
    assert before is not None
    assert before.state is GrantState.REPLACED, "it remains until the new one is in use"


def test_a_deactivated_user_is_replaced_by_an_active_one(harness: Harness) -> None:
    add_new_account(harness, SAME_ORGANIZATION)
    client = harness.register_client()
    add_verified_connection(harness, "crm", client)
    harness.controls.deactivate_user(ANNA)
    harness.verify("crm", 1)
    harness.services.reauthorization.begin(
        harness.services.reauthorization.rejected_connections(), new_account_email=NEW_ACCOUNT
    )
    authorize(harness, "crm", NEW_ACCOUNT)
    assert item_states(harness) == {"crm": "reauthorized"}
    assert harness.services.tokens.access_token("crm").generation == 2


def test_a_different_organization_stops_the_transfer(harness: Harness) -> None:
    add_new_account(harness, OTHER_ORGANIZATION)
    begin(harness)
    authorize(harness, "crm", NEW_ACCOUNT)
    found = {item.connection: item.failure for item in current_items(harness)}["crm"]
    assert found is not None
    assert (next_action(harness).action, found.code) == (Action.DECIDE, "other-organization")
    assert harness.services.store.connections.get("crm").generation == 1


def test_a_read_that_worked_before_and_now_fails_stops_the_transfer(harness: Harness) -> None:
    add_new_account(harness, SAME_ORGANIZATION)
    harness.controls.remove_api_access(NEW_ACCOUNT, "crm")
    begin(harness)
    authorize(harness, "crm", NEW_ACCOUNT)
    assert item_states(harness)["crm"] == "needs_decision"
    assert harness.services.store.connections.get("crm").generation == 1


def test_earlier_reads_count_after_a_full_check_found_the_grant_rejected(
    harness: Harness,
) -> None:
    add_new_account(harness, SAME_ORGANIZATION)
    harness.controls.remove_api_access(NEW_ACCOUNT, "crm")
    harness.add_connection(
        "crm", harness.register_client(), ("AaaServer.profile.READ", "ZohoCRM.modules.leads.READ")
    )
    authorize(harness, "crm")
    harness.controls.deactivate_user(ANNA)
    harness.verify("crm", 1)
    harness.services.reauthorization.begin(["crm"], new_account_email=NEW_ACCOUNT)
    authorize(harness, "crm", NEW_ACCOUNT)
    found = current_items(harness)[0].failure
    assert item_states(harness) == {"crm": "needs_decision"}
    assert found is not None
    assert found.code == "read-lost"


@pytest.mark.parametrize("email", [CARLA, ANNA])
def test_a_different_account_does_not_take_over_the_group(harness: Harness, email: str) -> None:
    add_new_account(harness, SAME_ORGANIZATION)
    begin(harness)
    authorize(harness, "crm", email, FIRST_ORGANIZATION if email == CARLA else "")
    assert item_states(harness)["crm"] == ("needs_decision" if email == CARLA else "pending")


def test_a_third_account_of_the_same_organization_does_not_take_over(harness: Harness) -> None:
    add_new_account(harness, SAME_ORGANIZATION)
    add_new_account(harness, SAME_ORGANIZATION, email="third@zylker.example")
    begin(harness)
    authorize(harness, "crm", "third@zylker.example")
    assert item_states(harness)["crm"] == "needs_decision"
    assert harness.services.store.connections.get("crm").generation == 1
