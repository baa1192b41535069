"""Start a server in a terminal, find it from another one, and stop it."""

import json
import os
import re
import select
import shutil
import signal
import stat
from pathlib import Path

import pytest
import requests
from support.harness import Harness
from support.ports import free_port
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.local_api import request_browser_link
from wizard.store import AccessPermission

CONTROL_D = "\x04"
LINK = r"http://localhost:\d+/browser-link/\S+"


def open_link(link: str) -> requests.Response:
    """Open a one-time link as a browser does."""
    return requests.get(link, timeout=10)


def test_serve_prints_a_link_that_works_once_and_stops_on_sigterm(shell: Shell) -> None:
    serving = shell.start("serve")
    link = serving.wait_for_stderr(LINK)

    assert open_link(link).status_code == 200
    assert open_link(link).status_code != 200

    ended = serving.finish(signal.SIGTERM)
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr


def test_a_second_wizard_finds_the_first_one_and_opens_it(shell: Shell) -> None:
    serving = shell.start("serve")
    serving.wait_for_stderr(LINK)

    opened = shell.run()

    assert opened.exit_code == 0
    link = opened.stderr.split()[-1]
    assert f":{shell.port}/browser-link/" in link
    assert open_link(link).status_code == 200
    assert json.loads(shell.run("status", "--json").stdout)["is_serving"] is True
    serving.finish(signal.SIGTERM)
    assert json.loads(shell.run("status", "--json").stdout)["is_serving"] is False


def test_the_socket_is_private_to_its_owner_and_removed_with_the_server(shell: Shell) -> None:
    serving = shell.start("serve")
    serving.wait_for_stderr(LINK)
    (socket,) = shell.directory.rglob("socket")

    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700

    serving.finish(signal.SIGINT)
    assert not socket.exists()


def test_a_different_program_on_the_port_is_reported(shell: Shell, tmp_path: Path) -> None:
    serving = shell.start("serve")
    serving.wait_for_stderr(LINK)

    other = shell.run("serve", ZOHO_WIZARD_HOME=str(tmp_path / "another"))

    assert other.exit_code == 1
    assert "port-in-use" in other.stderr
    assert str(shell.port) in other.stderr


def socket_answers(path: Path) -> bool:
    return request_browser_link(path, "/", is_printed=True) is not None


def test_a_second_serve_on_another_port_is_refused_and_the_first_keeps_its_sockets(
    shell: Shell, shell_harness: Harness, tmp_path: Path
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.services.store.access_permissions.add(
        AccessPermission("crm", os.getuid(), "somebody", shell_harness.now())
    )
    shared = tmp_path / "shared"
    serving = shell.start("serve", "--share", str(shared))
    serving.wait_for_stderr(LINK)
    own = Path(shell_harness.services.paths.socket)
    before = own.stat().st_ino, (shared / "socket").stat().st_ino

    other = shell.run("serve", "--share", str(shared), ZOHO_WIZARD_PORT=str(free_port()))

    assert other.exit_code == 1
    assert "already-served" in other.stderr
    assert f"http://localhost:{shell.port}" in other.stderr
    assert (own.stat().st_ino, (shared / "socket").stat().st_ino) == before
    assert socket_answers(own)
    serving.finish(signal.SIGTERM)


def test_a_second_serve_is_refused_even_if_the_locks_of_the_first_were_removed(
    shell: Shell, shell_harness: Harness
) -> None:
    serving = shell.start("serve")
    serving.wait_for_stderr(LINK)
    own = Path(shell_harness.services.paths.socket)
    before = own.stat().st_ino
    shutil.rmtree(shell_harness.services.paths.lock_dir)

    other = shell.run("serve", ZOHO_WIZARD_PORT=str(free_port()))

    assert other.exit_code == 1
    assert "already-served" in other.stderr
    assert f"http://localhost:{shell.port}" in other.stderr
    assert own.stat().st_ino == before
    assert socket_answers(own)
    assert serving.finish(signal.SIGTERM).exit_code == 0


def test_of_two_that_start_together_one_serves_and_the_other_reports_it(shell: Shell) -> None:
    both = [shell.start("serve", ZOHO_WIZARD_PORT=str(port)) for port in (shell.port, free_port())]
    said = [each.wait_for_stderr(f"{LINK}|already-served") for each in both]

    assert sorted("already-served" in each for each in said) == [False, True]
    (socket,) = shell.directory.rglob("socket")
    assert socket_answers(socket)
    refused = both[["already-served" in each for each in said].index(True)].finish()
    assert refused.exit_code == 1
    assert socket_answers(socket)


def test_a_killed_wizard_can_be_replaced_on_any_port(shell: Shell) -> None:
    killed = shell.start("serve")
    killed.wait_for_stderr(LINK)
    killed.finish(signal.SIGKILL)
    (socket,) = shell.directory.rglob("socket")
    assert not socket_answers(socket)

    serving = shell.start("serve", ZOHO_WIZARD_PORT=str(free_port()))
    serving.wait_for_stderr(LINK)

    assert socket_answers(socket)
    assert serving.finish(signal.SIGTERM).exit_code == 0


def test_a_command_that_serves_while_it_waits_blocks_a_second_one(shell: Shell) -> None:
    shell.start("connect", "crm").wait_for_stderr(LINK)

    other = shell.run("serve", ZOHO_WIZARD_PORT=str(free_port()))

    assert (other.exit_code, "already-served" in other.stderr) == (1, True)


def test_status_shows_what_blocks_other_users(shell: Shell) -> None:
    assert json.loads(shell.run("status", "--json").stdout)["access_check"] == "user"
    assert "Only the user who started the wizard" in shell.run("status").stdout


def first_line(pipe: Path) -> str:
    """Read what is first written to a named pipe; fail on a timeout."""
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert select.select([reading], [], [], PROCESS_TIMEOUT_SECONDS)[0], "nothing was written"
        return os.read(reading, 4096).decode().strip()
    finally:
        os.close(reading)


def test_the_browser_gets_a_file_and_no_link(shell: Shell) -> None:
    opened, browser = shell.directory / "opened", shell.directory / "browser; touch shell"
    os.mkfifo(opened)
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {opened}\n')
    browser.chmod(0o700)

    running = shell.start("serve")
    running.wait_for_stderr(LINK)
    opening = shell.start(ZOHO_WIZARD_BROWSER=str(browser))
    file = Path(first_line(opened))
    opening.finish()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    link = file.read_text().split('href="')[1].split('"')[0]
    assert link.rpartition("/")[2] not in str(file)
    assert not (shell.directory / "shell").exists()
    assert open_link(link).status_code == 200


def test_over_ssh_the_tunnel_command_is_printed(shell: Shell) -> None:
    serving = shell.start("serve")
    serving.wait_for_stderr(LINK)

    said = shell.run(SSH_CONNECTION="192.0.2.1 50000 192.0.2.2 22").stderr

    assert f"ssh -N -L {shell.port}:localhost:{shell.port} user@host" in said
    assert "copy its full URL" in said


def test_connect_waits_on_the_page_and_can_be_stopped(shell: Shell) -> None:
    waiting = shell.start("connect", "crm")
    assert open_link(waiting.wait_for_stderr(LINK)).url.endswith("/connections/new?name=crm")

    left = waiting.finish(signal.SIGINT)

    assert left.exit_code == 1
    assert "zoho-wizard connect crm" in left.stderr


def test_enter_at_the_terminal_prints_a_new_link(shell: Shell) -> None:
    said = shell.run_in_terminal(
        "serve", replies=[("Ctrl-C to stop", ""), ("/browser-link/", CONTROL_D)]
    )

    assert said.stdout.count("/browser-link/") == 2
    assert said.exit_code == 0


@pytest.mark.slow
def test_a_demo_keeps_the_wizard_and_simulator_data_between_runs(shell: Shell) -> None:
    port = str(free_port())
    first = shell.start("demo", "--port", port)
    first.wait_for_stderr("Ctrl-C to stop")
    said = first.finish(signal.SIGTERM)
    assert said.exit_code == 0
    assert f"export ZOHO_WIZARD_SIMULATOR_URL=http://127.0.0.1:{port}" in said.stderr
    assert "anna@zylker.example" in said.stderr
    (saved,) = shell.directory.rglob("simulator.json")
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    saved.write_text(saved.read_text().replace("Berg", "Bergmann"))

    again = shell.start("demo", "--port", port)
    again.wait_for_stderr("Ctrl-C to stop")
    assert any(
        person["last_name"] == "Bergmann" for person in json.loads(saved.read_text())["users"]
    )
    assert again.finish(signal.SIGTERM).exit_code == 0
    assert "Bergmann" in saved.read_text()

    fresh = shell.start("demo", "--port", port, "--reset")
    fresh.wait_for_stderr("Ctrl-C to stop")
    assert fresh.finish(signal.SIGTERM).exit_code == 0
    assert "Bergmann" not in saved.read_text()


def test_a_demo_at_real_host_names_says_how_to_reach_it(shell: Shell) -> None:
    running = shell.start("demo", "--port", str(free_port()), "--real-hostnames")
    running.wait_for_stderr("Ctrl-C to stop")
    said = running.wait_for_stderr(r"chromium .*\n(?s:.*)Ctrl-C to stop")
    variables = dict(re.findall(r"export (\w+)=([^\s:]+://\S+|/\S+\.pem)", said))
    options = {
        f"--proxy-server={variables['HTTPS_PROXY']}",
        "--ignore-certificate-errors-spki-list",
    }
    assert all(each in said for each in options)
    status = json.loads(shell.run("status", "--json", **variables).stdout)
    assert status["zoho_instance"] == variables["ZOHO_WIZARD_SIMULATOR_URL"]
    assert running.finish(signal.SIGTERM).exit_code == 0


def test_a_fresh_demo_does_not_remove_what_another_one_serves(shell: Shell) -> None:
    shell.start("demo", "--port", str(free_port())).wait_for_stderr("Ctrl-C to stop")
    (socket,) = shell.directory.rglob("socket")
    socket.unlink()  # as on a system that has no such sockets

    port = {"ZOHO_WIZARD_PORT": str(free_port())}
    other = shell.run("demo", "--reset", "--port", str(free_port()), **port)

    assert (other.exit_code, "already-served" in other.stderr) == (1, True)
    assert list(shell.directory.rglob("wizard.db"))
