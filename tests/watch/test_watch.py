"""`watch` looks again and again, and tells of each cause once."""

import http.client
import json
import os
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from asking import wait_for
from browsing import Callback
from core import ANNA, Core
from shell import Shell

from wizard.endpoint.sockets import address_of
from wizard.errors import WizardError


def two(stored: Core) -> None:
    """Two proved connections of anna's."""
    stored.proved("crm")
    stored.proved("books")


def told(shell: Shell) -> list[dict[str, Any]]:
    """What the command of `--notify` was given so far."""
    file = shell.directory / "told"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def notify(shell: Shell) -> str:
    return f"sh -c 'cat >> {shell.directory}/told'"


def test_a_look_that_finds_all_well_is_remembered_and_sends_its_heartbeat(
    shell: Shell, stored: Core
) -> None:
    two(stored)
    assert "never: zoho-wizard watch" in shell.run("status").out
    beat = shell.directory / "beat"
    looked = shell.run("watch", "--once", "--heartbeat", f"touch {beat}")
    assert looked.code == 0, looked.err
    assert "all 2 connections work" in looked.err
    assert beat.exists()
    assert json.loads(shell.run("status", "--json").out)["last_watch"]


def test_a_home_without_connections_sends_no_heartbeat(shell: Shell) -> None:
    beat = shell.directory / "beat"
    looked = shell.run("watch", "--once", "--heartbeat", f"touch {beat}")
    assert "No connections in" in looked.err
    assert not beat.exists()


def test_a_cause_is_told_once_and_the_all_clear_once(shell: Shell, stored: Core) -> None:
    two(stored)
    look = ("watch", "--once", "--notify", notify(shell))
    stored.admin.change_password(ANNA)
    assert [shell.run(*look).code for _ in range(2)] == [3, 3]
    (trouble,) = told(shell)
    assert trouble["event"] == "trouble"
    assert trouble["reach"] == "account"
    assert trouble["connections"] == ["books", "crm"]
    assert trouble["sign_in_as"] == ANNA
    for name in ("crm", "books"):
        done = stored.authorize(name)
        stored.climb(name, done.generation or 0)
    assert [shell.run(*look).code for _ in range(2)] == [0, 0]
    assert [each["event"] for each in told(shell)] == ["trouble", "all-well"]


def test_what_could_not_be_told_is_told_after_the_next_look(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    stored.admin.change_password(ANNA)
    deaf = shell.run("watch", "--once", "--notify", "false")
    assert deaf.code == 6
    assert "notification-failed" in deaf.err
    assert shell.run("watch", "--once", "--notify", notify(shell)).code == 3
    assert len(told(shell)) == 1


def test_a_data_centre_that_is_down_is_one_message_and_no_death(shell: Shell, stored: Core) -> None:
    two(stored)
    stored.admin.fault("dc-down", location="eu", times=50)
    looked = shell.run("watch", "--once", "--json")
    assert looked.code == 4
    (cause,) = json.loads(looked.out)["causes"]
    assert cause["reach"] == "data-centre"
    assert not stored.house.repairs.refused()


def test_a_watch_goes_on_until_it_is_told_to_end(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    watching = shell.start("watch")
    watching.see("all 1 connections work")
    assert watching.end(signal.SIGTERM).code == 0


def test_a_watch_leaves_programs_their_token_requests(shell: Shell) -> None:
    refused = shell.run("watch", "--every", "1m", "--once")
    assert refused.code == 2
    assert "watch-too-often" in refused.err


@pytest.mark.parametrize("every", ["30m", "6h"])
def test_a_line_for_cron_works_with_an_empty_environment(
    shell: Shell, stored: Core, every: str
) -> None:
    stored.proved("crm")
    options = ("--every", every, "--notify", notify(shell))
    printed = shell.run("watch", "--print", "cron", *options)
    assert printed.code == 0, printed.err
    fields = printed.out.rstrip("\n").split(" ", 5)
    assert fields[:2] == (["*/30", "*"] if every == "30m" else ["17", "*/6"])
    bare = {"PATH": os.defpath, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    line = fields[5].replace(r"\%", "%")
    done = subprocess.run(["/bin/sh", "-c", line], env=bare, cwd="/", capture_output=True)
    assert b"connections work" in done.stderr or done.returncode == 3, done.stderr


def test_a_timer_for_systemd_names_every_path_and_the_home(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    printed = shell.run("watch", "--print", "systemd", "--notify", notify(shell)).out
    (starts,) = (line for line in printed.splitlines() if line.startswith("ExecStart="))
    assert Path(starts.removeprefix("ExecStart=").split()[0]).is_absolute()
    assert "/sh -c" in starts
    assert f'Environment="ZOHO_WIZARD_HOME={shell.directory / "home"}"' in printed
    assert "OnUnitActiveSec=3600s" in printed
    assert "\nSuccessExitStatus=3\n" in printed, "6 fails the unit: nobody was told"


def test_the_list_says_when_somebody_last_looked(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    assert "last checked" not in shell.run("list").err
    shell.run("watch", "--once")
    assert "last checked by a watch" in shell.run("list").err


def test_a_token_that_meets_a_dead_grant_tells_at_once_and_the_watch_not_again(
    shell: Shell, stored: Core
) -> None:
    client = stored.client()
    for name in ("crm", "books"):
        stored.connection(name, client)
        done = stored.authorize(name)
        stored.climb(name, done.generation or 0)
    assert shell.run("watch", "--once", "--notify", notify(shell)).code == 0
    stored.advance(hours=2)
    stored.admin.change_password(ANNA)
    asked = shell.run("token", "crm")
    assert (asked.code, asked.out) == (3, "")
    assert asked.err.startswith("✗ “crm” is dead")
    (trouble,) = told(shell)
    assert trouble["connections"] == ["books", "crm"], "its account was looked at before"
    assert trouble["commands"] == ["zoho-wizard reauthorize books crm"]
    assert shell.run("token", "crm").code == 3
    assert shell.run("watch", "--once").code == 3
    assert len(told(shell)) == 1
    for name in ("crm", "books"):
        done = stored.authorize(name)
        stored.climb(name, done.generation or 0)
    stored.advance(hours=2)
    stored.admin.change_password(ANNA)
    assert shell.run("token", "books").code == 3
    assert len(told(shell)) == 2, "another death, of another generation"


def test_nobody_is_told_where_no_command_is_known_or_it_was_forgotten(
    shell: Shell, stored: Core
) -> None:
    stored.proved("crm")
    shell.run("watch", "--once", "--notify", notify(shell))
    assert json.loads(shell.run("status", "--json").out)["tells_by"].endswith("/sh")
    shell.run("watch", "--once", "--notify", "")
    assert json.loads(shell.run("status", "--json").out)["tells_by"] is None
    stored.advance(hours=2)
    stored.admin.change_password(ANNA)
    assert shell.run("token", "crm").code == 3
    assert not (shell.directory / "told").exists()


def test_a_program_at_the_socket_raises_the_alarm_too(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    shell.run("watch", "--once", "--notify", notify(shell))
    stored.advance(hours=2)
    stored.admin.change_password(ANNA)
    serving = shell.start("serve")
    serving.see("The wizard serves")
    with address_of(Path(stored.house.home.socket)) as address:
        asking = http.client.HTTPConnection("zoho-wizard")
        asking.sock = socket.socket(socket.AF_UNIX)
        asking.sock.connect(address)
    with closing(asking):
        asking.request("GET", "/token/crm")
        assert asking.getresponse().status == 409
    wait_for((shell.directory / "told").exists)
    assert serving.end(signal.SIGTERM).code == 0
    assert told(shell)[0]["connections"] == ["crm"]


def test_an_alarm_that_nobody_takes_is_not_raised_again_by_every_question(
    shell: Shell, stored: Core
) -> None:
    """It would ask Zoho for what works, and run a command that fails, as often as programs ask."""
    client = stored.client()
    for name in ("crm", "books"):
        stored.connection(name, client)
        stored.climb(name, stored.authorize(name).generation or 0)
    ran = shell.directory / "ran"
    failing = f"sh -c 'echo x >> {ran}; exit 1'"
    assert shell.run("watch", "--once", "--notify", failing).code == 0
    stored.advance(hours=2)
    stored.admin.evict(ANNA, client.client_id)
    assert stored.house.broker.access_token("books")
    with pytest.raises(WizardError):
        stored.house.broker.access_token("crm")
    first, *further = [stored.house.alarm.raise_dead("crm") for _ in range(3)]
    assert [each.code for each in first] == ["notification-failed"]
    assert further == [(), ()]
    stored.advance(minutes=10)
    assert len(stored.house.alarm.raise_dead("crm")) == 1
    assert ran.read_text("utf-8") == "x\n" * 2


def test_what_waits_for_the_limits_is_neither_told_nor_called_well(
    shell: Shell, stored: Core
) -> None:
    grant = stored.proved("crm")
    stored.house.cache.drop("crm")
    for _ in range(5):
        stored.house.broker.refresh_grant(grant)
    beat = shell.directory / "beat"
    look = ("watch", "--once", "--every", "10m", "--notify", notify(shell))
    looked = shell.run(*look, "--heartbeat", f"touch {beat}")
    assert looked.code == 4
    assert "could not be asked yet" in looked.err
    assert not beat.exists()
    assert not (shell.directory / "told").exists()


def test_an_address_gets_the_sign_of_life(shell: Shell, stored: Core, callback: Callback) -> None:
    stored.proved("crm")
    beat = callback.redirect_uri
    assert shell.run("watch", "--once", "--heartbeat", beat).code == 0
    assert len(callback.queries) == 1
    stored.admin.change_password(ANNA)
    assert shell.run("watch", "--once", "--heartbeat", beat).code == 3
    assert len(callback.queries) == 1
