"""`token` without a cached one: its output and its waits."""

import json
import signal

import pytest
from support.harness import Harness
from support.shell import Shell


@pytest.fixture
def crm(shell_harness: Harness) -> Harness:
    """A verified connection in the shell's data directory."""
    shell_harness.add_verified_connection()
    return shell_harness


def use_up_rate_limit(harness: Harness) -> None:
    """Make Zoho rate-limit the connection's next refresh."""
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")


def test_json_shows_where_a_token_may_be_used_and_its_account(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection(
        scope=("AaaServer.profile.READ", "ZohoCRM.org.READ", "Desk.basic.READ")
    )
    shell_harness.verify("crm", shell_harness.authorize("crm").generation or 0)
    result = json.loads(shell.run("token", "crm", "--json").stdout)
    assert result["access_token"].startswith("1000.")
    assert 3500 < result["expires_in"] <= 3600
    assert result["stale"] is False
    assert result["account"]["email"] == "anna@zylker.example"
    assert result["api_domain"] == f"{shell.simulator.url}/eu/www"
    assert result["api_bases"] == {
        "crm": f"{shell.simulator.url}/eu/www/crm/v8",
        "desk": f"{shell.simulator.url}/eu/desk/api/v1",
    }
    assert result["organization_id"] == result["organization_ids"]["crm"]


def test_a_stale_token_is_marked_in_json(shell: Shell, crm: Harness) -> None:
    first = crm.services.tokens.access_token("crm")
    crm.advance(seconds=(first.expires_at - crm.now()).total_seconds() - 200)
    crm.controls.inject_fault("data-center-down", endpoint="oauth/v2/token")
    result = json.loads(shell.run("token", "crm", "--json").stdout)
    assert (result["access_token"], result["stale"]) == (first.value, True)


def test_a_rate_limited_token_exits_4_with_the_time(shell: Shell, crm: Harness) -> None:
    use_up_rate_limit(crm)
    ended = shell.run("token", "crm", "--json")
    assert (ended.exit_code, ended.stdout) == (4, "")
    error = json.loads(ended.stderr)["error"]
    assert error["code"] == "throttled"
    assert error["retry_at"]
    again = shell.run("token", "crm")  # another process: the rate limit is stored
    assert (again.exit_code, again.stdout) == (4, "")
    assert len(crm.refresh_requests()) == 2


def test_with_wait_a_rate_limit_is_waited_out(shell: Shell, crm: Harness) -> None:
    use_up_rate_limit(crm)
    waiting = shell.start("token", "crm", "--wait", "15m")
    waiting.wait_for_stderr("Waiting until")
    crm.advance(minutes=10, seconds=1)
    ended = waiting.finish()
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.startswith("1000.")


def test_a_wait_that_would_not_help_does_not_start(shell: Shell, crm: Harness) -> None:
    use_up_rate_limit(crm)
    ended = shell.run("token", "crm", "--wait", "5m")
    assert ended.exit_code == 4
    assert "Waiting" not in ended.stderr


def test_a_wait_can_be_interrupted(shell: Shell, crm: Harness) -> None:
    use_up_rate_limit(crm)
    waiting = shell.start("token", "crm", "--wait", "1h")
    waiting.wait_for_stderr("Waiting until")
    ended = waiting.finish(signal.SIGINT)
    assert (ended.exit_code, ended.stdout) == (130, "")
    assert "Stopped" in ended.stderr


def test_a_failure_that_waiting_cannot_fix_is_reported_at_once(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection()
    ended = shell.run("token", "crm", "--wait", "15m")
    assert ended.exit_code == 3


@pytest.mark.parametrize("life", ["25m", "1500", "1500s"])
def test_the_minimum_lifetime_is_a_duration_like_a_wait(
    shell: Shell, crm: Harness, life: str
) -> None:
    first = crm.services.tokens.access_token("crm")
    crm.advance(seconds=(first.expires_at - crm.now()).total_seconds() - 1400)
    assert shell.run("token", "crm", "--min-ttl", "20m").stdout == f"{first.value}\n"
    assert shell.run("token", "crm", "--min-ttl", life).stdout not in ("", f"{first.value}\n")


@pytest.mark.parametrize(
    "arguments", [("--wait", "soon"), ("--min-ttl", "31m"), ("--min-ttl", "soon"), ("--wait", "-1")]
)
def test_an_invalid_option_value_is_a_usage_error(shell: Shell, arguments: tuple[str, str]) -> None:
    ended = shell.run("token", "crm", *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert arguments[0] in ended.stderr


def test_an_unknown_name_gets_the_nearest_names(shell: Shell, crm: Harness) -> None:
    for command in (("token", "cmr"), ("run", "cmr", "--", "true")):
        ended = shell.run(*command)
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert "Nearest: crm." in ended.stderr


def test_a_name_without_similar_names_gets_all_names(shell: Shell, crm: Harness) -> None:
    assert "Nearest: crm." in shell.run("token", "NAME").stderr


def test_a_client_is_found_by_its_name_and_its_id(shell: Shell, crm: Harness) -> None:
    client = crm.services.store.clients.all()[0]
    by_id, by_name = (shell.run("client", "show", each) for each in (client.client_id, client.name))
    assert (by_name.exit_code, by_name.stdout) == (0, by_id.stdout)


def test_a_revoked_connection_no_longer_shows_an_account(shell: Shell, crm: Harness) -> None:
    assert shell.run("revoke", "crm", "--yes").exit_code == 0
    shown = shell.run("show", "crm")
    assert "This reached Zylker GmbH" in shown.stdout
    assert "This reaches" not in shown.stdout
    assert "zoho-wizard reauthorize crm" in shown.stderr


# --- a token that Zoho rejected -------------------------------------------------------------------


def test_a_rejected_token_is_reported_on_stdin_and_a_new_one_is_printed(
    shell: Shell, crm: Harness
) -> None:
    first = shell.run("token", "crm").stdout
    second = shell.run("token", "crm", "--rejected", "-", stdin_text=first)
    assert second.exit_code == 0, second.stderr
    assert second.stdout.startswith("1000.")
    assert second.stdout != first
    assert shell.run("token", "crm").stdout == second.stdout
    again = shell.run("token", "crm", "--rejected", "-", "--json", stdin_text=first)
    assert json.loads(again.stdout)["access_token"] == second.stdout.strip()


def test_a_second_rejection_within_the_minute_exits_4_with_the_time(
    shell: Shell, crm: Harness
) -> None:
    first = shell.run("token", "crm").stdout
    second = shell.run("token", "crm", "--rejected", "-", stdin_text=first).stdout
    reported = shell.run("token", "crm", "--rejected", "-", "--json", stdin_text=second)
    assert (reported.exit_code, reported.stdout) == (4, "")
    error = json.loads(reported.stderr)["error"]
    assert error["code"] == "token-rejected"
    assert error["retry_at"]
    for command in (("token", "crm"), ("run", "crm", "--", "printenv", "ZOHO_ACCESS_TOKEN")):
        ended = shell.run(*command)
        assert (ended.exit_code, ended.stdout) == (4, "")
        assert second.strip() not in ended.stderr


def test_with_wait_a_second_rejection_waits_out_its_minute(shell: Shell, crm: Harness) -> None:
    first = shell.run("token", "crm").stdout
    second = shell.run("token", "crm", "--rejected", "-", stdin_text=first).stdout
    waiting = shell.start("token", "crm", "--rejected", "-", "--wait", "2m")
    waiting.send_line(second.strip())
    waiting.wait_for_stderr("Waiting until")
    crm.advance(seconds=61)
    ended = waiting.finish()
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout not in (first, second)


def test_a_rejected_token_at_a_terminal_is_typed_without_echo(shell: Shell, crm: Harness) -> None:
    first = shell.run("token", "crm").stdout.strip()
    ended = shell.run_in_terminal(
        "token", "crm", "--rejected", "-", replies=[("Rejected access token", first)]
    )
    assert ended.exit_code == 0
    assert first not in ended.stdout
    assert "1000." in ended.stdout


@pytest.mark.parametrize("wrong", ["--rejected {}", "--rejected={}", "{} --rejected -"])
def test_a_token_in_argv_is_refused_and_not_printed(shell: Shell, crm: Harness, wrong: str) -> None:
    first = shell.run("token", "crm").stdout.strip()
    ended = shell.run("token", "crm", *wrong.format(first).split(), stdin_text=first)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert first.split(".")[1] not in ended.stderr
    assert shell.run("token", "crm").stdout.strip() == first, "nothing is marked"


@pytest.mark.parametrize("given", ["two words", "q" * 3000])
def test_a_report_that_is_not_a_token_is_a_usage_error(
    shell: Shell, crm: Harness, given: str
) -> None:
    ended = shell.run("token", "crm", "--rejected", "-", stdin_text=given)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "(report-malformed)" in ended.stderr
    assert given[:9] not in ended.stderr
