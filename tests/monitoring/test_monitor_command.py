"""`monitor` checks repeatedly and notifies of each cause once."""

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
from support.browser import CallbackServer
from support.harness import ANNA, Harness
from support.shell import Shell
from support.tokens import wait_for

from wizard.errors import WizardError
from wizard.local_api.sockets import socket_address


def add_two_connections(shell_harness: Harness) -> None:
    """Two verified connections of anna's."""
    shell_harness.add_verified_connection("crm")
    shell_harness.add_verified_connection("books")


def read_notifications(shell: Shell) -> list[dict[str, Any]]:
    """The input of the `--notify` command so far."""
    file = shell.directory / "told"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def notify_command(shell: Shell) -> str:
    return f"sh -c 'cat >> {shell.directory}/told'"


def test_a_successful_check_is_recorded_and_sends_its_heartbeat(
    shell: Shell, shell_harness: Harness
) -> None:
    add_two_connections(shell_harness)
    assert "never: zoho-wizard monitor" in shell.run("status").stdout
    beat = shell.directory / "beat"
    checked = shell.run("monitor", "--once", "--heartbeat", f"touch {beat}")
    assert checked.exit_code == 0, checked.stderr
    assert "2 connections work" in checked.stderr
    assert beat.exists()
    assert json.loads(shell.run("status", "--json").stdout)["last_checked_at"]


def test_the_monitor_revokes_replaced_tokens_whose_grace_period_is_over(
    shell: Shell, shell_harness: Harness
) -> None:
    replaced = shell_harness.add_verified_connection("crm")
    tokens = shell_harness.simulator.world.grants.refresh_tokens
    shell_harness.services.reauthorization.begin(("crm",))
    done = shell_harness.authorize("crm")
    shell_harness.verify("crm", done.generation or 0)
    shell_harness.services.reauthorization.continue_after_verification("crm")
    shell.run("monitor", "--once")
    assert not tokens[replaced.refresh_token].invalidation_reason
    shell_harness.advance(hours=25)
    shell.run("monitor", "--once")
    assert tokens[replaced.refresh_token].invalidation_reason


@pytest.mark.slow
def test_a_failed_reload_and_a_changed_file_are_no_success(
    shell: Shell, shell_harness: Harness
) -> None:
    """In `list`, `status` and `monitor`, for its heartbeat and its notifications."""
    shell_harness.add_verified_connection("crm")
    beat, file, broken = (shell.directory / name for name in ("beat", "app.env", "broken"))
    broken.touch()
    options = ("--profile", "dotenv", "--to", str(file), "--yes")
    shell.run("destination", "add", "crm", *options, "--then", f"sh -c '! test -e {broken}'")
    monitor = ("monitor", "--once", "--heartbeat", f"touch {beat}")
    shell.run(*monitor, "--notify", notify_command(shell))

    def problems(*command: str) -> list[tuple[str, str, str]]:
        found = json.loads(shell.run(*command, "--json").stdout)["destination_problems"]
        return [(each["connection"], each["target"], each["error"]["code"]) for each in found]

    for code in ("reload-failed", "destination-not-current"):
        assert problems("list") == problems("status") == [("crm", str(file), code)]
        assert shell.run(*monitor).exit_code == 1
        assert not beat.exists()
        if broken.exists():
            broken.unlink()
            shell.run("deliver", "crm")
            file.write_text(file.read_text().replace("ZOHO_DC=eu", "ZOHO_DC=com"))
    shell.run("deliver", "crm")
    assert problems("list") == problems("status") == []
    assert shell.run(*monitor).exit_code == 0
    assert beat.exists()
    notified = [(each["event"], each["code"]) for each in read_notifications(shell)]
    assert notified == [
        ("incident", "reload-failed"),
        ("incident", "destination-not-current"),
        ("all-well", "all-well"),
    ]


def test_a_data_directory_without_connections_sends_no_heartbeat(shell: Shell) -> None:
    beat = shell.directory / "beat"
    checked = shell.run("monitor", "--once", "--heartbeat", f"touch {beat}")
    assert "No connections in" in checked.stderr
    assert not beat.exists()


def test_a_cause_is_notified_once_and_its_end_once(shell: Shell, shell_harness: Harness) -> None:
    add_two_connections(shell_harness)
    command = ("monitor", "--once", "--notify", notify_command(shell))
    shell_harness.controls.change_password(ANNA)
    assert [shell.run(*command).exit_code for _ in range(2)] == [3, 3]
    (incident,) = read_notifications(shell)
    assert incident["event"] == "incident"
    assert incident["level"] == "account"
    assert incident["connections"] == ["books", "crm"]
    assert incident["sign_in_as"] == ANNA
    for name in ("crm", "books"):
        done = shell_harness.authorize(name)
        shell_harness.verify(name, done.generation or 0)
    assert [shell.run(*command).exit_code for _ in range(2)] == [0, 0]
    assert [each["event"] for each in read_notifications(shell)] == ["incident", "all-well"]


def test_a_failed_notification_is_sent_after_the_next_check(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.change_password(ANNA)
    deaf = shell.run("monitor", "--once", "--notify", "false")
    assert deaf.exit_code == 6
    assert "notification-failed" in deaf.stderr
    assert shell.run("monitor", "--once", "--notify", notify_command(shell)).exit_code == 3
    assert len(read_notifications(shell)) == 1


def test_a_data_center_that_is_down_is_one_message_and_rejects_nothing(
    shell: Shell, shell_harness: Harness
) -> None:
    add_two_connections(shell_harness)
    shell_harness.controls.inject_fault("data-center-down", location="eu", times=50)
    checked = shell.run("monitor", "--once", "--json")
    assert checked.exit_code == 4
    (cause,) = json.loads(checked.stdout)["incidents"]
    assert cause["level"] == "data_center"
    assert not shell_harness.services.reauthorization.rejected_connections()


def test_the_monitor_runs_until_it_is_stopped(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    watching = shell.start("monitor")
    watching.wait_for_stderr("1 connection works")
    assert watching.finish(signal.SIGTERM).exit_code == 0


def test_the_monitor_leaves_token_requests_for_programs(shell: Shell) -> None:
    refused = shell.run("monitor", "--every", "1m", "--once")
    assert refused.exit_code == 2
    assert "monitor-interval-too-short" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("every", ["30m", "6h"])
def test_a_crontab_line_works_with_an_empty_environment(
    shell: Shell, shell_harness: Harness, every: str
) -> None:
    shell_harness.add_verified_connection("crm")
    options = ("--every", every, "--notify", notify_command(shell))
    printed = shell.run("monitor", "--print", "cron", *options)
    assert printed.exit_code == 0, printed.stderr
    fields = printed.stdout.rstrip("\n").split(" ", 5)
    assert fields[:2] == (["*/30", "*"] if every == "30m" else ["17", "*/6"])
    bare = {"PATH": os.defpath, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    line = fields[5].replace(r"\%", "%")
    done = subprocess.run(["/bin/sh", "-c", line], env=bare, cwd="/", capture_output=True)
    assert b"1 connection works" in done.stderr or done.returncode == 3, done.stderr


def test_a_systemd_timer_names_every_path_and_the_data_directory(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    printed = shell.run("monitor", "--print", "systemd", "--notify", notify_command(shell)).stdout
    (starts,) = (line for line in printed.splitlines() if line.startswith("ExecStart="))
    assert Path(starts.removeprefix("ExecStart=").split()[0]).is_absolute()
    assert "/sh -c" in starts
    assert f'Environment="ZOHO_WIZARD_HOME={shell.directory / "home"}"' in printed
    assert "OnUnitActiveSec=3600s" in printed
    assert "\nSuccessExitStatus=3\n" in printed, "6 fails the unit: the notification failed"


def test_the_list_shows_when_the_last_check_was(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    assert "`monitor`" not in shell.run("list").stderr
    shell.run("monitor", "--once")
    assert "`monitor` last ran" in shell.run("list").stderr


@pytest.mark.slow
def test_the_token_command_notifies_of_a_rejected_grant_and_the_monitor_does_not_repeat_it(
    shell: Shell, shell_harness: Harness
) -> None:
    client = shell_harness.register_client()
    for name in ("crm", "books"):
        shell_harness.add_connection(name, client)
        done = shell_harness.authorize(name)
        shell_harness.verify(name, done.generation or 0)
    assert shell.run("monitor", "--once", "--notify", notify_command(shell)).exit_code == 0
    shell_harness.advance(hours=2)
    shell_harness.controls.change_password(ANNA)
    asked = shell.run("token", "crm")
    assert (asked.exit_code, asked.stdout) == (3, "")
    assert asked.stderr.startswith("✗ “crm” needs re-authorization")
    (incident,) = read_notifications(shell)
    assert incident["connections"] == ["books", "crm"], "its account was checked before"
    assert incident["commands"] == ["zoho-wizard reauthorize books crm"]
    assert shell.run("token", "crm").exit_code == 3
    assert shell.run("monitor", "--once").exit_code == 3
    assert len(read_notifications(shell)) == 1
    for name in ("crm", "books"):
        done = shell_harness.authorize(name)
        shell_harness.verify(name, done.generation or 0)
    shell_harness.advance(hours=2)
    shell_harness.controls.change_password(ANNA)
    assert shell.run("token", "books").exit_code == 3
    assert len(read_notifications(shell)) == 2, "another rejection, of another generation"


def test_without_a_command_or_after_its_removal_nobody_is_notified(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell.run("monitor", "--once", "--notify", notify_command(shell))
    assert json.loads(shell.run("status", "--json").stdout)["notify_program"].endswith("/sh")
    shell.run("monitor", "--once", "--notify", "")
    assert json.loads(shell.run("status", "--json").stdout)["notify_program"] is None
    shell_harness.advance(hours=2)
    shell_harness.controls.change_password(ANNA)
    assert shell.run("token", "crm").exit_code == 3
    assert not (shell.directory / "told").exists()


def test_a_program_at_the_socket_also_triggers_the_notification(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell.run("monitor", "--once", "--notify", notify_command(shell))
    shell_harness.advance(hours=2)
    shell_harness.controls.change_password(ANNA)
    serving = shell.start("serve")
    serving.wait_for_stderr("The wizard is running")
    with socket_address(Path(shell_harness.services.paths.socket)) as address:
        http_client = http.client.HTTPConnection("zoho-wizard")
        http_client.sock = socket.socket(socket.AF_UNIX)
        http_client.sock.connect(address)
    with closing(http_client):
        http_client.request("GET", "/token/crm")
        assert http_client.getresponse().status == 409
    wait_for((shell.directory / "told").exists)
    assert serving.finish(signal.SIGTERM).exit_code == 0
    assert read_notifications(shell)[0]["connections"] == ["crm"]


def test_a_notification_that_fails_is_not_repeated_by_every_request(
    shell: Shell, shell_harness: Harness
) -> None:
    """Else it would send requests to Zoho and run a failing command as often as programs ask."""
    client = shell_harness.register_client()
    for name in ("crm", "books"):
        shell_harness.add_connection(name, client)
        shell_harness.verify(name, shell_harness.authorize(name).generation or 0)
    ran = shell.directory / "ran"
    failing = f"sh -c 'echo x >> {ran}; exit 1'"
    assert shell.run("monitor", "--once", "--notify", failing).exit_code == 0
    shell_harness.advance(hours=2)
    shell_harness.controls.evict_refresh_token(ANNA, client.client_id)
    assert shell_harness.services.tokens.access_token("books")
    with pytest.raises(WizardError):
        shell_harness.services.tokens.access_token("crm")
    first, *further = [shell_harness.services.monitoring.notify_rejected("crm") for _ in range(3)]
    assert [each.code for each in first] == ["notification-failed"]
    assert further == [(), ()]
    shell_harness.advance(minutes=10)
    assert len(shell_harness.services.monitoring.notify_rejected("crm")) == 1
    assert ran.read_text("utf-8") == "x\n" * 2


def test_a_check_that_waits_for_the_limits_is_neither_reported_nor_called_ok(
    shell: Shell, shell_harness: Harness
) -> None:
    grant = shell_harness.add_verified_connection("crm")
    shell_harness.services.token_cache.remove("crm")
    for _ in range(5):
        shell_harness.services.tokens.refresh_grant(grant)
    beat = shell.directory / "beat"
    command = ("monitor", "--once", "--every", "10m", "--notify", notify_command(shell))
    checked = shell.run(*command, "--heartbeat", f"touch {beat}")
    assert checked.exit_code == 4
    assert "can’t be checked yet" in checked.stderr
    assert not beat.exists()
    assert not (shell.directory / "told").exists()


@pytest.mark.parametrize("heartbeat", ["http://127.0.0.1:1/", "false"])
def test_a_heartbeat_that_fails_decides_the_exit_code(
    shell: Shell, shell_harness: Harness, heartbeat: str
) -> None:
    shell_harness.add_verified_connection("crm")
    checked = shell.run("monitor", "--once", "--heartbeat", heartbeat, "--json")
    error = json.loads(checked.stderr.splitlines()[-1])["error"]
    assert (error["code"], error["exit_code"]) == ("heartbeat-failed", checked.exit_code)
    assert checked.exit_code == 6


@pytest.mark.parametrize("option", ["--heartbeat", "--notify"])
def test_an_address_of_a_different_scheme_is_not_taken_for_a_command(
    shell: Shell, option: str
) -> None:
    refused = shell.run("monitor", "--once", option, "ftp://example.com/x", "--json")
    error = json.loads(refused.stderr)["error"]
    assert (refused.exit_code, error["code"]) == (2, "notify-address-scheme")
    assert error["details"]["scheme"] == "ftp://"


def test_a_url_gets_the_heartbeat(
    shell: Shell, shell_harness: Harness, callback: CallbackServer
) -> None:
    shell_harness.add_verified_connection("crm")
    beat = callback.redirect_uri
    assert shell.run("monitor", "--once", "--heartbeat", beat).exit_code == 0
    assert len(callback.queries) == 1
    shell_harness.controls.change_password(ANNA)
    assert shell.run("monitor", "--once", "--heartbeat", beat).exit_code == 3
    assert len(callback.queries) == 1
