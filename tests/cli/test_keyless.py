"""Commands of a process without the encryption key: the running service answers for it."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.harness import Harness
from support.shell import RunningCommand, Shell
from support.web_visitor import visit

from wizard.paths import KEY_CREDENTIAL
from wizard.services import Services
from wizard.settings import from_environment


@pytest.fixture
def crm(shell: Shell, shell_harness: Harness) -> Shell:
    """A shell whose key is no longer in its file; only a service gets it."""
    shell_harness.add_verified_connection("crm")
    credentials = shell.directory / "credentials"
    credentials.mkdir()
    credential = credentials / KEY_CREDENTIAL
    Path(shell_harness.services.paths.key_file).rename(credential)
    credential.chmod(0o440)  # as systemd's, because of its access control list
    return shell


@pytest.fixture
def service(crm: Shell) -> Iterator[RunningCommand]:
    serving = crm.start("serve", CREDENTIALS_DIRECTORY=str(crm.directory / "credentials"))
    serving.wait_for_stderr("Ctrl-C to stop")
    yield serving
    serving.finish(signal.SIGTERM)


def test_a_service_finds_its_key_in_its_credentials_and_calls_it_strong(crm: Shell) -> None:
    directory = str(crm.directory / "credentials")
    found = json.loads(crm.run("status", "--json", CREDENTIALS_DIRECTORY=directory).stdout)["key"]
    assert (found["kind"], found["strength"]) == ("systemd-credential", "strong")
    assert found["detail"] == f"{directory}/{KEY_CREDENTIAL}"
    token = crm.run("token", "crm", CREDENTIALS_DIRECTORY=directory)
    assert (token.exit_code, token.stdout.count("\n")) == (0, 1)


def test_the_command_and_the_page_say_where_the_key_is_and_who_can_read_it(
    shell: Shell, shell_harness: Harness
) -> None:
    assert "  In a file (weak): " in shell.run("status").stdout
    _, page = visit(shell_harness.services, "/status")
    assert "In a file" in page
    assert "Anyone who can read your files" in page
    environment = {**shell.environment, "CREDENTIALS_DIRECTORY": str(shell.directory)}
    credential = Path(shell_harness.services.paths.key_file).rename(
        shell.directory / KEY_CREDENTIAL
    )
    credential.chmod(0o440)
    with Services.open(from_environment(environment), shell.simulator.clock) as services:
        _, page = visit(services, "/status")
    assert "In a systemd credential" in page
    assert "Only the service can read it." in page
    assert "keyring" not in page
    shown = shell.run("status", CREDENTIALS_DIRECTORY=str(shell.directory)).stdout
    assert "  In a systemd credential (strong): " in shown


@pytest.mark.slow
def test_without_the_key_a_token_and_the_list_come_from_the_service(
    crm: Shell, service: RunningCommand
) -> None:
    directory = str(crm.directory / "credentials")
    served = crm.run("token", "crm")
    assert (served.exit_code, served.stderr) == (0, "")
    assert served.stdout == crm.run("token").stdout, "there is only one connection"
    assert served.stdout == crm.run("token", "crm", CREDENTIALS_DIRECTORY=directory).stdout

    document = json.loads(crm.run("token", "crm", "--json", "--min-ttl", "10m").stdout)
    assert document["access_token"] == served.stdout.strip()
    assert document["api_bases"]["crm"]

    script = 'test "$ZOHO_ACCESS_TOKEN" = "$($ZOHO_TOKEN_COMMAND)" && echo "$ZOHO_DC"'
    ran = crm.run("run", "crm", "--", "sh", "-c", script)
    assert (ran.exit_code, ran.stdout) == (0, "eu\n")

    listed = crm.run("list", "--json")
    assert listed.exit_code == 0
    assert [each["name"] for each in json.loads(listed.stdout)["connections"]] == ["crm"]
    assert "unknown-tag" in crm.run("list", "--tag", "none").stderr


def test_the_service_takes_a_report_and_its_failures_keep_their_code(
    crm: Shell, service: RunningCommand
) -> None:
    rejected = crm.run("token", "crm").stdout
    different = crm.run("token", "crm", "--rejected", "-", stdin_text=rejected)
    assert (different.exit_code, different.stdout != rejected) == (0, True)
    crm.simulator.controls.change_password("anna@zylker.example")
    crm.simulator.controls.advance(1200)
    failed = crm.run("token", "crm", "--force-refresh", "--json")
    assert failed.exit_code == 3
    assert json.loads(failed.stderr.splitlines()[-1])["error"]["exit_code"] == 3
    unknown = crm.run("token", "none")
    assert (unknown.exit_code, "unknown-connection" in unknown.stderr) == (2, True)


@pytest.mark.parametrize("words", [("token", "crm"), ("run", "crm", "--", "true"), ("list",)])
def test_without_the_key_and_without_a_service_both_are_reported(
    crm: Shell, words: tuple[str, ...]
) -> None:
    failed = crm.run(*words)
    assert (failed.exit_code, failed.stdout) == (5, "")
    assert "key-missing" in failed.stderr
    assert "No service" in failed.stderr
