"""A token host with a real SSH server on loopback, and another machine that asks it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.harness import Harness
from support.ports import free_port
from support.shell import PROCESS_TIMEOUT_SECONDS, CommandResult, Shell
from support.tokens import wait_for

ME = pwd.getpwuid(os.getuid()).pw_name
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


@dataclass
class TokenHostMachine:
    """The host's shell, its SSH server, and what another machine has."""

    shell: Shell
    harness: Harness
    port: int
    directory: Path
    """Of the server: its host key and ``authorized_keys``."""
    client: Shell
    """The other machine, whose ``ssh`` uses its own key and ``known_hosts``."""

    @property
    def authorized_keys(self) -> Path:
        return self.directory / "authorized_keys"

    @property
    def public_key(self) -> Path:
        return self.client.directory / "id.pub"

    def add_access(self, name: str = "crm") -> CommandResult:
        """Let the other machine's key request tokens of a connection."""
        added = self.shell.run("access", "add", name, "--ssh-key", str(self.public_key))
        self.authorized_keys.write_text(added.stdout)
        return added

    def ssh(self, *arguments: str, stdin_text: str = "") -> subprocess.CompletedProcess[str]:
        """Run the other machine's ``ssh`` with these arguments; they end with a command."""
        *options, command = arguments
        place = f"{ME}@127.0.0.1"
        return subprocess.run(
            ["ssh", "-o", "BatchMode=yes", "-p", str(self.port), *options, place, command],
            env=self.client.environment,
            input=stdin_text,
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
        )


@contextmanager
def ssh_server(directory: Path) -> Iterator[int]:
    """Serve SSH on a free port of loopback with the ``authorized_keys`` of `directory`, and without
    restrictions of its own; yields the port."""
    assert SSHD
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # of the unprivileged part of the server
    _create_key(directory / "host_key", "host")
    port = free_port()
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": directory / "host_key",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",  # a test's directories are below one that everyone can write to
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "AllowTcpForwarding": "yes",
        "PermitTunnel": "yes",
        "Subsystem": "sftp internal-sftp",
    }
    configuration = directory / "sshd_config"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", configuration], stderr=log)
    try:
        wait_for(lambda: server.poll() is not None or _accepts(port))
        assert server.poll() is None, (directory / "log").read_text()
        yield port
    finally:
        server.terminate()
        server.wait(PROCESS_TIMEOUT_SECONDS)


@pytest.fixture
def token_host(shell: Shell, shell_harness: Harness, tmp_path: Path) -> Iterator[TokenHostMachine]:
    """A token host without connections, and a machine that has no access yet."""
    if SSHD is None:
        pytest.skip("sshd is not installed")
    directory = tmp_path / "sshd"
    directory.mkdir()
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as other,  # a socket's path must be short
        ssh_server(directory) as port,
    ):
        client = _client(shell, Path(other), port, directory)
        yield TokenHostMachine(shell, shell_harness, port, directory, client)
        for control_socket in Path(other).glob("*/cache/simulator/token-host/" + "?" * 40):
            arguments = ["ssh", "-O", "exit", "-o", f"ControlPath={control_socket}", "host"]
            subprocess.run(arguments, capture_output=True, timeout=PROCESS_TIMEOUT_SECONDS)


def _client(shell: Shell, directory: Path, port: int, server: Path) -> Shell:
    _create_key(directory / "id", "deploy@web1")
    host_key = (server / "host_key.pub").read_text()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    settings = {
        "UserKnownHostsFile": directory / "known_hosts",
        "GlobalKnownHostsFile": "none",
        "IdentityFile": directory / "id",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
    }
    configuration = directory / "ssh_config"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    program = directory / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {configuration} "$@"\n')
    program.chmod(0o755)
    environment = {
        **shell.environment,
        "PATH": f"{program.parent}:{os.defpath}",
        "ZOHO_WIZARD_HOME": str(directory / "w"),
        "ZOHO_WIZARD_REMOTE": f"ssh://{ME}@127.0.0.1:{port}",
    }
    return replace(shell, directory=directory, environment=environment, processes=[])


def _create_key(path: Path, comment: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path], check=True
    )


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
