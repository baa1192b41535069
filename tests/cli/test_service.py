"""``service``, with programs that note what systemd would be told; and a service that reports."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.harness import Harness
from support.local_api import SocketClient, allow
from support.shell import Shell

from wizard.cli.commands import service
from wizard.cli.flows.units import UnitOptions, serve_units
from wizard.errors import WizardError
from wizard.fastpath import cipher
from wizard.local_api import find_service
from wizard.paths import KEY_CREDENTIAL

NOTED = """#!/bin/sh
[ "$1" = --version ] && echo "systemd ${{SYSTEMD_VERSION:-252}} (252)" && exit 0
echo "$(basename "$0") $*" >> {log}
"""


@pytest.fixture
def systemd(shell: Shell) -> Path:
    """The log of the commands that programs of systemd were called with."""
    programs, log = shell.directory / "programs", shell.directory / "systemd.log"
    programs.mkdir()
    log.touch()
    for name in ("systemctl", "loginctl", "systemd-run"):
        (programs / name).write_text(NOTED.format(log=log))
        (programs / name).chmod(0o755)
    shell.environment["PATH"] = f"{programs}:{os.defpath}"
    return log


def unit_directory(shell: Shell) -> Path:
    return shell.directory / ".config" / "systemd" / "user"


def test_a_dry_run_shows_the_units_and_changes_nothing(shell: Shell, systemd: Path) -> None:
    for scope in ("--user", "--system"):
        planned = shell.run("service", "install", scope, "--dry-run", "--json")
        found = json.loads(planned.stdout)
        assert planned.exit_code == (found["problem"]["exit_code"] if found["problem"] else 0)
        assert found["is_dry_run"]
        assert {each["change"] for each in found["files"]} == {"created"}
    assert not unit_directory(shell).exists()
    assert systemd.read_text() == ""


def test_units_of_a_user_are_installed_started_replaced_and_removed(
    shell: Shell, systemd: Path
) -> None:
    assert shell.run("service", "install", "--user").exit_code == 0
    names = sorted(each.name for each in unit_directory(shell).iterdir())
    assert names == [
        "zoho-wizard-monitor.service",
        "zoho-wizard-monitor.timer",
        "zoho-wizard.service",
    ]
    assert systemd.read_text().splitlines() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now zoho-wizard.service zoho-wizard-monitor.timer",
    ]
    unit = unit_directory(shell) / "zoho-wizard.service"
    assert f'Environment="ZOHO_WIZARD_HOME={shell.directory / "home"}"' in unit.read_text()
    assert "LoadCredentialEncrypted" not in unit.read_text(), "systemd 257 can’t decrypt it"

    words = ("service", "install", "serve", "--user", "--json")
    same = shell.run(*words, SYSTEMD_VERSION="257")
    assert [each["change"] for each in json.loads(same.stdout)["files"]] == ["unchanged"]
    again = shell.run(*words, SYSTEMD_VERSION="258")
    assert [each["change"] for each in json.loads(again.stdout)["files"]] == ["replaced"]
    assert f"LoadCredentialEncrypted={KEY_CREDENTIAL}\n" in unit.read_text()
    assert "try-restart zoho-wizard.service" in systemd.read_text()

    listed = json.loads(shell.run("service", "status", "--user", "--json").stdout)["units"]
    assert [each["name"] for each in listed] == [*reversed(names[2:]), *names[:2]]

    removed = json.loads(shell.run("service", "remove", "--user", "--json").stdout)
    assert len(removed["files"]) == len(names)
    assert list(unit_directory(shell).iterdir()) == []
    assert "disable --now zoho-wizard-monitor.timer zoho-wizard.service" in systemd.read_text()


def test_units_are_not_installed_for_a_directory_that_is_missing(
    shell: Shell, systemd: Path
) -> None:
    missing = shell.directory / "missing"
    refused = shell.run("service", "install", "--user", "--metrics", str(missing / "z.prom"))
    assert (refused.exit_code, "(metrics-unwritable)" in refused.stderr) == (1, True)
    assert shell.run("service", "install", "--user", "--writable", str(missing)).exit_code == 2
    assert not unit_directory(shell).exists()


def test_a_command_that_systemd_refuses_is_reported(shell: Shell, systemd: Path) -> None:
    failing = shell.directory / "programs" / "systemctl"
    failing.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n")
    refused = shell.run("service", "install", "--user")
    assert (refused.exit_code, "service-command" in refused.stderr) == (1, True)
    assert "Failed to connect to bus" in refused.stderr


@pytest.mark.slow
def test_a_program_that_a_different_user_cannot_run_is_not_installed(
    shell: Shell, systemd: Path
) -> None:
    shell.directory.chmod(0o700)
    program = shell.directory / "python"
    program.symlink_to(sys.executable)
    words = ("-P", "-m", "wizard", "service", "install", "--system")
    environment = {**shell.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    refused = subprocess.run(
        [program, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "service-program-hidden" in refused.stderr
    planned = subprocess.run([program, *words, "--dry-run"], env=environment, capture_output=True)
    assert (planned.returncode, b"service-program-hidden" in planned.stderr) == (1, True)
    assert b"ExecStart=" in planned.stdout
    assert systemd.read_text() == ""


def test_a_command_runs_with_the_user_data_and_key_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SYSTEM_UNIT_DIR", tmp_path)
    options = UnitOptions("system", {"ZOHO_WIZARD_HOME": "/srv/50%"}, user="tokens")
    for unit in serve_units(options, []):
        (tmp_path / unit.name).write_text(unit.text)
    command = service.service_command(("list",), is_terminal=False)
    assert {each.partition("--property=")[2] for each in command} - {""} == {
        "User=tokens",
        'Environment="ZOHO_WIZARD_HOME=/srv/50%"',
        f"LoadCredentialEncrypted={KEY_CREDENTIAL}",
        "StateDirectory=zoho-wizard",
        "StateDirectoryMode=0700",
        "UMask=0077",
    }


@pytest.mark.parametrize("name", ["a\nExecStartPre=/bin/id", "a b", "-", "%u", ""])
def test_a_unit_names_only_a_user(shell: Shell, systemd: Path, name: str) -> None:
    planned = shell.run("service", "install", "--system", "--dry-run", "--run-as", name)
    assert (planned.exit_code, planned.stdout) == (2, "")


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key file of a service of the system, and a ``systemd-creds`` that doesn't encrypt."""
    programs, home = tmp_path / "programs", tmp_path / "home"
    (home / "config").mkdir(parents=True)
    programs.mkdir()
    copy = programs / "systemd-creds"
    copy.write_text('#!/bin/sh\nif [ "$1" = encrypt ]; then cat > "$4"; else cat "$3"; fi\n')
    copy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.defpath}")
    monkeypatch.setattr(service, "SYSTEM_HOME", str(home))
    monkeypatch.setattr(service, "CREDENTIAL_FILE", tmp_path / "credstore" / KEY_CREDENTIAL)
    return home / "config" / "key"


def test_the_key_becomes_a_credential_and_its_file_is_removed(key_file: Path) -> None:
    key = cipher.key_to_text(cipher.new_key())
    key_file.write_text(key + "\n")
    service._encrypt_key()
    assert service.CREDENTIAL_FILE.read_text() == key
    assert not key_file.exists()


@pytest.mark.parametrize("trick", ["link", "link to the directory", "hard link", "pipe"])
def test_a_service_gets_no_other_file_as_its_credential(
    key_file: Path, tmp_path: Path, trick: str
) -> None:
    secret = tmp_path / "of root" / "key"
    secret.parent.mkdir()
    secret.write_text("root:x")
    if trick == "link to the directory":
        key_file.parent.rmdir()
        key_file.parent.symlink_to(secret.parent)
    elif trick == "pipe":
        os.mkfifo(key_file)
    elif trick == "hard link":
        key_file.hardlink_to(secret)
    else:
        key_file.symlink_to(secret)
    with pytest.raises(WizardError) as refused:
        service._encrypt_key()
    assert refused.value.failure.code == "key-unreadable"
    assert not service.CREDENTIAL_FILE.exists()
    assert secret.exists()


def test_the_service_says_when_it_is_ready_alive_and_stopping_and_logs_no_link(
    shell: Shell,
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = shell.directory / "notify"
        manager.bind(str(address))
        manager.settimeout(30)
        serving = shell.start("serve", NOTIFY_SOCKET=str(address), WATCHDOG_USEC="3000000")
        assert manager.recv(4096).decode().split("\n")[0] == "READY=1"
        assert [manager.recv(4096), manager.recv(4096)] == [b"WATCHDOG=1"] * 2
        serving.send_signal(signal.SIGTERM)
        while (message := manager.recv(4096)) == b"WATCHDOG=1":
            pass
        assert message == b"STOPPING=1"
        done = serving.finish()
        assert (done.exit_code, "/browser-link/" in done.stderr) == (0, False)


def test_without_pages_tokens_are_served_and_a_page_opens_in_a_second_process(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    serving = shell.start("serve", "--socket-only")
    serving.wait_for_stderr("Ctrl-C to stop")
    own = Path(shell_harness.services.paths.socket)
    found = find_service(own)
    assert found is not None
    assert not found.has_pages
    said = json.loads(shell.run("status", "--json").stdout)
    assert (said["is_serving"], said["has_pages"]) == (True, False)

    opened = shell.start("open", "crm")
    opened.wait_for_stderr(rf"http://localhost:{shell.port}/browser-link/\S+")
    assert opened.finish(signal.SIGTERM).exit_code == 0
    assert find_service(own) is not None, "its socket is still there"
    assert serving.finish(signal.SIGTERM).exit_code == 0
    assert not own.exists()


LISTEN = """
import os, socket, sys
path, *command = sys.argv[1:]
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
os.chmod(path, 0o666)
listening.listen(16)
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(command[0], command)
"""


def test_a_socket_of_the_service_manager_is_served_and_kept(
    shell: Shell, shell_harness: Harness, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shell_harness.add_verified_connection("crm")
    allow(shell_harness, os.getuid())
    path = shell.directory / "socket"
    wizard = (sys.executable, "-P", "-m", "wizard", "serve", "--socket-only")
    serving = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(path), *wizard],
        env=shell.environment,
        stderr=subprocess.DEVNULL,
    )
    shell.processes.append(serving)
    # Nobody has to wait until it is ready: the connection waits in the queue.
    while not path.exists():
        assert serving.poll() is None
    status, answer = SocketClient(path).request("/token/crm")
    assert (status, answer["access_token"]) == (200, shell.run("token", "crm").stdout.strip())
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(30) == 0
    assert path.exists()
