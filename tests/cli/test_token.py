"""`token` without a cached one: its output and its waits; `run`: a command that has a token."""

import json
import signal
import subprocess

import pytest
from support.claims import over_rows
from support.harness import Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.cli.commands.token import Masker

TOKEN = f"1000.{'ab' * 16}.{'cd' * 16}"
OTHER = f"1004.{'01' * 16}.{'ef' * 16}"


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
        assert "Did you mean crm?" in ended.stderr


def test_a_name_without_similar_names_gets_none(shell: Shell, crm: Harness) -> None:
    assert "Did you mean" not in shell.run("token", "NAME").stderr


def test_a_client_is_found_by_its_name_and_its_id(shell: Shell, crm: Harness) -> None:
    client = crm.services.store.clients.all()[0]
    by_id, by_name = (shell.run("client", "show", each) for each in (client.client_id, client.name))
    assert (by_name.exit_code, by_name.stdout) == (0, by_id.stdout)


def test_a_revoked_connection_no_longer_shows_an_account(shell: Shell, crm: Harness) -> None:
    assert shell.run("revoke", "crm", "--yes").exit_code == 0
    shown = shell.run("show", "crm")
    assert "This no longer reaches Zylker GmbH" in shown.stdout
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


def parse_environment(text: str) -> dict[str, str]:
    """Parse the output of `env`."""
    return dict(line.partition("=")[::2] for line in text.splitlines())


def test_the_command_finds_the_token_and_where_to_use_it(shell: Shell, crm: Harness) -> None:
    done = shell.run("run", "crm", "--", "env")
    assert done.exit_code == 0, done.stderr
    found = parse_environment(done.stdout)
    zoho = {name: value for name, value in found.items() if name.startswith("ZOHO_")}
    token = crm.services.tokens.access_token("crm").value
    organization = zoho["ZOHO_CRM_ORGANIZATION_ID"]
    command = zoho.pop("ZOHO_TOKEN_COMMAND")
    assert zoho == {
        "ZOHO_ACCESS_TOKEN": token,
        "ZOHO_API_DOMAIN": f"{shell.simulator.url}/eu/www",
        "ZOHO_ACCOUNTS_URL": f"{shell.simulator.url}/eu/accounts",
        "ZOHO_DC": "eu",
        "ZOHO_ORGANIZATION_ID": organization,
        "ZOHO_CRM_ORGANIZATION_ID": organization,
        "ZOHO_CRM_API_BASE": f"{shell.simulator.url}/eu/www/crm/v8",
        **{name: value for name, value in shell.environment.items() if name.startswith("ZOHO_")},
    }
    theirs = shell.directory / "theirs"
    (theirs / "wizard").mkdir(parents=True)
    for name in ("__init__", "__main__"):
        (theirs / "wizard" / f"{name}.py").write_text("print('not ours')")
    next_one = subprocess.run(
        command.split(),
        cwd=theirs,
        env=found,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
        check=True,
    )
    assert next_one.stdout == f"{token}\n"


def test_no_other_secret_is_passed_on(shell: Shell, crm: Harness) -> None:
    grant = crm.services.store.grants.get("crm")
    assert grant is not None
    secret = crm.registered_client["secrets"]["eu"]
    own = {"ZOHO_CLIENT_SECRET": "mine", "ZOHO_REFRESH_TOKEN": "mine", "OTHER": "kept"}
    found = parse_environment(shell.run("run", "crm", "--", "env", **own).stdout)
    assert found["OTHER"] == "kept"
    assert not {"ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN"} & found.keys()
    assert not {grant.refresh_token, secret, crm.services.vault.key.hex()} & set(found.values())


def test_the_command_has_our_process_id_and_its_own_exit_code(shell: Shell, crm: Harness) -> None:
    running = shell.start("run", "crm", "--", "sh", "-c", "echo $$; exit 7")
    process = shell.processes[-1]
    ended = running.finish()
    assert (ended.exit_code, ended.stdout) == (7, f"{process.pid}\n")


def test_a_signal_reaches_the_command(shell: Shell, crm: Harness) -> None:
    script = "trap 'echo caught; exit 3' TERM; echo ready >&2; while :; do sleep 0.05; done"
    running = shell.start("run", "crm", "--", "sh", "-c", script)
    running.wait_for_stderr("ready")
    ended = running.finish(signal.SIGTERM)
    assert (ended.exit_code, ended.stdout) == (3, "caught\n")


def read_one_line(shell: Shell, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose reader exits after the first line."""
    return subprocess.run(
        ["sh", "-c", " ".join(shell.command(*words)) + " | head -1"],
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
        check=True,
    )


def test_a_command_whose_reader_exits_ends_as_it_does_without_us(
    shell: Shell, crm: Harness
) -> None:
    # `yes` ends by SIGPIPE unless that is ignored; then it prints an error.
    done = read_one_line(shell, "run", "crm", "--", "yes")
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_options_of_the_command_are_passed_through(shell: Shell, crm: Harness) -> None:
    assert shell.run("run", "crm", "--", "echo", "--mask", "-n").stdout == "--mask -n\n"


def test_a_missing_command_is_named_with_the_reason(shell: Shell, crm: Harness) -> None:
    for mask in ((), ("--mask",)):
        ended = shell.run("run", *mask, "crm", "--", "no-such-program")
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert "no-such-program" in ended.stderr
        assert "No such file" in ended.stderr


def test_without_a_command_nothing_runs(shell: Shell, crm: Harness) -> None:
    assert shell.run("run", "crm").exit_code == 2


# --- --mask --------------------------------------------------------------------------------------


def test_with_masking_the_output_of_a_command_shows_no_token_on_either_stream(
    shell: Shell, crm: Harness
) -> None:
    script = 'echo "is $ZOHO_ACCESS_TOKEN."; echo "it is $ZOHO_ACCESS_TOKEN" >&2; exit 5'
    ended = shell.run("run", "--mask", "crm", "--", "sh", "-c", script)
    assert (ended.exit_code, ended.stdout) == (5, "is (masked).\n")
    assert ended.stderr == "it is (masked)\n"


def test_with_masking_a_signal_is_forwarded_and_the_exit_code_returned(
    shell: Shell, crm: Harness
) -> None:
    script = "echo ready >&2; exec sleep 60"
    running = shell.start("run", "crm", "--mask", "--", "sh", "-c", script)
    running.wait_for_stderr("ready")
    assert running.finish(signal.SIGTERM).exit_code == 128 + signal.SIGTERM


def test_with_masking_a_command_gets_a_broken_pipe_when_its_reader_exits(
    shell: Shell, crm: Harness
) -> None:
    done = read_one_line(shell, "run", "--mask", "crm", "--", "yes")
    assert done.stdout == "y\n"


@over_rows("size", [1, 2, 7, 64, 1000])
def test_a_token_is_masked_wherever_the_stream_is_split(size: int) -> None:
    text = f"a {TOKEN}{TOKEN} 1 100 {OTHER}\n1000.{'ab' * 15} end 1000.abc".encode()
    masker, shown = Masker(TOKEN), b""
    for at in range(0, len(text), size):
        shown += masker.feed(text[at : at + size])
    shown += masker.flush()
    expected = f"a (masked)(masked) 1 100 (masked)\n1000.{'ab' * 15} end 1000.abc"
    assert shown == expected.encode()


def test_a_token_of_a_different_format_is_masked() -> None:
    masker = Masker("s3cret-s3cret!")
    assert masker.feed(b"x s3cret-s3cr") == b"x "
    assert masker.feed(b"et!y") == b"(masked)y"


def test_output_that_cannot_become_a_token_is_shown_at_once() -> None:
    assert Masker(TOKEN).feed(b"50 % done ") == b"50 % done "
