"""A repair is read from what is stored: planned, paused, resumed, guarded, proved."""

from dataclasses import replace
from datetime import timedelta

import pytest
from core import ANNA, BOB, CARLA, OUTLET, PRODUCTION, SCOPE, Core
from repairing import accept, connect, kill, lines, next_step, repair_all, states

from wizard.errors import WizardError
from wizard.house import House
from wizard.model import Grant, GrantState
from wizard.reauthorization import Step

NAMES = ("books", "crm", "desk")


def three_dead(core: Core) -> None:
    client = core.client()
    for name in NAMES:
        connect(core, name, client)
    kill(core, *NAMES)


def grant_of(core: Core, name: str, generation: int | None = None) -> Grant:
    grant = core.house.store.grant(name, generation)
    assert grant is not None
    return grant


def is_ended(core: Core, grant: Grant) -> bool:
    return bool(core.sandbox.world.grants.refresh_tokens[grant.refresh_token].ended)


def test_dead_connections_are_repaired_one_consent_after_the_other(core: Core) -> None:
    three_dead(core)
    assert core.house.repairs.refused() == NAMES
    core.house.repairs.begin()
    assert states(core) == dict.fromkeys(NAMES, "pending")

    repair_all(core)

    assert next_step(core).step is Step.DONE
    assert states(core) == dict.fromkeys(NAMES, "repaired")
    for name in NAMES:
        assert core.house.broker.access_token(name).generation == 2
    core.house.repairs.end()
    assert core.house.repairs.current() is None
    assert core.house.repairs.refused() == ()


def test_nothing_dead_means_nothing_to_repair(core: Core) -> None:
    core.proved()
    with pytest.raises(WizardError, match="nothing-to-repair"):
        core.house.repairs.begin()
    with pytest.raises(WizardError, match="no-repair"):
        core.house.repairs.pause()


def test_a_plan_groups_by_account_data_centre_and_client(core: Core) -> None:
    one, other = core.client("one"), core.client("two", BOB)
    for name, client, email, organization in (
        ("a", one, ANNA, ""),
        ("b", one, CARLA, PRODUCTION),
        ("c", other, BOB, ""),
        ("d", one, ANNA, ""),
    ):
        connect(core, name, client, email, organization)
    core.advance(minutes=11)

    plan = core.house.repairs.plan(("a", "b", "c", "d"))

    found = [(group.email, group.location, group.client, group.names) for group in plan.groups]
    assert found == [
        (ANNA, "eu", "one", ("a", "d")),
        (BOB, "in", "two", ("c",)),
        (CARLA, "eu", "one", ("b",)),
    ]
    assert (plan.sign_ins, plan.wait) == (3, timedelta(0))
    assert core.house.repairs.current() is None, "a plan stores nothing"


def test_the_ninth_consent_of_a_client_waits_until_zoho_gives_codes_again(core: Core) -> None:
    client = core.client()
    names = [f"crm{number}" for number in range(9)]
    for number, name in enumerate(names):
        if number == 8:
            core.advance(minutes=11)
        connect(core, name, client)
    core.advance(minutes=11)
    kill(core, *names)
    assert core.house.repairs.plan().wait == timedelta(minutes=10)
    core.house.repairs.begin()
    began = core.now()

    repair_all(core)

    step = next_step(core)
    assert step.step is Step.WAIT
    assert step.until is not None
    assert timedelta(minutes=9) < step.until - began <= timedelta(minutes=11)
    core.advance(seconds=(step.until - core.now()).total_seconds())
    repair_all(core)
    assert next_step(core).step is Step.DONE


def test_a_repair_pauses_resumes_and_skips(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin()
    core.house.repairs.pause()
    assert next_step(core).step is Step.PAUSED
    core.house.repairs.resume()
    core.house.repairs.skip("crm")
    repair_all(core)
    assert states(core) == {"books": "repaired", "crm": "skipped", "desk": "repaired"}
    assert grant_of(core, "crm").state is GrantState.DEAD


def test_a_repair_survives_a_restart_in_the_middle(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin()
    accept(core, "books")
    core.house.authorization.begin("crm")  # the browser was closed at Zoho
    with House.open(core.house.settings, core.house.clock) as again:
        step = again.repairs.next_step()
    assert step is not None
    assert step.line is not None
    assert (step.step, step.line.connection) == (Step.CONSENT, "crm")
    assert (step.line.state, step.previous, step.left) == ("at-zoho", ANNA, 2)


def test_a_rejected_consent_comes_again_last_and_carries_its_failure(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin()
    begun = core.house.authorization.begin("books")
    state = begun.attempt.oauth_state
    core.finish(begun, f"{begun.attempt.redirect_uri}?error=access_denied&state={state}")
    assert states(core)["books"] == "refused"
    accept(core, "crm")
    accept(core, "desk")
    step = next_step(core)
    assert step.line is not None
    assert step.line.failure is not None
    assert (step.step, step.line.connection) == (Step.CONSENT, "books")


def test_another_person_stops_the_repair_before_anything_is_overwritten(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin()
    accept(core, "books", CARLA, PRODUCTION)
    step = next_step(core)
    assert step.line is not None
    assert step.line.failure is not None
    assert (step.step, step.line.connection) == (Step.DECIDE, "books")
    assert (step.line.email, step.line.failure.details["now"]) == (ANNA, CARLA)
    assert core.house.store.connection("books").generation == 1

    core.house.repairs.discard("books")

    assert is_ended(core, grant_of(core, "books", 2))
    assert states(core)["books"] == "pending"
    repair_all(core)
    assert next_step(core).step is Step.DONE


def test_another_person_is_accepted_only_deliberately(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin(("books",))
    accept(core, "books", CARLA, PRODUCTION)
    core.house.repairs.accept("books")
    assert states(core) == {"books": "repaired"}
    account = grant_of(core, "books").account
    assert account is not None
    assert account.email == CARLA


def test_another_organization_stops_the_repair(core: Core) -> None:
    connect(core, "crm", core.client(), CARLA, PRODUCTION)
    kill(core, "crm", email=CARLA)
    core.house.repairs.begin()
    accept(core, "crm", CARLA, OUTLET)
    assert states(core) == {"crm": "held"}


def test_fewer_scopes_than_before_stop_the_repair(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin(("books",))
    begun = core.house.authorization.begin("books")
    less = replace(begun, url=begun.url.replace("%2CZohoCRM.org.READ", ""))
    assert less.url != begun.url
    done = core.finish(begun, core.consent(less))
    core.climb("books", done.generation or 0)
    core.house.repairs.settle("books")
    (line,) = lines(core)
    assert line.failure is not None
    assert (line.state, line.failure.code) == ("held", "scopes-lost")
    assert line.failure.details["missing"] == "ZohoCRM.org.READ"
    assert grant_of(core, "books").generation == 1


def test_scopes_are_added_on_the_way(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin(("books",), scope=("ZohoBooks.settings.READ",))
    repair_all(core)
    wider = (*SCOPE, "ZohoBooks.settings.READ")
    assert core.house.store.connection("books").scope == wider
    assert set(grant_of(core, "books").scope) == set(wider)


def test_an_account_that_moved_to_another_data_centre_is_held_and_may_be_accepted(
    core: Core,
) -> None:
    client = core.client()
    secret = core.admin.enable(client.client_id, "in")
    core.house.store.set_secret(client.client_id, "in", secret)
    for name in ("crm", "desk"):
        connect(core, name, client)
    kill(core, "crm", "desk")
    core.house.repairs.begin()
    accept(core, "crm")
    core.admin.move_account(ANNA, "in")
    accept(core, "desk")
    _, line = lines(core)
    assert line.failure is not None
    assert (line.state, line.failure.code) == ("held", "account-moved")
    core.house.repairs.accept("desk")
    assert (grant_of(core, "desk").location, states(core)["desk"]) == ("in", "repaired")

    core.climb("crm", 2)
    core.house.repairs.end()
    assert core.house.repairs.refused() == ("crm",), "what was repaired before died with it"


def test_a_repair_with_nothing_left_to_do_gives_way_to_the_next(core: Core) -> None:
    three_dead(core)
    core.house.repairs.begin(("crm",))
    accept(core, "crm")
    core.house.repairs.begin()
    assert states(core) == {"books": "pending", "desk": "pending"}
