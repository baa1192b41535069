"""What differs from a connections file, what it takes, and the file for what exists."""

from pathlib import Path

from support.connections_file import (
    apply_without_consents,
    client_table,
    connection_table,
    exported,
    plan_of,
    register_clients,
)
from support.diagnosis import detect_rejection
from support.harness import ANNA, BOB, CARLA, FIRST_ORGANIZATION, Harness
from support.reauthorization import authorize, reauthorize_all

from wizard.connections_file.description import describe, summary
from wizard.connections_file.plan import ConsentReason
from wizard.model import AttemptMode
from wizard.store import KeyPermission
from wizard.zoho import limits


def file_for_leads(client_id: str, **values: object) -> str:
    return client_table("zylker", client_id) + connection_table("leads", "zylker", **values)


def reasons(harness: Harness, text: str) -> dict[str, ConsentReason]:
    return {each.connection: each.reason for each in plan_of(harness, text).consents}


def test_a_plan_has_the_consents_by_account_and_the_waits(harness: Harness) -> None:
    clients = register_clients(harness, "one", "two")
    count = limits().codes_budget + 1
    tables = [connection_table(f"crm{n}", "one") for n in range(count)]
    tables += [connection_table("books", "two", presets=["books-read-invoices"], account=BOB)]
    text = "".join(
        [*(client_table(name, each["client_id"]) for name, each in clients.items()), *tables]
    )
    plan = plan_of(harness, text)
    groups = [(each.email, each.client_name, len(each.names)) for each in plan.round.groups]
    assert groups == [(ANNA, "one", count), (BOB, "two", 1)]
    assert plan.round.sign_in_count == 2
    assert plan.round.wait.total_seconds() == limits().window_seconds
    assert [(each.name, where) for each, where in plan.missing_secrets] == [
        ("one", "eu"),
        ("two", "eu"),
    ]
    assert harness.services.store.clients.all() == ()


def test_what_was_exported_differs_in_nothing(harness: Harness, tmp_path: Path) -> None:
    clients = register_clients(harness, "zylker")
    destination = {"profile": "dotenv", "to": str(tmp_path / "a.env"), "mode": "0640"}
    text = file_for_leads(
        clients["zylker"]["client_id"],
        destinations=[{**destination, "names": {"ZOHO_CLIENT_ID": "ID"}, "then": "true"}],
        scopes=["ZohoCRM.modules.contacts.READ"],
        access=["root"],
        owner="Ops “1”",
        tags=["a"],
        organization="Zylker GmbH",
    )
    text += connection_table("any", "zylker", account="", note="two\\nlines\\u007f")
    text = text.replace("\\u007f", "")
    apply_without_consents(harness, text + '[monitor]\nnotify = "cat"\n', clients)
    other = register_clients(harness, "other")["other"]
    other_text = f"{other['client_id']} {other['secrets']['eu']}"
    harness.services.clients.register(
        other_text, name='a\\b "\x1b]0;c\x07', redirect_uri="http://localhost/"
    )
    before = exported(harness)
    assert "\x1b" not in before
    assert plan_of(harness, before).connections == ()
    reauthorize_all(harness)
    assert not plan_of(harness, text).has_changes
    after = exported(harness)
    assert not plan_of(harness, after, is_pruning=True).has_changes
    assert exported(harness) == after
    assert clients["zylker"]["secrets"]["eu"] not in after


def test_the_store_is_compared_with_every_value_of_the_file(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    client_id = clients["zylker"]["client_id"]
    apply_without_consents(harness, file_for_leads(client_id), clients)
    reauthorize_all(harness)
    changed = {"owner": "ops", "tags": ["a"], "note": "b"}
    plan = plan_of(harness, file_for_leads(client_id, **changed))
    assert [each.field for each in plan.connections[0].differences] == [*changed]
    assert plan.consents == ()
    wider = file_for_leads(client_id, scopes=["ZohoCRM.modules.contacts.READ"])
    assert reasons(harness, wider) == {"leads": ConsentReason.SCOPES}
    narrower = file_for_leads(client_id, presets=[], scopes=["ZohoCRM.org.READ"])
    assert reasons(harness, narrower) == {}
    apply_without_consents(harness, narrower, clients)
    assert not plan_of(harness, narrower).has_changes
    assert reasons(harness, file_for_leads(client_id, account=BOB)) == {
        "leads": ConsentReason.ACCOUNT
    }


def test_a_rejected_or_revoked_connection_needs_a_consent(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    text = file_for_leads(clients["zylker"]["client_id"])
    assert reasons(harness, text) == {"leads": ConsentReason.NEW}
    apply_without_consents(harness, text, clients)
    reauthorize_all(harness)
    harness.controls.change_password(ANNA)
    detect_rejection(harness, "leads")
    assert reasons(harness, text) == {"leads": ConsentReason.REJECTED}


def test_a_different_client_or_organization_is_not_applied(harness: Harness) -> None:
    clients = register_clients(harness, "zylker", "other")
    text = file_for_leads(clients["zylker"]["client_id"], account=CARLA)
    apply_without_consents(harness, text, clients)
    authorize(harness, "leads", CARLA, FIRST_ORGANIZATION)
    plan = plan_of(
        harness,
        text.replace('client = "zylker"', 'client = "other"\norganization = "Zylker Outlet"')
        + 'scopes = ["ZohoCRM.modules.contacts.READ"]\n'
        + client_table("other", clients["other"]["client_id"]),
    )
    assert [each.path for each in plan.declined] == [
        "connections.leads.client",
        "connections.leads.organization",
    ]
    assert plan.consents == ()
    more = 'organization = "Zylker Outlet"\nscopes = ["ZohoCRM.modules.contacts.READ"]\n'
    refused = plan_of(harness, text + more)
    assert (refused.has_changes, "Nothing else" in summary(refused)) == (False, True)


def test_a_client_whose_name_is_taken_is_left_out_with_its_connections(harness: Harness) -> None:
    clients = register_clients(harness, "zylker", "other")
    text = file_for_leads(clients["zylker"]["client_id"])
    apply_without_consents(harness, text, clients)
    destination = {"profile": "dotenv", "to": str(harness.directory / "a.env")}
    taken = client_table("zylker", clients["other"]["client_id"]) + connection_table(
        "leads", "zylker", destinations=[destination], access=["root"]
    )
    plan = plan_of(harness, taken, is_pruning=True)
    assert [(each.path, each.failure.code) for each in plan.declined] == [
        ("clients.zylker", "client-name-taken"),
        ("connections.leads", "client-name-taken"),
    ]
    assert (plan.missing_secrets, plan.consents, plan.unmanaged.connections) == ((), (), ())


def test_a_name_that_differs_only_in_case_is_not_applied_and_nothing_is_pruned_for_it(
    harness: Harness,
) -> None:
    clients = register_clients(harness, "zylker")
    text = file_for_leads(clients["zylker"]["client_id"])
    apply_without_consents(harness, text, clients)
    plan = plan_of(harness, text.replace("connections.leads", "connections.Leads"), is_pruning=True)
    assert [(each.path, each.failure.code) for each in plan.declined] == [
        ("connections.Leads", "connection-exists")
    ]
    assert (plan.has_changes, plan.unmanaged.connections) == (False, ())


def test_a_forwarded_link_is_not_planned_again_until_it_ends(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    client_id = clients["zylker"]["client_id"]
    destination = {"profile": "dotenv", "to": str(harness.directory / "a.env")}
    text = file_for_leads(client_id, destinations=[destination])
    apply_without_consents(harness, text, clients)
    harness.services.authorization.begin("leads", AttemptMode.FORWARDED)
    plan = plan_of(harness, text)
    assert [each.connection for each in plan.requested] == ["leads"]
    assert (plan.consents, plan.has_changes, plan.round.sign_in_count) == ((), False, 0)
    changed = file_for_leads(client_id, account=BOB)
    assert reasons(harness, changed) == {"leads": ConsentReason.NEW}
    wider = file_for_leads(client_id, scopes=["ZohoCRM.modules.contacts.READ"])
    assert reasons(harness, wider) == {"leads": ConsentReason.NEW}
    harness.advance(hours=25)
    assert reasons(harness, text) == {"leads": ConsentReason.NEW}


def test_scopes_that_the_file_no_longer_has_stay_granted(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    client_id = clients["zylker"]["client_id"]
    apply_without_consents(harness, file_for_leads(client_id), clients)
    reauthorize_all(harness)
    plan = plan_of(harness, file_for_leads(client_id, presets=[], scopes=["ZohoCRM.org.READ"]))
    (line,) = next(each.lines for each in describe(plan) if each.code == "connections")
    assert "no longer requests ZohoCRM.modules.leads.READ at the next consent" in line


def test_an_account_that_takes_a_connection_over_is_among_the_changes(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    client_id = clients["zylker"]["client_id"]
    apply_without_consents(harness, file_for_leads(client_id), clients)
    reauthorize_all(harness)
    for values in ({}, {"owner": "Ops"}):
        plan = plan_of(harness, file_for_leads(client_id, account=CARLA, **values))
        (line,) = next(each.lines for each in describe(plan) if each.code == "connections")
        assert CARLA in line
        assert "1 to change" in summary(plan)


def test_what_is_not_in_the_file_stays_unless_it_is_pruned(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    client_id = clients["zylker"]["client_id"]
    text = file_for_leads(client_id) + connection_table("old", "zylker")
    apply_without_consents(harness, text, clients)
    reauthorize_all(harness)
    assert not plan_of(harness, file_for_leads(client_id)).has_changes
    plan = plan_of(harness, file_for_leads(client_id), is_pruning=True)
    assert (plan.has_changes, plan.unmanaged.connections) == (True, ("old",))
    assert "1 to remove" in summary(plan)
    assert harness.services.connections_file.prune(plan.unmanaged) == ()
    assert [each.name for each in harness.services.store.connections.all()] == ["leads"]
    assert len(harness.logged_requests("/oauth/v2/revoke/token")) == 1


def test_everything_that_a_new_destination_does_is_in_the_plan(harness: Harness) -> None:
    """Before its consent, while a forwarded link waits for an answer, and once it's authorized."""
    clients = register_clients(harness, "zylker")
    client_id, place = clients["zylker"]["client_id"], str(harness.directory / ".env")
    values = {"LD_PRELOAD": "/made/up.so"}
    file = {"profile": "dotenv", "to": place, "then": "touch done", "mode": "0640"}
    destinations = [{**file, "values": values}, {"profile": "command", "to": "cat"}]
    shown = ("as dotenv", "touch done", "0640", "LD_PRELOAD=/made/up.so", "cat, as command")
    wanted = file_for_leads(client_id, destinations=destinations)

    def described() -> str:
        return "\n".join(line for part in describe(plan_of(harness, wanted)) for line in part.lines)

    assert [each for each in shown if each not in described()] == []
    apply_without_consents(harness, file_for_leads(client_id), clients)
    harness.services.authorization.begin("leads", AttemptMode.FORWARDED)
    assert plan_of(harness, wanted).requested
    assert [each for each in shown if each not in described()] == []
    reauthorize_all(harness)
    assert [each for each in shown if each not in described()] == []


def test_a_missing_command_of_this_machine_leaves_out_its_destination(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    destinations = [
        {"profile": "command", "to": "no-such-program --here"},
        {"profile": "dotenv", "to": str(harness.directory / "missing/.env")},
    ]
    text = file_for_leads(
        clients["zylker"]["client_id"], destinations=destinations, access=["nobody-of-this-name"]
    )
    plan = plan_of(harness, text)
    assert [(each.path, each.failure.code) for each in plan.declined] == [
        ("connections.leads.destinations[0]", "command-missing"),
        ("connections.leads.destinations[1]", "destination-no-directory"),
        ("connections.leads.access[0]", "unknown-user"),
    ]
    assert (plan.deliveries, plan.access) == ((), ())


def test_a_destination_whose_directory_is_gone_is_not_pruned(harness: Harness) -> None:
    clients = register_clients(harness, "zylker")
    directory = harness.directory / "app"
    directory.mkdir()
    destination = {"profile": "dotenv", "to": str(directory / ".env")}
    text = file_for_leads(clients["zylker"]["client_id"], destinations=[destination])
    apply_without_consents(harness, text, clients)
    directory.rmdir()
    plan = plan_of(harness, text, is_pruning=True)
    assert [each.failure.code for each in plan.declined] == ["destination-no-directory"]
    assert not plan.unmanaged


def test_one_place_gets_the_credentials_of_one_connection(harness: Harness) -> None:
    destinations = [{"profile": "dotenv", "to": str(harness.directory / ".env")}]
    tables = [
        connection_table(name, "zylker", destinations=destinations) for name in ("one", "two")
    ]
    plan = plan_of(harness, client_table("zylker") + "".join(tables))
    assert [(each.path, each.failure.code) for each in plan.declined] == [
        ("connections.two.destinations[0]", "destination-taken")
    ]
    assert [each.connection for each in plan.deliveries] == ["one"]


def test_more_connections_than_refresh_tokens_are_named(harness: Harness) -> None:
    most = limits().refresh_tokens_hard_stop
    tables = [connection_table(f"c{number}", "zylker") for number in range(most + 1)]
    plan = plan_of(harness, client_table("zylker") + "".join(tables))
    assert [each.failure.code for each in plan.declined] == ["file-crowded"]
    assert not plan_of(harness, client_table("zylker") + "".join(tables[1:])).declined


def test_a_notification_url_and_ssh_keys_are_not_exported_but_named(harness: Harness) -> None:
    assert "--notify" not in exported(harness)
    harness.services.store.monitoring.set_notify_command("https://hooks.example/key")
    harness.add_connection("crm")
    key = KeyPermission("crm", "SHA256:abc", "web1", harness.now())
    harness.services.store.key_permissions.add(key)
    text = exported(harness)
    assert ("hooks.example" in text, "web1" in text) == (False, False)
    assert "zoho-wizard monitor --notify URL" in text
    assert "zoho-wizard access add NAME --ssh-key FILE" in text
    assert not plan_of(harness, text, is_pruning=True).connections
    assert not plan_of(harness, text, is_pruning=True).unmanaged
