"""An SSH key with access to one connection can do nothing else, on a server that allows it."""

import json
from pathlib import Path

import pytest
from support.ports import free_port
from support.shell import Shell
from support.ssh_server import TokenHostMachine, token_host

__all__ = ["token_host"]


@pytest.fixture
def crm(token_host: TokenHostMachine) -> TokenHostMachine:
    token_host.harness.add_verified_connection("crm")
    token_host.harness.add_verified_connection("books")
    assert token_host.add_access().exit_code == 0
    return token_host


@pytest.mark.slow
def test_a_key_with_access_can_do_nothing_else(crm: TokenHostMachine, tmp_path: Path) -> None:
    port, trace = free_port(), tmp_path / "trace"
    commands = (
        ("-T", f"touch {trace}"),
        ("-T", f"zoho-wizard/1 token name=$(touch${{IFS}}{trace})"),
        ("-T", "zoho-wizard/1 token name=books"),
        ("-T", ""),
        ("-s", "sftp"),
    )
    for command in commands:
        done = crm.ssh(*command, stdin_text=f"touch {trace}\n")
        assert done.returncode == 1, command
        answer = json.loads(done.stdout)["error"]["code"] if done.stdout else done.stderr
        assert "ssh-request-refused" in answer or "key-not-allowed" in answer, command
    terminal = crm.ssh("-tt", "", stdin_text=f"touch {trace}\n")
    assert "PTY allocation request failed" in terminal.stderr
    at_fault = ("-o", "ExitOnForwardFailure=yes")
    for options in (
        ("-W", f"127.0.0.1:{crm.port}"),
        (*at_fault, "-R", f"{port}:127.0.0.1:{crm.port}"),
        (*at_fault, "-R", f"{tmp_path}/socket:127.0.0.1:{crm.port}"),
    ):
        done = crm.ssh(*options, "zoho-wizard/1 list")
        assert done.returncode == 255, options
        assert "SSH-2.0" not in done.stdout
    assert not trace.exists()


def test_the_same_server_lets_a_key_without_the_line_do_all_of_it(
    token_host: TokenHostMachine, tmp_path: Path
) -> None:
    """Otherwise the test above would prove nothing."""
    token_host.authorized_keys.write_text(token_host.public_key.read_text())
    trace = tmp_path / "trace"
    assert token_host.ssh(f"touch {trace}").returncode == 0
    assert trace.exists()
    forwarded = token_host.ssh("-W", f"127.0.0.1:{token_host.port}", "ignored")
    assert forwarded.stdout.startswith("SSH-2.0")


def test_no_address_becomes_an_option_of_ssh(shell: Shell, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = tmp_path / "touch-trace"
    program.write_text(f"#!/bin/sh\n: > {trace}\n")
    program.chmod(0o755)
    for address in (
        f"ssh://-oProxyCommand={program}",
        f"ssh://127.0.0.1 -oProxyCommand={program}",
    ):
        failed = shell.run("list", "--json", ZOHO_WIZARD_REMOTE=address)
        assert json.loads(failed.stderr)["error"]["code"] == "bad-remote", address
    assert not trace.exists()


def test_no_secret_is_in_an_argument_or_the_environment_of_ssh(
    shell: Shell, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\n/usr/bin/env > {seen}\nprintf "%s\\n" "$@" >> {seen}\n')
    program.chmod(0o755)
    shell.run(
        "token",
        "crm",
        "--rejected",
        "-",
        stdin_text="1000.secret.token\n",
        PATH=str(tmp_path),
        ZOHO_WIZARD_REMOTE="ssh://tokens@host",
        ZOHO_CLIENT_SECRET="mine",
    )
    text = seen.read_text()
    assert "zoho-wizard/1 token name=crm rejected" in text
    assert "1000." not in text
    assert "mine" not in text
