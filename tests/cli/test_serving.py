"""Serving from a terminal, being found there, and stopping."""

import json
import os
import select
import signal
import stat
from pathlib import Path

import requests
from core import Core
from ports import free_port
from shell import PATIENCE, Shell

from wizard.endpoint import ring
from wizard.store import Allowance

CONTROL_D = "\x04"
LINK = r"http://localhost:\d+/launch/\S+"


def open_link(link: str) -> requests.Response:
    """Open a launch link as a browser does."""
    return requests.get(link, timeout=10)


def test_serve_prints_a_link_that_works_once_and_stops_on_sigterm(shell: Shell) -> None:
    serving = shell.start("serve")
    link = serving.see(LINK)

    assert open_link(link).status_code == 200
    assert open_link(link).status_code != 200

    ended = serving.end(signal.SIGTERM)
    assert (ended.code, ended.out) == (0, "")
    assert "Traceback" not in ended.err


def test_a_second_wizard_finds_the_first_one_and_opens_it(shell: Shell) -> None:
    serving = shell.start("serve")
    serving.see(LINK)

    opened = shell.run()

    assert opened.code == 0
    link = opened.err.split()[-1]
    assert f":{shell.port}/launch/" in link
    assert open_link(link).status_code == 200
    assert json.loads(shell.run("status", "--json").out)["serving"] is True
    serving.end(signal.SIGTERM)
    assert json.loads(shell.run("status", "--json").out)["serving"] is False


def test_the_socket_is_its_owners_alone_and_goes_with_the_server(shell: Shell) -> None:
    serving = shell.start("serve")
    serving.see(LINK)
    (socket,) = shell.directory.rglob("socket")

    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700

    serving.end(signal.SIGINT)
    assert not socket.exists()


def test_a_foreign_program_on_the_port_is_a_finding(shell: Shell, tmp_path: Path) -> None:
    serving = shell.start("serve")
    serving.see(LINK)

    other = shell.run("serve", ZOHO_WIZARD_HOME=str(tmp_path / "another"))

    assert other.code == 1
    assert "port-in-use" in other.err
    assert str(shell.port) in other.err


def socket_answers(path: Path) -> bool:
    return ring(path, "/", printed=True) is not None


def test_a_second_serve_on_another_port_is_refused_and_the_first_keeps_its_sockets(
    shell: Shell, stored: Core, tmp_path: Path
) -> None:
    stored.proved("crm")
    stored.house.store.allow(Allowance("crm", os.getuid(), "somebody", stored.now()))
    shared = tmp_path / "shared"
    serving = shell.start("serve", "--share", str(shared))
    serving.see(LINK)
    own = Path(stored.house.home.socket)
    before = own.stat().st_ino, (shared / "socket").stat().st_ino

    other = shell.run("serve", "--share", str(shared), ZOHO_WIZARD_PORT=str(free_port()))

    assert other.code == 1
    assert "already-served" in other.err
    assert f"http://localhost:{shell.port}" in other.err
    assert (own.stat().st_ino, (shared / "socket").stat().st_ino) == before
    assert socket_answers(own)
    serving.end(signal.SIGTERM)


def test_of_two_that_start_together_one_serves_and_the_other_says_so(shell: Shell) -> None:
    both = [shell.start("serve", ZOHO_WIZARD_PORT=str(port)) for port in (shell.port, free_port())]
    said = [each.see(f"{LINK}|already-served") for each in both]

    assert sorted("already-served" in each for each in said) == [False, True]
    (socket,) = shell.directory.rglob("socket")
    assert socket_answers(socket)
    refused = both[["already-served" in each for each in said].index(True)].end()
    assert refused.code == 1
    assert socket_answers(socket)


def test_a_wizard_that_was_killed_is_succeeded_on_any_port(shell: Shell) -> None:
    killed = shell.start("serve")
    killed.see(LINK)
    killed.end(signal.SIGKILL)
    (socket,) = shell.directory.rglob("socket")
    assert not socket_answers(socket)

    serving = shell.start("serve", ZOHO_WIZARD_PORT=str(free_port()))
    serving.see(LINK)

    assert socket_answers(socket)
    assert serving.end(signal.SIGTERM).code == 0


def test_a_command_that_serves_while_it_waits_keeps_a_second_one_out(shell: Shell) -> None:
    shell.start("connect", "crm").see(LINK)

    other = shell.run("serve", ZOHO_WIZARD_PORT=str(free_port()))

    assert (other.code, "already-served" in other.err) == (1, True)


def test_status_says_what_keeps_other_users_out(shell: Shell) -> None:
    assert json.loads(shell.run("status", "--json").out)["access_check"] == "user"
    assert "Only the user who started the wizard" in shell.run("status").out


def first_line(pipe: Path) -> str:
    """What is written into a named pipe first, which fails rather than wait for ever."""
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert select.select([reading], [], [], PATIENCE)[0], "nothing was written"
        return os.read(reading, 4096).decode().strip()
    finally:
        os.close(reading)


def test_the_browser_is_given_a_file_and_no_link(shell: Shell) -> None:
    heard, browser = shell.directory / "heard", shell.directory / "browser"
    os.mkfifo(heard)
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {heard}\n')
    browser.chmod(0o700)

    running = shell.start("serve")
    running.see(LINK)
    opening = shell.start(ZOHO_WIZARD_BROWSER=str(browser))
    file = Path(first_line(heard))
    opening.end()

    assert "launch" not in str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    link = file.read_text().split('href="')[1].split('"')[0]
    assert open_link(link).status_code == 200


def test_over_ssh_the_tunnel_is_printed_ready_to_paste(shell: Shell) -> None:
    serving = shell.start("serve")
    serving.see(LINK)

    said = shell.run(SSH_CONNECTION="192.0.2.1 50000 192.0.2.2 22").err

    assert f"ssh -N -L {shell.port}:localhost:{shell.port} user@host" in said
    assert "that is right: copy its whole address" in said


def test_connect_waits_on_the_page_and_can_be_left(shell: Shell) -> None:
    waiting = shell.start("connect", "crm")
    assert open_link(waiting.see(LINK)).url.endswith("/connections/new?name=crm")

    left = waiting.end(signal.SIGINT)

    assert left.code == 1
    assert "zoho-wizard connect crm" in left.err


def test_enter_at_the_terminal_prints_a_new_link(shell: Shell) -> None:
    said = shell.at_a_terminal("serve", answers=[("Ctrl-C: stop", ""), ("/launch/", CONTROL_D)])

    assert said.out.count("/launch/") == 2
    assert said.code == 0


def test_a_demo_keeps_both_sides_between_runs(shell: Shell) -> None:
    port = str(free_port())
    first = shell.start("demo", "--port", port)
    first.see("Ctrl-C: stop")
    said = first.end(signal.SIGTERM)
    assert said.code == 0
    assert f"export ZOHO_WIZARD_ZOHO=http://127.0.0.1:{port}" in said.err
    assert "anna@zylker.example" in said.err
    (saved,) = shell.directory.rglob("zoho.json")
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    saved.write_text(saved.read_text().replace("Berg", "Bergmann"))

    again = shell.start("demo", "--port", port)
    again.see("Ctrl-C: stop")
    assert any(
        person["last_name"] == "Bergmann" for person in json.loads(saved.read_text())["people"]
    )
    assert again.end(signal.SIGTERM).code == 0
    assert "Bergmann" in saved.read_text()

    fresh = shell.start("demo", "--port", port, "--fresh")
    fresh.see("Ctrl-C: stop")
    assert fresh.end(signal.SIGTERM).code == 0
    assert "Bergmann" not in saved.read_text()


def test_a_fresh_demo_does_not_remove_what_another_one_serves(shell: Shell) -> None:
    shell.start("demo", "--port", str(free_port())).see("Ctrl-C: stop")
    (socket,) = shell.directory.rglob("socket")
    socket.unlink()  # as on a system that has no such sockets

    port = {"ZOHO_WIZARD_PORT": str(free_port())}
    other = shell.run("demo", "--fresh", "--port", str(free_port()), **port)

    assert (other.code, "already-served" in other.err) == (1, True)
    assert list(shell.directory.rglob("wizard.db"))
