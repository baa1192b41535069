"""`zoho-wizard simulator`: its options and its configuration file."""

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import requests
from support.ports import free_port
from support.shell import Shell

from wizard.simulator.remote import RemoteSimulator

CONFIGURATION = """
seed = 7
clock = "+1d"
[settings]
token_request_limit = 3
code_limit = 4
"""


def test_options_take_precedence_over_the_configuration_file(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "simulator.toml").write_text(CONFIGURATION)
    port = free_port()
    running = shell.start(
        *("simulator", "--config", "simulator.toml", "--port", str(port)),
        *("--clock", "2026-12-01T09:00:00Z", "--user", "kim@example.com:us"),
        *("--set", "token_request_limit=5", "--set", "rate_limit_key=client"),
        *("--behavior", "documented", "--journal", "requests.jsonl", "--json"),
    )
    event = json.loads(running.read_stdout_line())
    assert event["url"] == f"http://127.0.0.1:{port}"
    assert [each["email"] for each in event["users"]] == ["kim@example.com"]
    controls = RemoteSimulator(event["url"]).controls
    assert controls.now() == datetime(2026, 12, 1, 9, tzinfo=UTC)
    settings = controls.settings()
    assert (settings["token_request_limit"], settings["code_limit"]) == (5, 4)
    assert (settings["rate_limit_key"], settings["rate_limit_status"]) == ("client", 200)
    requests.get(f"{event['url']}/us/accounts/oauth/serverinfo", timeout=10)
    assert running.finish(signal.SIGTERM).exit_code == 0
    (line,) = (tmp_path / "requests.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["path"] == "/oauth/serverinfo"


def test_an_option_that_cannot_be_used_is_a_usage_error(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "simulator.toml").write_text("prot = 1\n")
    for arguments, text in (
        (("--config", "simulator.toml"), "Did you mean “port”?"),
        (("--set", "code_limt=3"), "“settings.code_limt” is unknown."),
        (("--set", "code_limit"), "SETTING=VALUE"),
        (("--user", "kim"), "EMAIL:LOCATION"),
        (("--behavior", "new"), "“behavior” must be “current” or “documented”"),
        (("--listen", "0.0.0.0"), "--allow-remote"),
        (("--listen", "192.0.2.1", "--allow-remote"), "doesn’t have the address 192.0.2.1"),
        (("--journal", "none/requests.jsonl"), "can’t open none/requests.jsonl"),
    ):
        failed = shell.run("simulator", "--port", "0", *arguments)
        shown = " ".join(failed.stderr.split())
        assert (failed.exit_code, text in shown) == (2, True), shown


def test_it_listens_beyond_loopback_only_if_that_is_allowed(shell: Shell) -> None:
    address = ("--listen", "0.0.0.0", "--allow-remote", "--port", str(free_port()))
    running = shell.start("simulator", *address)
    running.wait_for_stderr("Other machines may be able to reach and control it")
    assert running.finish(signal.SIGTERM).exit_code == 0
    refused = shell.run("list", ZOHO_WIZARD_SIMULATOR_URL="http://192.0.2.1:8730")
    assert "(bad-simulator-url)" in refused.stderr
