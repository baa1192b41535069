"""`compare` asks before each step, revokes what it made, and prints a report that can be sent."""

import json
import signal

import pytest
from support.harness import ANNA
from support.shell import CommandResult, RunningCommand, Shell
from support.terminal import terminal_session

from wizard.comparison.probes import probe_table

CONSENT_URLS = [
    rf"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+{parameter}\S*"
    for parameter in ("prompt=consent", "unknown_parameter=1")
]
INTERRUPTED = 130


def register_client(shell: Shell) -> tuple[str, str]:
    """The ID and the secret of a new client."""
    uri = f"http://localhost:{shell.port}/callback"
    client = shell.simulator.controls.register_client(ANNA, [uri])
    return client["client_id"], client["secrets"]["eu"]


def run(shell: Shell, *options: str) -> CommandResult:
    """Run the whole comparison, as a script does at a simulator."""
    running = shell.start("compare", "--data-center", "eu", "--yes", *options)
    for line in register_client(shell):
        running.send_line(line)
    for pattern in CONSENT_URLS:
        url = running.wait_for_stderr(pattern)
        running.send_line(shell.simulator.controls.authorize(url, ANNA))
    return running.finish()


def active_refresh_tokens(shell: Shell) -> int:
    return int(shell.simulator.controls.state()["active_refresh_tokens"])


def test_the_report_counts_the_rules_and_is_anonymous(shell: Shell) -> None:
    done = run(shell, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    table = probe_table()
    expected = {"as_simulated": len(table.compared_rules), "differs": 0}
    assert report["counts"] == {**expected, "not_compared": len(table.not_compared)}
    assert (report["revocation"], report["is_live"]) == ("revoked", False)
    assert active_refresh_tokens(shell) == 0
    assert "zylker" not in done.stdout.lower()
    assert "1000." not in done.stdout.replace("1000.(32 hex).(32 hex)", "")


def test_a_difference_is_printed_with_what_was_expected_and_seen(shell: Shell) -> None:
    shell.simulator.controls.change_settings(trailing_ampersand=True)
    done = run(shell)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    start = lines.index("✗ callback-may-end-in-ampersand (likely)")
    assert [each.split() for each in lines[start + 1 : start + 4]] == [
        ["callback:", "GET", "accounts/oauth/v2/auth"],
        ["expected", "last_character:", "none"],
        ["seen", "last_character:", "&"],
    ]


def waiting_comparison(shell: Shell) -> RunningCommand:
    """A comparison that waits for the second URL, with a refresh token that works."""
    running = shell.start("compare", "--data-center", "eu", "--yes")
    for line in register_client(shell):
        running.send_line(line)
    url = running.wait_for_stderr(CONSENT_URLS[0])
    running.send_line(shell.simulator.controls.authorize(url, ANNA))
    running.wait_for_stderr(rf"{CONSENT_URLS[1]}\s[^“]*“error”")
    assert active_refresh_tokens(shell) == 1
    return running


@pytest.mark.slow
def test_an_interrupted_comparison_revokes_the_refresh_token(shell: Shell) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        running = waiting_comparison(shell)
        running.send_signal(number)  # and stdin stays open
        running.wait_for_stderr("is revoked")
        done = running.finish()
        assert (done.exit_code, done.stdout) == (INTERRUPTED, "")
        assert active_refresh_tokens(shell) == 0


def test_a_refresh_token_that_could_not_be_revoked_is_reported(shell: Shell) -> None:
    running = waiting_comparison(shell)
    shell.simulator.controls.inject_fault("data-center-down", endpoint="revoke/token")
    assert "(comparison-not-revoked)" in running.finish(signal.SIGINT).stderr


def test_each_step_is_confirmed_and_a_declined_one_is_skipped(shell: Shell) -> None:
    with terminal_session(shell, "compare", "--data-center", "eu") as session:

        def answer(step: int, text: str) -> None:
            session.wait_for_output(f"Step {step} of 6")
            session.wait_for_output("Continue?")
            session.send_line(text)

        answer(1, "n")
        answer(2, "y")
        for line in register_client(shell):
            session.wait_for_output("input is hidden")
            session.send_line(line)
        answer(3, "y")
        session.give_consent(shell, ANNA)
        answer(4, "n")
        answer(5, "n")
        answer(6, "n")
        session.wait_for_output("You skipped the step")
        session.wait_for_output("You can now delete the client")
    assert active_refresh_tokens(shell) == 0


def test_at_zoho_it_never_runs_without_asking(shell: Shell) -> None:
    for options in (["--yes"], []):
        done = shell.run("compare", "--data-center", "eu", *options, ZOHO_WIZARD_SIMULATOR_URL="")
        assert done.exit_code == 2
        assert done.stdout == ""
