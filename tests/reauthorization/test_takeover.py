"""Somebody leaves: another person takes connections over, the organization stays."""

from typing import Any

import pytest
from core import ANNA, CARLA, PRODUCTION, Core
from repairing import accept, connect, lines, next_step, states

from wizard.model import GrantState
from wizard.reauthorization import Step

NEW = "integrations@zylker.example"
SAME = {"product": "crm", "organization_id": "20090000001", "name": "Zylker GmbH"}
OTHER = {"product": "crm", "organization_id": "20099999999", "name": "Zylker Labs"}


def employ(core: Core, *organizations: dict[str, str]) -> None:
    facts: dict[str, Any] = {"first_name": "Ina", "last_name": "Gration", "location": "eu"}
    core.admin.add_person(
        NEW, **facts, password="ina-made-up-password", organizations=[*organizations]
    )


def begin(core: Core) -> None:
    client = core.client()
    connect(core, "crm", client)
    connect(core, "leads", client)
    core.house.repairs.begin(core.house.repairs.of_account(ANNA), accept=NEW)


def test_the_new_person_is_accepted_for_the_whole_group(core: Core) -> None:
    employ(core, SAME)
    begin(core)
    step = next_step(core)
    assert step.line is not None
    assert step.line.email == NEW
    for name in ("crm", "leads"):
        accept(core, name, NEW)
    assert states(core) == {"crm": "repaired", "leads": "repaired"}
    assert core.house.repairs.of_account(NEW) == ("crm", "leads")
    before = core.house.store.grant("crm", 1)
    assert before is not None
    assert before.state is GrantState.SUPERSEDED, "it lives until the new one is in use"


def test_a_user_who_was_deactivated_is_replaced_by_one_who_stays(core: Core) -> None:
    employ(core, SAME)
    client = core.client()
    connect(core, "crm", client)
    core.admin.deactivate_user(ANNA)
    core.climb("crm", 1)
    core.house.repairs.begin(core.house.repairs.refused(), accept=NEW)
    accept(core, "crm", NEW)
    assert states(core) == {"crm": "repaired"}
    assert core.house.broker.access_token("crm").generation == 2


def test_another_organization_stops_the_takeover(core: Core) -> None:
    employ(core, OTHER)
    begin(core)
    accept(core, "crm", NEW)
    found = {line.connection: line.failure for line in lines(core)}["crm"]
    assert found is not None
    assert (next_step(core).step, found.code) == (Step.DECIDE, "other-organization")
    assert core.house.store.connection("crm").generation == 1


def test_a_read_that_worked_before_and_fails_now_stops_the_takeover(core: Core) -> None:
    employ(core, SAME)
    core.admin.bar(NEW, "crm")
    begin(core)
    accept(core, "crm", NEW)
    assert states(core)["crm"] == "held"
    assert core.house.store.connection("crm").generation == 1


def test_what_was_read_counts_after_a_whole_proof_has_found_the_grant_dead(core: Core) -> None:
    employ(core, SAME)
    core.admin.bar(NEW, "crm")
    core.connection("crm", core.client(), ("AaaServer.profile.READ", "ZohoCRM.modules.leads.READ"))
    accept(core, "crm")
    core.admin.deactivate_user(ANNA)
    core.climb("crm", 1)
    core.house.repairs.begin(["crm"], accept=NEW)
    accept(core, "crm", NEW)
    found = lines(core)[0].failure
    assert states(core) == {"crm": "held"}
    assert found is not None
    assert found.code == "read-lost"


@pytest.mark.parametrize("email", [CARLA, ANNA])
def test_nobody_else_takes_over(core: Core, email: str) -> None:
    employ(core, SAME)
    begin(core)
    accept(core, "crm", email, PRODUCTION if email == CARLA else "")
    assert states(core)["crm"] == ("held" if email == CARLA else "pending")
