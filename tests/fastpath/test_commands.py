"""`token` and `run` from the cache, as processes: same output as the slow path, few imports."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.claims import over_rows
from support.harness import Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.fastpath import commands
from wizard.paths import locate

MODULES = {
    "wizard",
    "wizard.__main__",
    "wizard.paths",
    "wizard.files",
    "wizard.locks",
    "wizard.fastpath",
    *(f"wizard.fastpath.{each}" for each in ("cipher", "commands", "process")),
    *(f"wizard.fastpath.{each}" for each in ("served_tokens", "token_file")),
}
"""The only modules of ours that the fast path may import."""

PRINT_LOADED_MODULES = """
import atexit, sys
from wizard.__main__ import main
sys.argv = ["zoho-wizard", *sys.argv[1:]]
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""
EXPENSIVE_MODULES = {
    "click", "contextlib", "cryptography.exceptions", "dataclasses", "datetime", "enum", "filelock",
    "hashlib", "inspect", "json", "pathlib", "re", "signal", "shlex", "sqlite3", "subprocess",
    "tempfile", "typing",
}  # fmt: skip
LONG_WAY = ("--wait", "0")
"""Options that change nothing, and that the fast path doesn't know."""

TOKEN_COMMANDS = [
    ("token", "crm"),
    ("token", "crm", "--json"),
    ("token", "--json", "--no-input", "--min-ttl", "10m", "crm"),
    ("token", "crm", "--min-ttl=600"),
]


@pytest.fixture
def crm(shell: Shell, shell_harness: Harness) -> Shell:
    """A shell with a verified connection whose access token is cached."""
    shell_harness.add_verified_connection()
    return shell


def wizard(
    shell: Shell, *arguments: str, python: tuple[str, ...] = ("-m", "wizard"), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the wizard as a separate process on the real clock."""
    return subprocess.run(
        [sys.executable, *python, *arguments],
        env={**shell.environment, **environment},
        cwd=shell.directory,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
    )


def test_a_cached_token_is_printed_by_a_few_small_modules(crm: Shell) -> None:
    for arguments in TOKEN_COMMANDS:
        done = wizard(crm, *arguments, python=("-c", PRINT_LOADED_MODULES))
        assert done.returncode == 0, done.stderr
        assert "1000." in done.stdout
        loaded = set(done.stderr.split())
        assert {each for each in loaded if each.split(".")[0] == "wizard"} <= MODULES, arguments
        assert not EXPENSIVE_MODULES & loaded, arguments


@pytest.mark.slow
def test_without_a_name_the_token_of_the_only_connection_is_printed(
    crm: Shell, shell_harness: Harness
) -> None:
    named = wizard(crm, "token", "crm").stdout
    before = sorted(os.listdir(shell_harness.services.paths.data_dir))
    done = wizard(crm, "token", python=("-c", PRINT_LOADED_MODULES))
    assert done.stdout == named != ""
    loaded = set(done.stderr.split())
    assert {each for each in loaded if each.split(".")[0] == "wizard"} <= MODULES
    assert sorted(os.listdir(shell_harness.services.paths.data_dir)) == before
    assert wizard(crm, "token", *LONG_WAY).stdout == named

    shell_harness.add_connection("books")
    for options in ((), LONG_WAY):
        refused = wizard(crm, "token", "--json", *options)
        assert (refused.returncode, refused.stdout) == (2, "")
        error = json.loads(refused.stderr)["error"]
        assert (error["code"], error["details"]["names"]) == ("connection-needed", "books, crm")


def test_a_database_that_a_shared_store_replaced_is_not_read(crm: Shell) -> None:
    query = "SELECT name FROM connections"
    assert commands.read_database(crm.environment, query) == [("crm",)]
    Path(locate(crm.environment).shared_store_marker).write_text("1")
    assert commands.read_database(crm.environment, query) == []


def test_without_a_name_and_a_connection_nothing_is_created(shell: Shell) -> None:
    refused = wizard(shell, "token", "--json")
    assert json.loads(refused.stderr)["error"]["code"] == "no-connections"
    assert not os.path.exists(shell.environment["ZOHO_WIZARD_HOME"])


@pytest.mark.slow
def test_the_slow_path_prints_the_same(crm: Shell) -> None:
    def shown(*arguments: str) -> tuple[str, int]:
        done = wizard(crm, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        left = re.search(r'"expires_in": (\d+)', done.stdout)
        text = re.sub(r'"expires_in": \d+', '"expires_in": 0', done.stdout)
        return text, int(left[1]) if left else 0

    for arguments in TOKEN_COMMANDS:
        (fast, fast_left), (long, long_left) = shown(*arguments), shown(*arguments, *LONG_WAY)
        assert fast == long
        assert 0 <= fast_left - long_left <= PROCESS_TIMEOUT_SECONDS


def test_the_account_found_by_a_check_is_printed(shell: Shell, shell_harness: Harness) -> None:
    services = shell_harness.services
    shell_harness.add_connection("me", scope=("AaaServer.profile.READ",))
    generation = shell_harness.authorize("me").generation or 0
    shell_harness.verify("me", generation)
    grant = services.store.grants.get("me")
    assert grant is not None
    services.store.grants.set_account("me", generation, None, ())
    services.tokens.update_cached_account(grant)
    assert json.loads(wizard(shell, "token", "me", "--json").stdout)["account"] is None
    steps = list(services.verification.check("me", generation))
    assert "identity" in {each.name for each in steps}
    printed = json.loads(wizard(shell, "token", "me", "--json").stdout)
    assert printed["account"]["email"] == "anna@zylker.example"


def test_a_command_finds_the_same_environment_either_way(crm: Shell) -> None:
    crm.environment |= {"ZOHO_CLIENT_SECRET": "mine", "ZOHO_WIZARD_PORT": "", "OTHER": "kept"}
    fast, long = (wizard(crm, "run", *options, "crm", "--", "env") for options in ((), LONG_WAY))
    assert (fast.returncode, fast.stderr) == (0, "")
    assert sorted(fast.stdout.splitlines()) == sorted(long.stdout.splitlines())
    assert "OTHER=kept" in fast.stdout
    assert "mine" not in fast.stdout


def test_run_imports_nothing_of_the_command_line(crm: Shell) -> None:
    call = "import sys; from wizard.__main__ import main; sys.argv[0:1] = ['zoho-wizard']; main()"
    done = wizard(crm, "run", "crm", "--", "echo", "hi", python=("-X", "importtime", "-c", call))
    assert done.stdout == "hi\n"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {each for each in imported if each.split(".")[0] == "wizard"} <= MODULES
    assert not EXPENSIVE_MODULES & imported


def test_run_replaces_the_process_and_leaves_no_core(crm: Shell) -> None:
    script = "ulimit -c; kill -PIPE $$"
    command = [sys.executable, "-m", "wizard", "run", "crm", "--", "sh", "-c", script]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *command],
        env=crm.environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGPIPE, "0\n")


def test_a_missing_command_is_explained(crm: Shell) -> None:
    done = wizard(crm, "run", "crm", "--", "no-such-program")
    assert (done.returncode, done.stdout) == (2, "")
    assert "(no-such-command)" in done.stderr


@pytest.mark.slow
@over_rows(
    ("setting", "code"),
    [
        ({"ZOHO_WIZARD_PROT": "9000"}, "unknown-setting"),
        ({"ZOHO_WIZARD_HOME": "home"}, "relative-path"),
        ({"ZOHO_WIZARD_KEY_FILE": "key"}, "relative-path"),
    ],
)
def test_a_bad_setting_is_detected(crm: Shell, setting: dict[str, str], code: str) -> None:
    explained = crm.run("list", **setting).stderr
    assert f"({code})" in explained
    for arguments in (("token", "crm"), ("run", "crm", "--", "true")):
        fast = wizard(crm, *arguments, python=("-m", "wizard"), **setting)
        assert (fast.returncode, fast.stdout, fast.stderr) == (2, "", explained)


UNUSUAL = (
    "token crm extra",
    "token crm --wait 1m",
    "token crm --force-refresh",
    "token crm --min-ttl",
    "token crm --min-ttl soon",
    "token crm --min-ttl 31m",
    "token crm --min-ttl -1",
    "token crm --min-ttl ١",
    "token crm --min-ttl 999999",
    "token -- crm",
    "token crm -- env",
    "run crm",
    "run crm --",
    "run crm env",
    "run -- env",
    "run --json crm -- env",
    "run --mask crm -- env",
    "list",
)


def test_unusual_arguments_take_the_slow_path() -> None:
    assert [line for line in UNUSUAL if commands.parse(line.split())] == []


def test_a_command_keeps_its_own_options_and_dashes() -> None:
    request = commands.parse(["run", "--min-ttl", "1m", "crm", "--", "sh", "--json", "--", "-x"])
    assert request is not None
    assert (request.name, request.min_ttl_seconds) == ("crm", 60)
    assert request.command == ["sh", "--json", "--", "-x"]


def test_an_empty_data_directory_stays_empty(tmp_path: Path) -> None:
    home = tmp_path / "anna"
    home.mkdir()
    for arguments in (*TOKEN_COMMANDS[:2], ("run", "crm", "--", "true"), ("show", "crm")):
        done = subprocess.run(
            [sys.executable, "-m", "wizard", *arguments],
            env={"PATH": os.defpath, "HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "unknown-connection" in done.stderr
        assert str(home) in done.stderr
        assert list(home.iterdir()) == [], arguments


# --- an unwritable stdout ------------------------------------------------------------------------

PRINTING_COMMANDS = [
    ("token", "crm"),
    ("token", "crm", "--json"),
    ("token", "crm", *LONG_WAY),
    ("list",),
    ("list", "--json"),
    ("--help",),
    ("show", "crm", "--reveal", "--yes"),
    ("monitor", "--once", "--json"),
    ("schema", "list"),
    ("completion", "bash"),
    ("run", "--mask", "crm", "--", "env"),
]
"""All kinds of output: of the fast path, click, Rich, JSON, and of another program."""

MORE_PRINTING_COMMANDS = [
    ("--version",),
    ("show", "crm", "--json"),
    ("check", "--json"),
    ("diagnose", "invalid_code"),
    ("status",),
    ("schema",),
]
"""More commands whose output is of one of these kinds."""


def run_redirected(
    crm: Shell, redirection: str, stdin: int, arguments: tuple[str, ...], **environment: str
) -> tuple[int, str]:
    """Run a command in a shell with a redirection; return its exit code and stderr."""
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "wizard", *arguments],
        env={**crm.environment, **environment},
        cwd=crm.directory,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
        stdin=stdin,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands",
    [PRINTING_COMMANDS, MORE_PRINTING_COMMANDS],
    ids=["kinds", "more"],
)
@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        (">&-", "Can't write to stdout: Bad file descriptor.\n"),
        (">/dev/full", "Can't write to stdout: No space left on device.\n"),
        (">&0", ""),
    ],
    ids=["closed", "full", "reader exited"],
)
def test_a_stdout_that_cannot_be_written_exits_1(
    crm: Shell, redirection: str, message: str, commands: list[tuple[str, ...]]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for number, arguments in enumerate(commands):
        unbuffered = "1" if number % 2 else ""
        code, stderr = run_redirected(
            crm, redirection, writer, arguments, PYTHONUNBUFFERED=unbuffered
        )
        if "--reveal" in arguments:  # it has notes for people, too
            assert (code, stderr[-len(message) :] if message else "") == (1, message), stderr
        elif "--mask" in arguments and not message:
            assert (code, stderr) in [(0, ""), (128 + signal.SIGPIPE, "")]
        else:
            assert (code, stderr) == (1, message), arguments
    os.close(writer)


@pytest.mark.slow
def test_a_stderr_that_cannot_be_written_changes_no_exit_code(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for redirection in ("2>&-", "2>/dev/full", "2>&0"):
        for option in ("--no-input", "--json", "--nonsense"):
            arguments = ("token", "nix", option)
            done = run_redirected(shell, redirection, writer, arguments)
            assert done == (2, ""), (redirection, option)
        done = run_redirected(shell, redirection, writer, ("list", "--json"))
        assert done == (0, ""), redirection
    os.close(writer)
