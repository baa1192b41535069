"""Rename a connection and open its page from a terminal."""

import json
import signal

import requests
from support.harness import Harness
from support.shell import Shell

LINK = r"http://localhost:\d+/browser-link/\S+"


def opened_page(link: str) -> str:
    """The final URL in the browser."""
    return requests.get(link, timeout=10).url


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
