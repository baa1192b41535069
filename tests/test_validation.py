"""The ladder, the decision that follows it, and the clients it is asked with."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from core import ANNA, BOB, CARLA, OUTLET, PRODUCTION, SCOPE, Core, settings_for

from wizard.errors import WizardError
from wizard.house import House
from wizard.model import Client, Event, Grant, GrantState, Rung, RungState
from wizard.sandbox import seed
from wizard.sandbox.server import Sandbox
from wizard.sandbox.world import World
from wizard.validation import Credentials, headline

RUNGS = ["refresh", "identity", "organization", "read:crm", "scope", "clock"]


def states(rungs: list[Rung]) -> dict[str, RungState]:
    return {rung.name: rung.state for rung in rungs}


def grant_of(core: Core, name: str = "crm", generation: int | None = None) -> Grant:
    grant = core.house.store.grant(name, generation)
    assert grant is not None
    return grant


# --- The ladder ----------------------------------------------------------------------------------


def test_a_climb_proves_a_grant_and_makes_it_current(core: Core) -> None:
    core.connection()
    assert core.authorize("crm").generation == 1
    assert core.house.store.connection("crm").generation == 0

    rungs = core.climb("crm", 1)

    assert [rung.name for rung in rungs] == RUNGS
    assert set(states(rungs).values()) == {RungState.PASSED}
    assert grant_of(core).state is GrantState.PROVED
    assert headline(grant_of(core)) == "This reaches Zylker GmbH, Production, EU, as " + ANNA


def test_each_rung_is_committed_before_the_next_is_climbed(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    for count, _ in enumerate(core.house.validation.climb("crm", 1), start=1):
        receipt = core.house.store.receipt("crm", 1)
        assert receipt is not None
        assert len(receipt.rungs) == count
        assert receipt.finished_at is None
    finished = core.house.store.receipt("crm", 1)
    assert finished is not None
    assert finished.proved


def test_a_climb_that_broke_off_leaves_an_unfinished_receipt_and_can_be_repeated(
    core: Core,
) -> None:
    core.connection()
    core.authorize("crm")
    climb = core.house.validation.climb("crm", 1)
    next(climb)
    climb.close()  # as its process would
    unfinished = core.house.store.receipt("crm", 1)
    assert unfinished is not None
    assert not unfinished.proved
    assert grant_of(core, generation=1).state is GrantState.UNPROVED
    core.climb("crm", 1)
    assert grant_of(core).generation == 1


def test_one_grant_is_climbed_by_one_climber_at_a_time(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    first = core.house.validation.climb("crm", 1)
    next(first)
    with pytest.raises(WizardError, match="climb-under-way"):
        next(core.house.validation.climb("crm", 1))
    assert [rung.name for rung in first] == RUNGS[1:]


def test_an_organization_chosen_at_the_consent_is_the_one_in_the_headline(core: Core) -> None:
    grant = core.proved("crm", CARLA, OUTLET)
    assert headline(grant) == "This reaches Zylker Outlet, Production, EU, as " + CARLA


def test_a_failed_read_leaves_the_grant_unproved(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    core.admin.bar(ANNA, "crm")
    rungs = core.climb("crm", 1)
    failed = [rung for rung in rungs if rung.state is RungState.FAILED]
    assert {rung.failure.code for rung in failed if rung.failure} == {"no-permission"}
    assert grant_of(core, generation=1).state is GrantState.UNPROVED
    assert core.house.store.connection("crm").generation == 0


def test_a_climb_that_cannot_ask_for_the_organization_does_not_forget_it(core: Core) -> None:
    before = core.proved().organizations
    core.admin.fault("dc-down", endpoint="crm/v8", times=2)
    rungs = states(core.climb("crm", 1))
    assert rungs["organization"] is RungState.FAILED
    assert grant_of(core).organizations == before


def test_a_network_fault_fails_a_rung_and_says_nothing_about_the_grant(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    core.admin.fault("cut", endpoint="oauth/v2/token", times=9)
    (rung,) = core.climb("crm", 1)
    assert rung.state is RungState.FAILED
    assert rung.failure is not None
    assert rung.failure.temporary
    assert grant_of(core, generation=1).state is GrantState.UNPROVED


@pytest.mark.parametrize("odd_word", [False, True])
def test_an_access_token_that_died_during_the_climb_is_renewed_once(
    core: Core, odd_word: bool
) -> None:
    core.admin.change_settings(crm_authentication_failure=odd_word)
    core.connection()
    core.authorize("crm")
    climb = core.house.validation.climb("crm", 1)
    rungs = [next(climb), next(climb)]
    for token in core.sandbox.world.grants.access_tokens.values():
        token.ended = "evicted"
    rungs += climb
    assert set(states(rungs).values()) == {RungState.PASSED}
    assert len(core.refreshes()) == 2


def test_fewer_scopes_than_asked_are_partial_and_named(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    core.house.store.set_scope("crm", (*SCOPE, "ZohoBooks.invoices.READ"))
    scope = next(rung for rung in core.climb("crm", 1) if rung.name == "scope")
    assert scope.state is RungState.PARTIAL
    assert scope.evidence["not granted"] == "ZohoBooks.invoices.READ"
    assert grant_of(core).state is GrantState.PROVED


def test_a_clock_that_is_off_by_minutes_is_said(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    core.admin.fault("skew", seconds=300, endpoint="oauth/v2/token")
    clock = core.climb("crm", 1)[-1]
    assert clock.name == "clock"
    assert clock.state is RungState.PARTIAL
    assert "behind Zoho" in clock.evidence["difference"]


def test_products_without_organizations_are_proved_all_the_same(core: Core) -> None:
    client = core.client()
    core.connection("chat", client, ("AaaServer.profile.READ", "ZohoCliq.Channels.READ"))
    core.authorize("chat")
    rungs = states(core.climb("chat", 1))
    assert rungs["organization"] is RungState.SKIPPED
    assert rungs["read:cliq"] is RungState.PASSED
    assert headline(grant_of(core, "chat")) == f"This reaches the account of {ANNA}, EU"


class Misled(World):
    """A Zoho whose answers name somebody else's API domain."""

    def api_domain(self, location: str) -> str:
        return "https://www.zohoapis.eu.example"


@pytest.fixture
def misled(tmp_path: Path) -> Iterator[Core]:
    world = Misled()
    seed.populate(world)
    with (
        Sandbox(world=world) as sandbox,
        House.open(settings_for(tmp_path, sandbox.url), sandbox.clock) as house,
    ):
        yield Core(house, sandbox, tmp_path)


def test_a_foreign_api_domain_is_refused_and_the_refresh_token_kept(misled: Core) -> None:
    misled.connection()
    assert misled.authorize("crm").generation == 1
    misled.admin.clear_journal()
    (rung,) = misled.climb("crm", 1)
    assert rung.failure is not None
    assert rung.failure.code == "foreign-api-domain"
    assert {entry["host"] for entry in misled.admin.journal()} == {"accounts"}
    grant = grant_of(misled, generation=1)
    assert grant.state is GrantState.UNPROVED
    assert grant.refresh_token


# --- Generation n+1 ------------------------------------------------------------------------------


def test_generation_n_stays_current_until_n_plus_1_is_proved(core: Core) -> None:
    core.proved()
    core.authorize("crm")
    assert core.house.store.connection("crm").generation == 1
    core.climb("crm", 2)
    assert core.house.store.connection("crm").generation == 2
    assert grant_of(core, generation=1).state is GrantState.SUPERSEDED
    assert core.house.broker.access_token("crm").generation == 2


def test_another_person_is_held_before_anything_is_overwritten(core: Core) -> None:
    core.proved()
    core.authorize("crm", CARLA, PRODUCTION)
    core.climb("crm", 2)
    held = grant_of(core, generation=2)
    assert held.state is GrantState.MISMATCH
    assert held.failure is not None
    assert held.failure.code == "other-account"
    assert held.failure.details["before"] == ANNA
    assert held.failure.details["now"] == CARLA
    assert grant_of(core).generation == 1
    assert core.house.broker.access_token("crm", fresh=True).generation == 1


def test_another_organization_of_the_same_person_is_held(core: Core) -> None:
    core.proved("crm", CARLA, PRODUCTION)
    core.authorize("crm", CARLA, OUTLET)
    core.climb("crm", 2)
    held = grant_of(core, generation=2)
    assert held.failure is not None
    assert held.failure.code == "other-organization"
    assert "Zylker Outlet" in held.failure.details["now"]
    assert grant_of(core).generation == 1


def test_a_held_grant_is_adopted_only_deliberately(core: Core) -> None:
    core.proved()
    core.authorize("crm", CARLA, PRODUCTION)
    core.climb("crm", 2)
    core.house.authorization.adopt("crm", 2)
    assert grant_of(core).generation == 2
    assert grant_of(core).state is GrantState.PROVED
    with pytest.raises(WizardError, match="nothing-held"):
        core.house.authorization.adopt("crm", 2)


def test_a_discarded_grant_is_revoked_at_zoho(core: Core) -> None:
    core.proved()
    core.authorize("crm", CARLA, PRODUCTION)
    core.climb("crm", 2)
    core.house.authorization.discard("crm", 2)
    stray = grant_of(core, generation=2)
    assert stray.state is GrantState.REVOKED
    assert core.sandbox.world.grants.refresh_tokens[stray.refresh_token].ended
    assert core.house.broker.access_token("crm").generation == 1


def test_the_account_of_a_dead_grant_is_still_compared_with(core: Core) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    core.advance(minutes=2)
    with pytest.raises(WizardError, match="grant-dead"):
        core.house.broker.access_token("crm", fresh=True)
    core.authorize("crm", CARLA, PRODUCTION)
    core.climb("crm", 2)
    assert grant_of(core, generation=2).state is GrantState.MISMATCH
    core.house.authorization.discard("crm", 2)
    core.authorize("crm")
    core.climb("crm", 3)
    assert grant_of(core).generation == 3


# --- Clients -------------------------------------------------------------------------------------


def credentials(core: Core, **facts: str) -> tuple[str, str]:
    made = core.admin.register_client(
        facts.pop("owner", ANNA), ["http://localhost:8733/callback"], name="Another", **facts
    )
    ((_, secret),) = made["secrets"].items()
    return made["client_id"], secret


def register(core: Core, text: str, location: str | None = None) -> str:
    client = core.house.clients.register(
        text, name="c", redirect_uri="http://localhost:8733/callback", location=location
    )
    return client.location


def failure_of(error: pytest.ExceptionInfo[WizardError]) -> str:
    return error.value.failure.code


def test_a_client_is_proved_before_it_is_stored(core: Core) -> None:
    client_id, secret = credentials(core)
    with pytest.raises(WizardError) as wrong:
        register(core, f"{client_id} {secret[::-1]}", "eu")
    assert failure_of(wrong) == "wrong-secret"
    assert core.house.store.clients() == ()
    assert register(core, f"{client_id} {secret}", "eu") == "eu"


def test_a_clients_home_is_found_without_sending_its_secret_elsewhere(core: Core) -> None:
    client_id, secret = credentials(core, owner=BOB, location="in")
    assert register(core, f"{client_id} {secret}") == "in"
    asked = [entry["location"] for entry in core.asked()]
    assert asked == ["us", "eu", "in", "in"], "likeliest first, and then the pre-flight at home"


def test_a_client_chosen_in_the_wrong_data_centre_is_told_where_it_lives(core: Core) -> None:
    client_id, secret = credentials(core)
    with pytest.raises(WizardError) as elsewhere:
        register(core, f"{client_id} {secret}", "us")
    assert failure_of(elsewhere) == "client-elsewhere"
    assert elsewhere.value.failure.details["found"] == "eu"
    sent = [ask.outcome for ask in core.house.store.asks(since=core.now() - timedelta(hours=1))]
    assert sent == ["known-here", "unknown-here"], "and its secret was sent to nobody"


def test_a_search_for_a_client_is_not_repeated_within_the_hour(core: Core) -> None:
    nobody = "1000." + "X" * 30
    for _ in range(3):
        with pytest.raises(WizardError) as unknown:
            register(core, f"{nobody} {'0123456789abcdef' * 2}")
        assert failure_of(unknown) == "client-unknown-everywhere"
    assert len(core.asked()) == 11
    core.advance(hours=1, seconds=1)
    assert core.house.broker.find_home(nobody) is None
    assert len(core.asked()) == 22
    assert core.house.broker.find_home(nobody, again=True) is None
    assert len(core.asked()) == 33


def test_a_new_secret_is_proved_and_the_old_one_kept_until_a_refresh_succeeded(core: Core) -> None:
    core.proved()
    client = core.house.store.clients()[0]
    with pytest.raises(WizardError) as wrong:
        core.house.clients.change_secret(client.client_id, "f0" * 21)
    assert failure_of(wrong) == "wrong-secret"
    fresh = core.admin.rotate_secret(client.client_id)
    core.house.clients.change_secret(client.client_id, fresh)
    assert len(core.house.store.client(client.client_id).secrets) == 2
    core.advance(minutes=11)  # past the window in which all these asks count
    core.house.broker.access_token("crm", fresh=True)
    assert [s.value for s in core.house.store.client(client.client_id).secrets] == [fresh]


def test_a_secret_that_zoho_refuses_gives_way_to_the_one_before(core: Core) -> None:
    core.proved()
    client = core.house.store.clients()[0]
    core.house.store.set_secret(client.client_id, "eu", "f0" * 21)
    core.advance(minutes=2)
    core.house.broker.access_token("crm", fresh=True)
    stored = core.house.store.client(client.client_id)
    assert stored.secret_for("eu") == client.secret_for("eu")
    history: list[Event] = core.house.store.history("crm")
    assert "secret-restored" in [event.kind for event in history]


def test_a_secret_of_another_data_centre_is_checked_there(core: Core) -> None:
    client = core.client()
    with pytest.raises(WizardError) as off:
        core.house.clients.change_secret(client.client_id, "ab1" * 14, "in")
    assert failure_of(off) == "multi-dc-off"
    secret = core.admin.enable(client.client_id, "in")
    core.house.clients.change_secret(client.client_id, secret, "in")
    checks = core.house.clients.check(client.client_id)
    assert {check.location: check.failure for check in checks} == {"eu": None, "in": None}


def admit(core: Core, secret: str, location: str, **more: bool) -> Client:
    """Give the id of the client that was registered last, with a secret for a data center."""
    pasted = Credentials(core.registered["client_id"], secret)
    return core.house.clients.admit(pasted, redirect_uri="", location=location, **more)


def test_a_stored_secret_is_not_sent_to_a_data_center_it_was_not_stored_for(core: Core) -> None:
    client = core.client()
    core.admin.enable(client.client_id, "in")
    core.admin.clear_journal()
    with pytest.raises(WizardError) as refused:
        admit(core, client.secret_for("eu") or "", "in")
    assert failure_of(refused) == "missing-secret"
    assert core.asked() == []


def test_a_secret_for_a_data_center_that_has_none_is_stored_without_a_question(core: Core) -> None:
    client = core.client()
    with pytest.raises(WizardError) as off:
        admit(core, "ab1" * 14, "in")
    assert failure_of(off) == "multi-dc-off"
    secret = core.admin.enable(client.client_id, "in")
    stored = admit(core, secret, "in")
    assert (stored.secret_for("in"), stored.secret_for("eu")) == (secret, client.secret_for("eu"))


def test_a_regenerated_secret_for_all_data_centers_replaces_the_one_that_served_them(
    core: Core,
) -> None:
    client = core.client()
    core.admin.enable(client.client_id, "in", same_credentials=True)
    admit(core, client.secret_for("eu") or "", "in", same_for_all=True)
    fresh = core.admin.rotate_secret(client.client_id)
    with pytest.raises(WizardError) as offered:
        admit(core, fresh, "in")
    assert failure_of(offered) == "secret-differs"
    stored = admit(core, fresh, "in", replace=True)
    assert (stored.secret_for("eu"), stored.secret_for("in")) == (fresh, fresh)
    assert stored.previous_secret_for("eu") == client.secret_for("eu")


def test_a_new_secret_leaves_it_as_it_was_that_one_serves_all_data_centers(core: Core) -> None:
    client = core.client()
    admit(core, client.secret_for("eu") or "", "eu", same_for_all=True)
    fresh = core.admin.rotate_secret(client.client_id)
    assert core.house.clients.change_secret(client.client_id, fresh).common_secret


def test_a_check_names_the_secret_that_stopped_working(core: Core) -> None:
    client = core.client()
    core.admin.rotate_secret(client.client_id)
    (check,) = core.house.clients.check(client.client_id)
    assert check.failure is not None
    assert check.failure.code == "wrong-secret"
    core.admin.delete_client(client.client_id)
    (check,) = core.house.clients.check(client.client_id)
    assert check.failure is not None
    assert check.failure.code == "client-deleted"


def test_a_client_in_use_is_not_removed(core: Core) -> None:
    core.connection()
    client = core.house.store.clients()[0]
    with pytest.raises(WizardError, match="client-in-use"):
        core.house.clients.remove(client.client_id)
    core.house.broker.forget("crm")
    core.house.clients.remove(client.client_id)
    assert core.house.store.clients() == ()
