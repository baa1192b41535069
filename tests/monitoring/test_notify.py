"""Notifications by a command or to a URL: what is refused, and how failures are shown."""

import json
import shlex
import signal
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import certificates
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.notification_server import SECRET, Inbox
from support.raw_server import RawServer, http_response
from support.shell import CommandResult, Shell
from support.tokens import wait_for

from wizard.errors import WizardError
from wizard.transport import webhook


def status(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.run("status", "--json").stdout)
    return found


def set_up(shell: Shell, target: str) -> CommandResult:
    """Set `target` for notifications, and test it."""
    return shell.run("monitor", "--test-notify", "--notify", target)


# --- a failed notification ------------------------------------------------------------------------


def test_a_failed_notification_has_its_own_exit_code_and_is_shown_until_one_arrives(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.change_password(ANNA)
    file = shell.directory / "not-there" / "told"
    line = f"sh -c 'echo out of order >&2; cat >> {file}'"
    assert shell.run("monitor", "--once", "--notify", line).exit_code == 6
    found = status(shell)
    failed = found["notify_failure"]
    assert (failed["code"], failed["exit_code"]) == ("notification-failed", 6)
    assert "/sh exited with code 2: out of order" in failed["cause"]
    failed_at = datetime.fromisoformat(found["notify_failed_at"])
    assert timedelta(0) <= shell_harness.now() - failed_at < timedelta(minutes=5)
    assert found["cautions"] == [{key: failed[key] for key in found["cautions"][0]}]
    said = shell.run("status").stderr
    assert "The notification couldn’t be sent" in said
    assert "zoho-wizard monitor --test-notify" in said
    assert shell.run("monitor", "--once").exit_code == 6, "tried again, though nothing is new"
    file.parent.mkdir()
    assert shell.run("monitor", "--once").exit_code == 3
    assert [json.loads(each)["new"] for each in file.read_text().splitlines()] == [["crm"]]
    assert status(shell)["notify_failure"] is None
    assert status(shell)["cautions"] == []


def test_a_failed_notification_by_the_token_command_is_shown(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell.run("monitor", "--once", "--notify", "false")
    shell_harness.advance(hours=2)
    shell_harness.controls.change_password(ANNA)
    asked = shell.run("token", "crm")
    assert (asked.exit_code, asked.stdout) == (3, "")
    assert "notification-failed" in asked.stderr
    assert status(shell)["notify_failure"]
    shell.run("monitor", "--once", "--notify", "")
    assert status(shell)["notify_failure"] is None, "notifications are off"


def test_the_output_of_a_command_shows_no_secret_of_its_command_line(
    shell: Shell, shell_harness: Harness
) -> None:
    password = "pa:ss/word-of-the-webhook"
    script = f'echo "no $0 no {SECRET[:5]} $1" >&2; exit 3'
    line = shlex.join(["sh", "-c", script, f"https://hooks.example/{SECRET}", password])
    failed = set_up(shell, line)
    assert failed.exit_code == 6
    shown = failed.stderr + shell.run("status", "--json").stdout + shell.run("status").stderr
    stores = b"".join(
        each.read_bytes() for each in Path(shell_harness.services.paths.data_dir).glob("*.*")
    )
    assert "exited with code 3: no (masked) no T0000 (masked)" in failed.stderr
    for secret in (SECRET, password, "hooks.example"):
        assert secret not in shown
        assert secret.encode() not in stores


def test_the_end_of_long_command_output_is_kept(shell_harness: Harness) -> None:
    line = "sh -c 'head -c 9000 /dev/zero | tr \"\\\\0\" x >&2; echo END >&2; exit 1'"
    shell_harness.services.store.monitoring.set_notify_command(line)
    failure = shell_harness.services.monitoring.test()
    assert failure is not None
    assert failure.details["stderr"].endswith("xEND")
    assert len(failure.details["stderr"]) == 500


# --- setting it up --------------------------------------------------------------------------------


def test_a_command_that_needs_a_shell_is_refused_with_a_replacement(
    shell: Shell, shell_harness: Harness
) -> None:
    file = shell.directory / "told"
    for more in ((), ("--once",), ("--print", "systemd")):
        refused = shell.run("monitor", "--notify", f"cat >> {file}", *more)
        assert refused.exit_code == 2
        assert "Only a shell interprets `>>`" in refused.stderr
        assert "sh -c '…'" in refused.stderr
    assert status(shell)["notify_program"] is None
    heartbeat = shell.run("monitor", "--once", "--heartbeat", f"date > {file}")
    assert "command-needs-shell" in heartbeat.stderr
    absent = shell.run("monitor", "--once", "--notify", "no-such-program-anywhere")
    assert "command-missing" in absent.stderr
    assert set_up(shell, f"sh -c 'cat >> {file}'").exit_code == 0
    assert json.loads(file.read_text())["event"] == "test"


def test_a_test_notification_shows_its_method_and_whether_it_arrived(
    shell: Shell, shell_harness: Harness, inbox: Inbox
) -> None:
    assert "notify-not-set" in shell.run("monitor", "--test-notify").stderr
    hint = shell.run("monitor", "--once", "--notify", inbox.url).stderr
    assert "zoho-wizard monitor --test-notify" in hint
    assert "--test-notify" not in shell.run("monitor", "--once", "--notify", inbox.url).stderr
    done = shell.run("monitor", "--test-notify")
    assert (done.exit_code, "sent by 127.0.0.1" in done.stderr) == (0, True)
    assert [each["event"] for each in inbox.taken()] == ["test"]
    inbox.judge = lambda _message: 404
    failed = shell.run("monitor", "--test-notify")
    assert failed.exit_code == 6
    assert "127.0.0.1 returned HTTP 404" in failed.stderr


# --- a URL ----------------------------------------------------------------------------------------


def test_a_url_gets_the_json_and_only_its_host_is_shown(
    shell: Shell, shell_harness: Harness, inbox: Inbox
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.change_password(ANNA)
    checked = shell.run("--debug", "monitor", "--once", "--notify", inbox.url)
    assert checked.exit_code == 3
    (posted,) = inbox.posted
    assert f"http://127.0.0.1:{inbox.port}{posted.path}" == inbox.url
    assert posted.headers["Content-Type"] == "application/json"
    assert "Authorization" not in posted.headers
    assert (posted.message["event"], posted.message["new"]) == ("incident", ["crm"])
    inbox.judge = lambda _message: 500
    failed = shell.run("--debug", "monitor", "--test-notify")
    assert status(shell)["notify_program"] == "127.0.0.1"
    shown = (
        checked.stderr
        + failed.stderr
        + shell.run("status", "--json").stdout
        + shell.run("status").stderr
    )
    assert SECRET not in shown
    stores = b"".join(
        each.read_bytes() for each in Path(shell_harness.services.paths.data_dir).glob("*.*")
    )
    assert SECRET.encode() not in stores


@pytest.mark.parametrize("kind", ["systemd", "cron"])
def test_a_timer_contains_no_url_because_it_is_stored(
    shell: Shell, shell_harness: Harness, inbox: Inbox, kind: str
) -> None:
    printed = shell.run("monitor", "--print", kind, "--notify", inbox.url, "--remind", "6h")
    assert printed.exit_code == 0, printed.stderr
    assert SECRET not in printed.stdout + printed.stderr
    assert "--remind 6h" in printed.stdout
    assert status(shell)["notify_program"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (f"http://hooks.example/{SECRET}", "notify-address-unencrypted"),
        (f"http://192.0.2.1/{SECRET}", "notify-address-unencrypted"),
        (f"http://127.0.0.1.hooks.example/{SECRET}", "notify-address-unencrypted"),
        (f"http://127.0.0.1@hooks.example/{SECRET}", "notify-address-unencrypted"),
        (f"https:///{SECRET}", "notify-address"),
        (f"https://[::1/{SECRET}", "notify-address"),
        (f"https://hooks.example:port/{SECRET}", "notify-address"),
        (f"https://hooks.example/{SECRET} --fast", "notify-address"),
    ],
)
def test_an_invalid_url_is_refused_and_not_repeated(shell: Shell, address: str, code: str) -> None:
    refused = shell.run("monitor", "--once", "--notify", address)
    assert refused.exit_code == 2
    assert f"({code})" in refused.stderr
    assert SECRET not in refused.stderr
    assert status(shell)["notify_program"] is None


def test_a_redirect_is_not_followed(shell_harness: Harness, inbox: Inbox) -> None:
    with RawServer(http_response()) as elsewhere:
        inbox.location, inbox.judge = elsewhere.url, lambda _message: 307
        shell_harness.services.store.monitoring.set_notify_command(inbox.url)
        failure = shell_harness.services.monitoring.test()
        assert elsewhere.requests == []
    assert failure is not None
    assert failure.details["reason"] == "unexpected-redirect"
    assert SECRET not in repr(failure)


def test_an_untrusted_certificate_gets_no_notification(
    shell_harness: Harness, tmp_path: Path
) -> None:
    made = certificates.create_certificate(tmp_path)
    with RawServer(http_response(), tls=certificates.server_context(made)) as server:
        address = f"https://127.0.0.1:{server.port}/{SECRET}"
        with pytest.raises(WizardError, match="network-tls") as raised:
            webhook.post_json(address, "{}", shell_harness.services.clock)
        assert server.requests == []
    assert SECRET not in repr(raised.value.failure)


def test_a_server_that_does_not_respond_is_abandoned_at_the_deadline(
    shell_harness: Harness,
) -> None:
    def silence(connection: socket.socket) -> None:
        connection.recv(1)  # until the client gives up

    with RawServer(silence) as server, pytest.raises(WizardError, match="network-timeout"):
        webhook.post_json(server.url, "{}", shell_harness.services.clock, seconds=0.3)


# --- while a check waits --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_monitor_notifies_of_certain_failures_before_it_waits_for_the_limits(
    shell: Shell, shell_harness: Harness, inbox: Inbox
) -> None:
    grant = shell_harness.add_verified_connection("waiting")
    shell_harness.add_verified_connection("crm", email=CARLA, organization=FIRST_ORGANIZATION)
    shell_harness.services.token_cache.remove("waiting")
    for _ in range(5):
        shell_harness.services.tokens.refresh_grant(grant)
    shell_harness.services.token_cache.remove("waiting")
    shell_harness.controls.change_password(CARLA)
    watching = shell.start("monitor", "--once", "--notify", inbox.url)
    wait_for(inbox.arrived.is_set)
    assert [each["new"] for each in inbox.taken()] == [["crm"]]
    shell_harness.advance(minutes=11)
    assert watching.finish().exit_code == 3
    assert inbox.taken() == [], "notified before the wait, and not again"


def test_the_monitor_continues_after_a_failed_notification(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.change_password(ANNA)
    watching = shell.start("monitor", "--notify", "false")
    watching.wait_for_stderr("notification-failed")
    assert watching.finish(signal.SIGTERM).exit_code == 0
