"""Applying a connections file: one step after the other, and only what the file says."""

from pathlib import Path

import pytest
from support.connections_file import (
    apply_without_consents,
    client_table,
    connection_table,
    plan_of,
    register_clients,
)
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, SECOND_ORGANIZATION, Harness
from support.reauthorization import authorize, item_states, next_action, reauthorize_all

from wizard.connections_file.plan import ConsentReason
from wizard.errors import WizardError
from wizard.model import AttemptMode, GrantState
from wizard.reauthorization.plan import Action

TEST_ORGANIZATION = "20091000003"
"""The sandbox of her first organization in CRM."""


def test_only_connections_with_a_different_organization_or_environment_stop(
    harness: Harness,
) -> None:
    clients = register_clients(harness, "zylker")
    carla = {"account": CARLA, "environment": "Production"}
    text = client_table("zylker", clients["zylker"]["client_id"]) + "".join(
        [
            connection_table("first", "zylker", organization="Zylker GmbH", **carla),
            connection_table("by-id", "zylker", organization=FIRST_ORGANIZATION, **carla),
            connection_table("other", "zylker", organization="Zylker Outlet", **carla),
            connection_table(
                "test",
                "zylker",
                organization="Zylker GmbH",
                **{**carla, "environment": "Sandbox"},
            ),
        ]
    )
    apply_without_consents(harness, text, clients)
    authorize(harness, "other", CARLA, FIRST_ORGANIZATION)
    assert next_action(harness).action is Action.DECIDE
    assisted = harness.services.reauthorization.next_action(verifies_meanwhile=True)
    assert assisted is not None
    assert assisted.action is Action.CONSENT
    for name in ("first", "by-id", "test"):
        authorize(harness, name, CARLA, FIRST_ORGANIZATION)
    assert next_action(harness).action is Action.DECIDE
    for name in ("other", "test"):
        waiting = harness.services.store.grants.candidate(name)
        assert waiting is not None
        assert (waiting.state, waiting.failure and waiting.failure.code) == (
            GrantState.MISMATCH,
            "other-organization",
        )
        harness.services.reauthorization.skip(name)
    assert item_states(harness) == {
        "by-id": "reauthorized",
        "first": "reauthorized",
        "other": "skipped",
        "test": "skipped",
    }
    plan = plan_of(harness, text)
    assert [(each.connection, each.reason) for each in plan.consents] == [
        ("other", ConsentReason.UNFINISHED),
        ("test", ConsentReason.UNFINISHED),
    ]
    apply_without_consents(harness, text, clients)
    authorize(harness, "other", CARLA, SECOND_ORGANIZATION)
    authorize(harness, "test", CARLA, TEST_ORGANIZATION)
    assert not plan_of(harness, text).has_changes


def test_the_message_to_an_account_owner_names_the_organization_of_each_link(
    harness: Harness,
) -> None:
    clients = register_clients(harness, "zylker")
    text = client_table("zylker", clients["zylker"]["client_id"])
    for name, organization in (("a", "Zylker GmbH"), ("b", "Zylker Outlet")):
        text += connection_table(name, "zylker", account=CARLA, organization=organization)
    apply_without_consents(harness, text, clients)
    service = harness.services.authorization
    links = [service.begin(name, AttemptMode.FORWARDED) for name in ("a", "b")]
    several = service.request_message(links, CARLA)
    assert "a (Zylker GmbH): http" in several
    assert "b (Zylker Outlet): http" in several
    assert "choose Zylker Outlet." in service.request_message(links[1:], CARLA)


def test_programs_get_the_credentials_when_their_connection_is_verified(
    harness: Harness, tmp_path: Path
) -> None:
    clients = register_clients(harness, "zylker")
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    tables = [{"profile": "dotenv", "to": str(each)} for each in (first, second)]
    head = client_table("zylker", clients["zylker"]["client_id"])
    one = head + connection_table("leads", "zylker", destinations=tables[:1])
    apply_without_consents(harness, one, clients)
    assert not first.exists()
    reauthorize_all(harness)
    assert "REFRESH_TOKEN" in first.read_text("utf-8")
    both = head + connection_table("leads", "zylker", destinations=tables, access=["root"])
    apply_without_consents(harness, both, clients)
    assert second.read_text("utf-8") == first.read_text("utf-8")
    assert [each.uid for each in harness.services.store.access_permissions.all()] == [0]
    renamed = both.replace(f'"{second}" }}', f'"{second}", names = {{ ZOHO_CLIENT_ID = "ID" }} }}')
    assert renamed != both
    apply_without_consents(harness, renamed, clients)
    assert "\nID=" in f"\n{second.read_text('utf-8')}"
    assert not plan_of(harness, renamed).has_changes
    assert len(harness.services.store.destinations.all()) == 2


def test_more_scopes_and_another_account_take_one_consent(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    head = client_table("zylker", clients["zylker"]["client_id"])
    apply_without_consents(harness, head + connection_table("leads", "zylker"), clients)
    reauthorize_all(harness)
    wider = head + connection_table(
        "leads", "zylker", presets=["crm-read-leads", "books-read-invoices"]
    )
    apply_without_consents(harness, wider, clients)
    assert harness.services.store.connections.get("leads").generation == 1
    reauthorize_all(harness)
    assert not plan_of(harness, wider).has_changes
    grant = harness.services.store.grants.get("leads")
    assert grant is not None
    assert "ZohoBooks.invoices.READ" in grant.scope


def test_a_connection_that_was_never_authorized_is_replaced(harness: Harness) -> None:
    clients = register_clients(harness, "one", "two")
    head = "".join(client_table(name, each["client_id"]) for name, each in clients.items())
    apply_without_consents(harness, head + connection_table("leads", "one"), clients)
    changed = head + connection_table("leads", "two", account=CARLA, access=["root"])
    apply_without_consents(harness, changed, clients)
    plan = plan_of(harness, changed)
    assert (plan.connections, plan.access) == ((), ())
    (item,) = harness.services.reauthorization.latest_items(["leads"])
    assert (item.client_name, item.email) == ("two", CARLA)


def test_consents_that_already_wait_stay_as_they_are(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    head = client_table("zylker", clients["zylker"]["client_id"])
    text = head + connection_table("a", "zylker") + connection_table("b", "zylker")
    apply_without_consents(harness, text, clients)
    request = harness.services.authorization.request_consent("a")
    apply_without_consents(harness, text, clients)
    assert item_states(harness) == {"a": "request_sent", "b": "pending"}
    done = harness.services.authorization.complete_forwarded(harness.give_consent(request.started))
    assert done.generation == 1


def test_a_secret_of_another_client_is_not_stored(harness: Harness) -> None:
    clients = register_clients(harness, "one", "two")
    text = client_table("one", clients["one"]["client_id"]) + connection_table("leads", "one")
    with pytest.raises(WizardError, match="wrong-secret"):
        apply_without_consents(harness, text, {"one": clients["two"]})
    assert harness.services.store.clients.all() == ()
    assert ANNA not in str(harness.services.store.connections.all())
