"""`run NAME -- CMD` replaces the process with a command that has an access token."""

import signal
import subprocess

import pytest
from support.claims import over_rows
from support.harness import Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.cli.commands.run import Masker

TOKEN = f"1000.{'ab' * 16}.{'cd' * 16}"
OTHER = f"1004.{'01' * 16}.{'ef' * 16}"


@pytest.fixture
def crm(shell_harness: Harness) -> Harness:
    """A verified connection in the shell's data directory."""
    shell_harness.add_verified_connection()
    return shell_harness


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
    next_one = subprocess.run(
        command.split(),
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


def test_a_command_whose_reader_exits_ends_as_it_does_without_us(
    shell: Shell, crm: Harness
) -> None:
    # `yes` ends by SIGPIPE unless that is ignored; then it prints an error.
    line = " ".join(shell.command("run", "crm", "--", "yes")) + " | head -1"
    done = subprocess.run(
        ["sh", "-c", line],
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
        check=True,
    )
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
    line = " ".join(shell.command("run", "--mask", "crm", "--", "yes")) + " | head -1"
    done = subprocess.run(
        ["sh", "-c", line],
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
        check=True,
    )
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
