"""A refresh token that may be lost is shown wherever a connection's state is."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import event
from support.harness import Harness
from support.shell import Shell
from support.web_visitor import Visitor

from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

TOKEN = "oauth/v2/token"
LABEL = "Outcome unknown"


@pytest.fixture
def unknown(shell_harness: Harness) -> Harness:
    """Two verified connections; the response to a refresh of the second was lost."""
    shell_harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    client = shell_harness.add_verified_connection("books").client_id
    shell_harness.add_verified_connection("crm")
    services = shell_harness.services
    assert client
    services.token_cache.remove("crm")
    shell_harness.controls.inject_fault("connection-closed", endpoint=TOKEN)
    with pytest.raises(Exception, match="network-reset"):
        services.tokens.access_token("crm")
    return shell_harness


@pytest.fixture
def visitor(unknown: Harness) -> Visitor:
    link_tokens = LinkTokens()
    app = create_app(unknown.services, link_tokens=link_tokens)
    visitor = Visitor(app.test_client(), unknown.services, link_tokens)
    visitor.sign_in()
    return visitor


@pytest.mark.slow
def test_an_unknown_outcome_is_shown_by_each_command(unknown: Harness, shell: Shell) -> None:
    lines = {line.split("\t")[0]: line for line in shell.run("list").stdout.splitlines()}
    assert LABEL in lines["crm"]
    assert LABEL not in lines["books"]
    by_account = shell.run("list", "--by", "account").stdout.splitlines()
    assert [LABEL in line for line in by_account if "\tcrm\t" in line] == [True]
    rows = json.loads(shell.run("list", "--json").stdout)["connections"]
    listed = {each["name"]: each["state"] for each in rows}
    assert listed == {"books": "verified", "crm": "outcome_unknown"}
    [account] = json.loads(shell.run("list", "--by", "account", "--json").stdout)["accounts"]
    assert {each["state"] for each in account["connections"]} == {"verified", "outcome_unknown"}
    assert json.loads(shell.run("show", "crm", "--json").stdout)["state"] == "outcome_unknown"
    shown = shell.run("show", "crm")
    assert LABEL in shown.stdout
    assert "no answer was stored" in shown.stdout + shown.stderr
    assert json.loads(shell.run("status", "--json").stdout)["outcome_unknown"] == ["crm"]
    assert "Outcome unknown" in shell.run("status").stdout


def test_an_unknown_outcome_is_shown_on_the_overview_and_on_the_page_of_the_client(
    unknown: Harness, visitor: Visitor
) -> None:
    client_id = unknown.services.store.connections.get("crm").client_id
    for path in ("/", f"/clients/{client_id}", "/connections/crm"):
        assert "Outcome unknown" in visitor.get(path).text, path
    assert "Both connections are verified" not in visitor.get("/").text
    assert "Outcome unknown" not in visitor.get("/connections/books").text


def test_the_state_ends_when_the_refresh_token_has_worked(
    unknown: Harness, shell: Shell, visitor: Visitor
) -> None:
    assert unknown.services.tokens.access_token("crm").value
    assert LABEL not in shell.run("list").stdout
    assert "Outcome unknown" not in visitor.get("/").text
    assert json.loads(shell.run("status", "--json").stdout)["outcome_unknown"] == []


def statements(harness: Harness, act: Callable[[], object]) -> int:
    """How many statements the store executes for `act`."""
    seen: list[str] = []
    engine = harness.services.store.database.engine

    def note(*received: str) -> None:
        seen.append(received[2])

    event.listen(engine, "before_cursor_execute", note)
    act()
    event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_the_list_reads_in_the_same_statements_for_one_unknown_outcome_and_for_two(
    unknown: Harness,
) -> None:
    store, tokens = unknown.services.store, unknown.services.tokens
    for_one = statements(unknown, store.overviews.all)
    unknown.services.token_cache.remove("books")
    unknown.controls.inject_fault("connection-closed", endpoint=TOKEN)
    with pytest.raises(Exception, match="network-reset"):
        tokens.access_token("books")
    assert all(row.unanswered_refresh for row in store.overviews.all())
    assert statements(unknown, store.overviews.all) == for_one
