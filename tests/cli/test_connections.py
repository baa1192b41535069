"""Connections renamed, opened, shown with secrets, revoked and removed."""

import json
import signal
import subprocess
from io import StringIO

import pytest
import requests
from dotenv import dotenv_values
from support.delivery import deliver
from support.harness import Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.model import GrantState

LINK = r"http://localhost:\d+/browser-link/\S+"


def opened_page(link: str) -> str:
    """The final URL in the browser."""
    return requests.get(link, timeout=10).url


@pytest.mark.slow
def test_a_renamed_connection_serves_its_tokens_while_the_wizard_serves(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    token = shell.run("token", "crm").stdout
    serving = shell.start("serve")
    serving.wait_for_stderr(LINK)

    renamed = shell.run("rename", "crm", "sales", "--json")

    assert json.loads(renamed.stdout) == {"name": "sales", "previous_name": "crm"}
    assert shell.run("token", "sales").stdout == token
    gone = shell.run("token", "crm", "--json")
    assert (gone.exit_code, gone.stdout) == (2, "")
    assert json.loads(gone.stderr)["error"]["code"] == "unknown-connection"
    link = shell.run("open", "sales").stderr.split()[-1]
    assert opened_page(link).endswith("/connections/sales")
    serving.finish(signal.SIGTERM)


def test_a_taken_name_is_refused(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_connection("crm")
    shell_harness.add_connection("books")
    refused = shell.run("rename", "crm", "Books", "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stderr)["error"]["code"] == "connection-exists"


def test_a_name_that_stays_the_same_is_refused(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_connection("crm")
    refused = shell.run("rename", "crm", "crm", "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stderr)["error"]["code"] == "same-name"


def test_without_a_running_wizard_the_page_is_served_until_stopped(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection("crm")
    opening = shell.start("open", "crm")
    assert opened_page(opening.wait_for_stderr(LINK)).endswith("/connections/crm")
    assert opening.finish(signal.SIGINT).exit_code == 0
    unknown = shell.run("open", "cmr", "--json")
    assert json.loads(unknown.stderr)["error"]["code"] == "unknown-connection"


@pytest.fixture
def verified(shell_harness: Harness) -> Harness:
    """A verified connection `crm`."""
    shell_harness.add_verified_connection("crm")
    return shell_harness


def is_active(harness: Harness, refresh_token: str) -> bool:
    """Whether the simulated Zoho still accepts a refresh token."""
    living = harness.simulator.world.grants.active_refresh_tokens()
    return refresh_token in [each.refresh_token for each in living]


def test_a_pipe_gets_secrets_only_with_yes(shell: Shell, verified: Harness) -> None:
    refused = shell.run("show", "crm", "--reveal")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr

    given = shell.run("show", "crm", "--reveal", "--yes")

    values = dotenv_values(stream=StringIO(given.stdout))
    target = verified.directory / "same.env"
    deliver(verified, "dotenv", target)
    assert values == dotenv_values(target)
    answer = requests.post(
        f"{values['ZOHO_ACCOUNTS_URL']}/oauth/v2/token",
        data={
            "grant_type": "refresh_token",
            "client_id": values["ZOHO_CLIENT_ID"],
            "client_secret": values["ZOHO_CLIENT_SECRET"],
            "refresh_token": values["ZOHO_REFRESH_TOKEN"],
        },
        timeout=10,
    )
    assert "access_token" in answer.json()


@pytest.mark.slow
def test_the_history_records_where_secrets_were_printed(shell: Shell, verified: Harness) -> None:
    def reveal(redirection: str) -> str:
        line = f'"$@" {redirection}'
        subprocess.run(
            ["sh", "-c", line, "sh", *shell.command("show", "crm", "--reveal", "--yes")],
            env=shell.environment,
            cwd=shell.directory,
            capture_output=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
        )
        events = verified.services.store.events.of_connection("crm")
        return next(each for each in events if each.kind == "revealed").details["output"]

    assert reveal("") == "a pipe"
    assert reveal(">secrets.env") == "a file"
    assert reveal(">/dev/null") == "a device"
    assert "can’t be written" in reveal(">&-")
    assert "can’t be written" in reveal(">/dev/full")
    shell.run_in_terminal("show", "crm", "--reveal", "--yes")
    events = verified.services.store.events.of_connection("crm")
    assert events[0].details["output"] == "a terminal"


def test_a_terminal_is_prompted_before_secrets_are_shown(shell: Shell, verified: Harness) -> None:
    grant = verified.services.store.grants.get("crm")
    assert grant is not None

    no = shell.run_in_terminal("show", "crm", "--reveal", replies=[("[y/N]", "n")])
    assert no.exit_code == 1
    assert grant.refresh_token not in no.stdout

    yes = shell.run_in_terminal("show", "crm", "--reveal", replies=[("[y/N]", "y")])
    assert yes.exit_code == 0
    assert grant.refresh_token in yes.stdout


def test_only_reveal_shows_a_secret(shell: Shell, verified: Harness) -> None:
    grant = verified.services.store.grants.get("crm")
    assert grant is not None
    secret = verified.services.store.clients.get(grant.client_id).secrets[0].value
    one = f"client show {grant.client_id}"
    for words in ("show crm", one):
        for arguments in (words.split(), [*words.split(), "--json"]):
            said = shell.run(*arguments)
            assert said.exit_code == 0
            assert grant.refresh_token not in said.stdout + said.stderr
            assert secret not in said.stdout + said.stderr


def test_a_script_must_confirm_a_revocation(shell: Shell, verified: Harness) -> None:
    grant = verified.services.store.grants.get("crm")
    assert grant is not None

    assert shell.run("revoke", "crm").exit_code == 2
    assert is_active(verified, grant.refresh_token)

    assert shell.run("revoke", "crm", "--yes").exit_code == 0
    assert not is_active(verified, grant.refresh_token)
    assert shell.run("token", "crm").stdout == ""
    assert shell.run("revoke", "crm", "--yes").exit_code == 1


def test_a_script_must_choose_whether_the_token_is_revoked(shell: Shell, verified: Harness) -> None:
    grant = verified.services.store.grants.get("crm")
    assert grant is not None

    refused = shell.run("remove", "crm")
    assert refused.exit_code == 2
    assert "--no-revoke or --revoke" in refused.stderr
    assert [each.name for each in verified.services.store.connections.all()] == ["crm"]

    forgotten = shell.run("remove", "crm", "--no-revoke")
    assert forgotten.exit_code == 0
    assert "still works at Zoho" in forgotten.stderr
    assert is_active(verified, grant.refresh_token)
    assert not verified.services.store.connections.all()


def test_remove_can_revoke_first(shell: Shell, verified: Harness) -> None:
    grant = verified.services.store.grants.get("crm")
    assert grant is not None

    removed = shell.run_in_terminal("remove", "crm", replies=[("or cancel", "revoke")])

    assert removed.exit_code == 0
    assert not is_active(verified, grant.refresh_token)


def test_a_client_in_use_is_not_removed(shell: Shell, verified: Harness) -> None:
    (client,) = verified.services.store.clients.all()

    kept = shell.run("client", "remove", client.client_id, "--yes")

    assert kept.exit_code == 2
    assert "crm" in kept.stderr
    assert shell.run("remove", "crm", "--no-revoke").exit_code == 0
    assert shell.run("client", "remove", client.client_id, "--yes").exit_code == 0
    assert json.loads(shell.run("client", "list", "--json").stdout) == {"clients": []}


def test_a_wrong_secret_changes_nothing(shell: Shell, verified: Harness) -> None:
    (client,) = verified.services.store.clients.all()

    refused = shell.run("client", "set-secret", client.client_id, stdin_text="f" * 42)
    assert refused.exit_code != 0
    assert verified.services.store.clients.all() == (client,)

    fresh = verified.controls.rotate_secret(client.client_id)
    assert shell.run("client", "set-secret", client.client_id, stdin_text=fresh).exit_code == 0
    checked = shell.run("client", "check", "--json")
    assert checked.exit_code == 0
    assert json.loads(checked.stdout)["checks"][0]["error"] is None


def test_a_tag_selects_what_is_listed_checked_and_reauthorized(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection("books")
    for name in ("crm", "desk"):
        shell_harness.add_verified_connection(name)
        shell_harness.services.store.grants.set_state(name, 1, GrantState.NEEDS_REAUTHORIZATION)
    edited = shell.run(
        "edit", "crm", "--owner", "Anna", "--tag", "Prod", "--note", "one\ntwo", "--json"
    )
    written = {"owner": "Anna", "tags": ["prod"], "note": "one\ntwo"}
    assert json.loads(edited.stdout) == {"name": "crm", **written}

    listed = json.loads(shell.run("list", "--tag", "prod", "--json").stdout)["connections"]
    assert [{each: row[each] for each in ("name", *written)} for row in listed] == [
        {"name": "crm", **written}
    ]
    shown = json.loads(shell.run("show", "crm", "--json").stdout)
    assert {each: shown[each] for each in written} == written
    checked = json.loads(shell.run("check", "--tag", "prod", "--json").stdout)
    assert [each["name"] for each in checked["connections"]] == ["crm"]
    requested = json.loads(shell.run("reauthorize", "--tag", "prod", "--request", "--json").stdout)
    assert [each["names"] for each in requested["requests"]] == [["crm"]]


@pytest.mark.parametrize("command", ["list", "check", "reauthorize"])
def test_an_unknown_tag_is_refused(shell: Shell, command: str) -> None:
    refused = shell.run(command, "--tag", "prd", "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert json.loads(refused.stderr)["error"]["code"] == "unknown-tag"
