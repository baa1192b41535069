"""Foreign text (names, error codes, arguments) remains text in a terminal, a pipe and a log."""

import logging
import signal
import socket
import unicodedata

import pytest
from support.harness import Harness
from support.records import attempts_of
from support.shell import Shell

EVE = "eve@zylker.example"
COMMANDS = ("check crm", "show crm", "list", "status", "diagnose crm", "revoke crm --yes")
FORGED = "Evil\nforged\t✓ proved\tboss@zylker.example\r"
HOSTILE = f"{FORGED}\x9b2J\x1b]0;owned\x07\x1b[31m\u202egnp\x85\u2028x"


@pytest.fixture
def hostile_names(shell_harness: Harness) -> Harness:
    """A verified connection of an account with malicious names."""
    organization = {"product": "crm", "organization_id": "2001", "name": HOSTILE}
    shell_harness.controls.add_user(
        EVE,
        location="eu",
        password="made-up",
        first_name=HOSTILE,
        last_name=HOSTILE,
        organizations=[organization],
    )
    shell_harness.add_verified_connection("crm", EVE)
    return shell_harness


def control_characters(text: str) -> list[str]:
    """The characters in `text` that control a terminal or reorder text."""
    reordering = [char for char in text if unicodedata.bidirectional(char) in ("RLO", "LRO", "PDF")]
    control = [char for char in text if unicodedata.category(char) in ("Cc", "Zl", "Zp")]
    return [each for each in (*control, *reordering) if each not in "\n\t"]


@pytest.mark.parametrize("command", ["list", "show crm", "check crm", "client list"])
@pytest.mark.parametrize("json", [False, True])
def test_a_name_from_zoho_forges_no_line_and_controls_no_terminal(
    hostile_names: Harness, shell: Shell, command: str, json: bool
) -> None:
    done = shell.run(*command.split(), *(["--json"] if json else []))
    assert done.exit_code == 0
    said = done.stdout + done.stderr
    assert control_characters(said) == []
    assert not [line for line in said.splitlines() if line.startswith("forged")]
    if (command, json) == ("list", False):
        [row] = done.stdout.splitlines()
        assert len(row.split("\t")) == 7, "one cell for each column"


def test_a_foreign_name_is_stored_as_one_line_of_plain_text(hostile_names: Harness) -> None:
    grant = hostile_names.services.store.grants.get("crm")
    assert grant is not None
    assert grant.account is not None
    names = [grant.account.display_name, *(each.name for each in grant.organizations)]
    assert len(names) == 2
    for name in names:
        assert name.startswith("Evil forged ✓ proved boss@zylker.example")
        assert control_characters(name) == []


@pytest.mark.parametrize("name", ["no\x1b[31mpe", "no\x9b1mpe", "no\u202epe", "no\npe"])
@pytest.mark.parametrize("json", [False, True])
def test_an_argument_is_printed_without_terminal_control_characters(
    shell: Shell, name: str, json: bool
) -> None:
    done = shell.run("show", name, *(["--json"] if json else []))
    assert done.exit_code == 2
    assert control_characters(done.stdout + done.stderr) == []


def test_a_full_authorization_at_debug_logs_no_secret_and_no_foreign_control_character(
    shell_harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    grant = shell_harness.add_verified_connection()
    [attempt] = attempts_of(shell_harness.services.store, "crm")
    secrets = {
        "client secret": shell_harness.registered_client["secrets"]["eu"],
        "refresh token": grant.refresh_token,
        "access token": shell_harness.services.tokens.access_token("crm", force_refresh=True).value,
        "state": attempt.oauth_state,
        "code verifier": attempt.code_verifier,
    }
    shell_harness.services.tokens.revoke(grant)
    assert caplog.records
    assert [name for name, secret in secrets.items() if secret in caplog.text] == []
    assert [each for each in caplog.messages if control_characters(each) or "\n" in each] == []


def test_debug_logs_one_line_a_record_whatever_another_user_requests(shell: Shell) -> None:
    serving = shell.start("--debug", "serve")
    serving.wait_for_stderr("/browser-link/")
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(f"{shell.environment['ZOHO_WIZARD_HOME']}/data/simulator/socket")
        wire.sendall(b"GET /token/\x1b[2J\x9b31mforged HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.recv(1024).startswith(b"HTTP/1.1 404")
    serving.wait_for_stderr("wizard.local_api.*forged")
    said = serving.finish(signal.SIGTERM).stderr
    assert control_characters(said) == []
    assert not [line for line in said.splitlines() if line.startswith("forged")]


def test_debug_shows_no_secret_from_consent_to_revocation(
    shell: Shell, shell_harness: Harness
) -> None:
    grant = shell_harness.add_verified_connection()
    secrets = [shell_harness.registered_client["secrets"]["eu"], grant.refresh_token]
    fresh = shell.run("--debug", "token", "crm", "--force-refresh")
    secrets.append(fresh.stdout.strip())
    runs = [fresh.stderr, *(shell.run("--debug", *each.split()).stderr for each in COMMANDS)]
    assert [secret for secret in secrets if secret in "".join(runs)] == []
