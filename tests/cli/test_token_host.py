"""Commands on a machine whose connections are on a token host, with a real SSH server."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.claims import over_rows
from support.ports import free_port
from support.shell import CommandResult, Shell
from support.ssh_server import ME, TokenHostMachine, token_host

from wizard.cli import COMMANDS_WITHOUT_CONNECTIONS, Commands
from wizard.paths import locate

__all__ = ["token_host"]

ALL_COMMANDS = [name for section in Commands.sections.values() for name in section]
UNREACHED = "ssh://tokens@host.invalid"


@pytest.fixture
def crm(token_host: TokenHostMachine) -> TokenHostMachine:
    """A token host with two connections; the other machine has access to one of them."""
    for name in ("crm", "books"):
        token_host.harness.add_verified_connection(name)
    assert token_host.add_access().exit_code == 0
    return token_host


def error_of(failed: CommandResult) -> Any:
    assert failed.stdout == ""
    return json.loads(failed.stderr.splitlines()[-1])["error"]


@pytest.mark.slow
def test_list_show_check_and_run_ask_the_host(crm: TokenHostMachine) -> None:
    client, host = crm.client, crm.shell

    listed = json.loads(client.run("list", "--json").stdout)
    assert [each["name"] for each in listed["connections"]] == ["crm"]
    assert listed["connections"][0] in json.loads(host.run("list", "--json").stdout)["connections"]

    shown, there = (json.loads(each.run("show", "crm", "--json").stdout) for each in (client, host))
    assert shown == {**there, "history": [], "cautions": []}
    said = client.run("show", "crm").stdout
    assert said
    assert host.run("show", "crm").stdout.startswith(said.rstrip())

    checked = client.run("check", "crm")
    assert (checked.exit_code, "✓ crm" in checked.stderr) == (0, True)

    token = host.run("token", "crm").stdout.strip()
    assert client.run("token", "crm").stdout.strip() == token
    ran = client.run(
        "run", "crm", "--mask", "--", "/bin/sh", "-c", "echo $ZOHO_ACCESS_TOKEN $ZOHO_DC"
    )
    assert ran.stdout.split()[1:] == ["eu"]
    assert token not in ran.stdout
    assert not os.path.exists(f"{client.environment['ZOHO_WIZARD_HOME']}/data")

    for name in ("books", "a;id"):
        refused = error_of(client.run("token", name, "--json"))
        assert (refused["code"], refused["details"]["name"]) == ("key-not-allowed", name)


@pytest.mark.slow
def test_a_rejection_reaches_the_host_and_ends_the_copy(crm: TokenHostMachine) -> None:
    client = crm.client
    first = client.run("token", "crm").stdout
    crm.harness.advance(minutes=2)
    second = client.run("token", "crm", "--rejected", "-", stdin_text=first).stdout
    assert second not in ("", first)
    assert client.run("token", "crm").stdout == second == crm.shell.run("token", "crm").stdout
    crm.shell.run("access", "remove", "crm", "--ssh-key", str(crm.public_key))
    refused = client.run("token", "crm", "--rejected", "-", "--json", stdin_text=second)
    assert error_of(refused)["code"] == "key-not-allowed"
    assert not os.path.exists(locate(client.environment).copied_token("crm"))


@pytest.mark.slow
def test_each_failure_of_ssh_has_its_code(token_host: TokenHostMachine, tmp_path: Path) -> None:
    # In a directory that is too long for a socket, each command connects anew.
    client = token_host.client
    long = client.directory / ("x" * 60)
    environment = {"ZOHO_WIZARD_HOME": str(long)}
    key = token_host.public_key.read_text()
    known_hosts = client.directory / "known_hosts"
    known, other = known_hosts.read_text(), (client.directory / "id.pub").read_text()
    name = known.split()[0]

    def refused(forced_command: str = "", **changes: str) -> Any:
        options = f'restrict,command="{forced_command}" ' if forced_command else ""
        token_host.authorized_keys.write_text(options + key)
        return error_of(client.run("list", "--json", **{**environment, **changes}))

    def answered(**fields: object) -> str:
        document = {"protocol": 1, "zoho": "live", "token": None, "report": None, "error": None}
        return f"printf %s '{json.dumps({**document, **fields})}'".replace('"', r"\"")

    rows = {
        "token-host-without-wizard": refused("/nonexistent/python -m wizard access ssh x"),
        "token-host-version": refused(answered(protocol=2)),
        "token-host-foreign-zoho": refused(answered()),
        "token-host-unreachable": refused(ZOHO_WIZARD_REMOTE=f"ssh://{ME}@127.0.0.1:{free_port()}"),
        "ssh-missing": refused(PATH="/nonexistent"),
        "bad-remote": refused(ZOHO_WIZARD_REMOTE="ssh://-oProxyCommand=id@host"),
    }
    token_host.authorized_keys.write_text("")
    rows["ssh-key-refused"] = error_of(client.run("list", "--json", **environment))
    known_hosts.write_text("")
    rows["host-key-unknown"] = refused()
    known_hosts.write_text(f"{name} {other}")
    rows["host-key-changed"] = refused()
    assert {code: error["code"] for code, error in rows.items()} == {code: code for code in rows}
    assert rows["token-host-unreachable"]["temporary"]
    assert rows["token-host-unreachable"]["exit_code"] == 4
    for code, error in rows.items():
        words = [error[part] for part in ("title", "cause", "fix")]
        assert all(words), code
        assert "…" not in "".join(words), code


def test_a_report_with_other_fields_is_from_a_different_version(
    shell: Shell, tmp_path: Path
) -> None:
    program, zoho = tmp_path / "ssh", shell.environment["ZOHO_WIZARD_SIMULATOR_URL"]
    report = {"connections": [{"name": "crm", "new": 1}]}
    answer = {"protocol": 1, "zoho": zoho, "token": None, "report": report, "error": None}
    program.write_text(f"#!/bin/sh\nprintf %s '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    environment = {"PATH": str(tmp_path), "ZOHO_WIZARD_REMOTE": UNREACHED}
    assert error_of(shell.run("list", "--json", **environment))["code"] == "token-host-version"


@over_rows(
    "retry_at",
    [
        "soon",
        {"at": 1},
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59+00:00",  # the next year in Tokyo
        "2026-01-01T00:00:00",
    ],
)
def test_a_refusal_with_a_strange_time_is_from_a_different_version(
    shell: Shell, tmp_path: Path, retry_at: object
) -> None:
    program, zoho = tmp_path / "ssh", shell.environment["ZOHO_WIZARD_SIMULATOR_URL"]
    error = {"code": "rate-limited", "details": {}, "temporary": True, "retry_at": retry_at}
    answer = {"protocol": 1, "zoho": zoho, "token": None, "report": None, "error": error}
    program.write_text(f"#!/bin/sh\nprintf %s '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    environment = {"PATH": str(tmp_path), "ZOHO_WIZARD_REMOTE": UNREACHED}
    found = error_of(shell.run("token", "crm", "--json", **environment, TZ="Asia/Tokyo"))
    assert found["code"] == "token-host-version"


@over_rows(
    "words",
    [
        (),
        *((name,) for name in ALL_COMMANDS if name not in COMMANDS_WITHOUT_CONNECTIONS),
        ("token", "crm", "--force-refresh"),
        ("list", "--tag", "prod"),
        ("list", "--by", "account"),
        ("show", "crm", "--reveal", "--yes"),
        ("check", "--full"),
        ("check", "crm", "--ignore-wait"),
    ],
)
def test_everything_else_is_done_on_the_host(shell: Shell, words: tuple[str, ...]) -> None:
    failed = shell.run(*words, "--json", ZOHO_WIZARD_REMOTE=UNREACHED)
    error = error_of(failed)
    assert (error["code"], failed.exit_code) == ("on-token-host", 2)
    assert UNREACHED in error["cause"]


def test_help_and_what_needs_no_connection_work_without_the_host(shell: Shell) -> None:
    for words in (("connect", "--help"), ("schema", "list"), ("completion", "bash")):
        assert shell.run(*words, ZOHO_WIZARD_REMOTE=UNREACHED).exit_code == 0


def test_the_address_may_be_in_the_configuration(shell: Shell) -> None:
    file = Path(shell.environment["ZOHO_WIZARD_HOME"]) / "config" / "simulator" / "remote"
    file.parent.mkdir(parents=True)
    file.write_text(f"{UNREACHED}\n")
    error = error_of(shell.run("status", "--json"))
    assert error["code"] == "on-token-host"
    assert UNREACHED in error["cause"]
    assert str(file) in error["cause"]
