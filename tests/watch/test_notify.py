"""How somebody is told: by a command or at an address; what is refused, what a failure shows."""

import json
import shlex
import signal
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import certificates
import pytest
from asking import wait_for
from core import ANNA, CARLA, PRODUCTION, Core
from inbox import SECRET, Inbox
from rawserver import RawServer, response
from shell import Result, Shell

from wizard.errors import WizardError
from wizard.transport import webhook


def status(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.run("status", "--json").out)
    return found


def set_up(shell: Shell, target: str) -> Result:
    """Have `target` told, and tested at once."""
    return shell.run("watch", "--test-notify", "--notify", target)


# --- a failed notification ------------------------------------------------------------------------


def test_a_failed_notification_has_its_own_exit_code_and_stays_seen_until_one_arrives(
    shell: Shell, stored: Core
) -> None:
    stored.proved("crm")
    stored.admin.change_password(ANNA)
    file = shell.directory / "not-there" / "told"
    line = f"sh -c 'echo out of order >&2; cat >> {file}'"
    assert shell.run("watch", "--once", "--notify", line).code == 6
    found = status(shell)
    failed = found["notify_failure"]
    assert (failed["code"], failed["exit_code"]) == ("notification-failed", 6)
    assert "/sh exited with code 2 and printed: out of order" in failed["cause"]
    failed_at = datetime.fromisoformat(found["notify_failed_at"])
    assert timedelta(0) <= stored.now() - failed_at < timedelta(minutes=5)
    assert found["cautions"] == [failed]
    said = shell.run("status").err
    assert "The last notification couldn't be sent" in said
    assert "zoho-wizard watch --test-notify" in said
    assert shell.run("watch", "--once").code == 6, "tried again, though nothing is new"
    file.parent.mkdir()
    assert shell.run("watch", "--once").code == 3
    assert [json.loads(each)["new"] for each in file.read_text().splitlines()] == [["crm"]]
    assert status(shell)["notify_failure"] is None
    assert status(shell)["cautions"] == []


def test_a_token_that_meets_a_dead_grant_leaves_its_failed_notification_to_be_seen(
    shell: Shell, stored: Core
) -> None:
    stored.proved("crm")
    shell.run("watch", "--once", "--notify", "false")
    stored.advance(hours=2)
    stored.admin.change_password(ANNA)
    asked = shell.run("token", "crm")
    assert (asked.code, asked.out) == (3, "")
    assert "notification-failed" in asked.err
    assert status(shell)["notify_failure"]
    shell.run("watch", "--once", "--notify", "")
    assert status(shell)["notify_failure"] is None, "nobody is to be notified any more"


def test_what_a_command_prints_shows_no_secret_of_its_command_line(
    shell: Shell, stored: Core
) -> None:
    password = "pa:ss/word-of-the-webhook"
    script = f'echo "no $0 no {SECRET[:5]} $1" >&2; exit 3'
    line = shlex.join(["sh", "-c", script, f"https://hooks.example/{SECRET}", password])
    failed = set_up(shell, line)
    assert failed.code == 6
    shown = failed.err + shell.run("status", "--json").out + shell.run("status").err
    stores = b"".join(each.read_bytes() for each in Path(stored.house.home.data_dir).glob("*.*"))
    assert "exited with code 3 and printed: no (masked) no T0000 (masked)" in failed.err
    for secret in (SECRET, password, "hooks.example"):
        assert secret not in shown
        assert secret.encode() not in stores


def test_a_command_that_prints_much_leaves_its_last_words(stored: Core) -> None:
    line = "sh -c 'head -c 9000 /dev/zero | tr \"\\\\0\" x >&2; echo END >&2; exit 1'"
    stored.house.store.set_notify_command(line)
    failure = stored.house.alarm.test()
    assert failure is not None
    assert failure.details["said"].endswith("xEND")
    assert len(failure.details["said"]) == 500


# --- setting it up --------------------------------------------------------------------------------


def test_a_command_that_needs_a_shell_is_refused_with_what_to_write_instead(
    shell: Shell, stored: Core
) -> None:
    file = shell.directory / "told"
    for more in ((), ("--once",), ("--print", "systemd")):
        refused = shell.run("watch", "--notify", f"cat >> {file}", *more)
        assert refused.code == 2
        assert "Only a shell acts on “>>”" in refused.err
        assert "sh -c '…'" in refused.err
    assert status(shell)["tells_by"] is None
    heartbeat = shell.run("watch", "--once", "--heartbeat", f"date > {file}")
    assert "command-needs-shell" in heartbeat.err
    absent = shell.run("watch", "--once", "--notify", "no-such-program-anywhere")
    assert "command-missing" in absent.err
    assert set_up(shell, f"sh -c 'cat >> {file}'").code == 0
    assert json.loads(file.read_text())["event"] == "test"


def test_a_test_notification_says_what_tells_and_whether_it_arrived(
    shell: Shell, stored: Core, inbox: Inbox
) -> None:
    assert "notify-not-set" in shell.run("watch", "--test-notify").err
    hint = shell.run("watch", "--once", "--notify", inbox.url).err
    assert "zoho-wizard watch --test-notify" in hint
    assert "--test-notify" not in shell.run("watch", "--once", "--notify", inbox.url).err
    done = shell.run("watch", "--test-notify")
    assert (done.code, "sent by 127.0.0.1" in done.err) == (0, True)
    assert [each["event"] for each in inbox.taken()] == ["test"]
    inbox.judge = lambda _message: 404
    failed = shell.run("watch", "--test-notify")
    assert failed.code == 6
    assert "127.0.0.1 answered with HTTP 404" in failed.err


# --- an address -----------------------------------------------------------------------------------


def test_an_address_gets_the_json_and_is_shown_by_its_host_only(
    shell: Shell, stored: Core, inbox: Inbox
) -> None:
    stored.proved("crm")
    stored.admin.change_password(ANNA)
    looked = shell.run("--debug", "watch", "--once", "--notify", inbox.url)
    assert looked.code == 3
    (posted,) = inbox.posted
    assert f"http://127.0.0.1:{inbox.port}{posted.path}" == inbox.url
    assert posted.headers["Content-Type"] == "application/json"
    assert "Authorization" not in posted.headers
    assert (posted.message["event"], posted.message["new"]) == ("trouble", ["crm"])
    inbox.judge = lambda _message: 500
    failed = shell.run("--debug", "watch", "--test-notify")
    assert status(shell)["tells_by"] == "127.0.0.1"
    shown = looked.err + failed.err + shell.run("status", "--json").out + shell.run("status").err
    assert SECRET not in shown
    stores = b"".join(each.read_bytes() for each in Path(stored.house.home.data_dir).glob("*.*"))
    assert SECRET.encode() not in stores


@pytest.mark.parametrize("kind", ["systemd", "cron"])
def test_a_timer_holds_no_address_which_is_remembered_instead(
    shell: Shell, stored: Core, inbox: Inbox, kind: str
) -> None:
    printed = shell.run("watch", "--print", kind, "--notify", inbox.url, "--remind", "6h")
    assert printed.code == 0, printed.err
    assert SECRET not in printed.out + printed.err
    assert "--remind 21600s" in printed.out
    assert status(shell)["tells_by"] == "127.0.0.1"


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
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(
    shell: Shell, address: str, code: str
) -> None:
    refused = shell.run("watch", "--once", "--notify", address)
    assert refused.code == 2
    assert f"({code})" in refused.err
    assert SECRET not in refused.err
    assert status(shell)["tells_by"] is None


def test_a_redirect_is_not_followed(stored: Core, inbox: Inbox) -> None:
    with RawServer(response()) as elsewhere:
        inbox.location, inbox.judge = elsewhere.url, lambda _message: 307
        stored.house.store.set_notify_command(inbox.url)
        failure = stored.house.alarm.test()
        assert elsewhere.requests == []
    assert failure is not None
    assert failure.details["reason"] == "unexpected-redirect"
    assert SECRET not in repr(failure)


def test_a_certificate_that_nobody_vouches_for_is_not_sent_to(stored: Core, tmp_path: Path) -> None:
    made = certificates.made(tmp_path)
    with RawServer(response(), tls=certificates.context(made)) as server:
        address = f"https://127.0.0.1:{server.port}/{SECRET}"
        with pytest.raises(WizardError, match="network-tls") as raised:
            webhook.post_json(address, "{}", stored.house.clock)
        assert server.requests == []
    assert SECRET not in repr(raised.value.failure)


def test_what_does_not_answer_is_given_up_after_the_deadline(stored: Core) -> None:
    def silence(connection: socket.socket) -> None:
        connection.recv(1)  # until the other side gives up

    with RawServer(silence) as server, pytest.raises(WizardError, match="network-timeout"):
        webhook.post_json(server.url, "{}", stored.house.clock, seconds=0.3)


# --- while a check waits --------------------------------------------------------------------------


def test_a_watch_that_waits_for_the_limits_has_told_what_is_certain(
    shell: Shell, stored: Core, inbox: Inbox
) -> None:
    grant = stored.proved("waiting")
    stored.proved("crm", email=CARLA, organization=PRODUCTION)
    stored.house.cache.drop("waiting")
    for _ in range(5):
        stored.house.broker.refresh_grant(grant)
    stored.house.cache.drop("waiting")
    stored.admin.change_password(CARLA)
    watching = shell.start("watch", "--once", "--notify", inbox.url)
    wait_for(inbox.arrived.is_set)
    assert [each["new"] for each in inbox.taken()] == [["crm"]]
    stored.advance(minutes=11)
    assert watching.end().code == 3
    assert inbox.taken() == [], "told before the wait, and not again"


def test_a_watch_goes_on_after_a_notification_failed(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    stored.admin.change_password(ANNA)
    watching = shell.start("watch", "--notify", "false")
    watching.see("notification-failed")
    assert watching.end(signal.SIGTERM).code == 0
