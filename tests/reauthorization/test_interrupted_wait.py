"""`reauthorize` stopped while a verification waits prints the known state and exits 130."""

import json
import re
import signal

import pytest
from support.harness import ANNA, Harness
from support.reauthorization import add_verified_connection
from support.shell import CommandResult, Shell

URL = r"http://127\.0\.0\.1:\d+/\S+/oauth/v2/auth\?\S+"
TOKEN = "oauth/v2/token"


def stop_while_waiting(shell: Shell, shell_harness: Harness, *options: str) -> CommandResult:
    """A new grant is stored, its verification is rate-limited, and the user presses Ctrl-C."""
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    shell.simulator.controls.change_password(ANNA)
    assert shell.run("check").exit_code == 3
    controls = shell.simulator.controls
    controls.inject_fault("slow", endpoint=TOKEN, seconds=0)  # releases the code
    controls.inject_fault("rate-limit", endpoint=TOKEN)
    running = shell.start("reauthorize", "crm", "--no-browser", *options)
    [url] = re.findall(URL, running.wait_for_stderr(URL))
    running.send_line(controls.authorize(url, ANNA, ""))
    running.wait_for_stderr(r"\d+ min left")
    return running.finish(signal.SIGINT)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_ctrl_c_during_a_waiting_verification_prints_the_state_and_exits_130(
    shell: Shell, shell_harness: Harness, options: tuple[str, ...]
) -> None:
    stopped = stop_while_waiting(shell, shell_harness, *options)
    assert stopped.exit_code == 130
    if options:
        assert json.loads(stopped.stderr.splitlines()[-1])["error"]["code"] == "interrupted"
        (result,) = json.loads(stopped.stdout)["connections"]
        assert result["name"] == "crm"
        assert result["error"]["code"] == "throttled"
    else:
        assert "Stopped." in stopped.stderr
        [line] = [each for each in stopped.stdout.splitlines() if each.startswith("crm")]
        assert "rate limit" in line or "until" in line
