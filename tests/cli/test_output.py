"""What the terminal prints, and what it must never print."""

import json
import re
import subprocess
import sys

import pytest
from support.claims import over_rows
from support.harness import ANNA, Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.transport import sanitize, sanitize_line

STRICT_STDIN = {"PYTHONIOENCODING": "utf-8:strict"}
"""As in the locale of most people, where Python doesn't read such bytes at all."""


def test_an_empty_list_shows_the_data_directory_and_the_user(shell: Shell) -> None:
    listed = shell.run("list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert str(shell.directory) in listed.stderr
    assert "user " in listed.stderr
    assert json.loads(shell.run("list", "--json").stdout)["connections"] == []


def test_commands_that_only_read_create_nothing(shell: Shell) -> None:
    before = sorted(shell.directory.rglob("*"))
    for words in (("list",), ("list", "--by", "account"), ("check",), ("status",)):
        read = shell.run(*words)
        assert (read.exit_code, "No connections in" in read.stderr) == (0, True), read
        assert shell.run(*words, "--json").exit_code == 0
    assert "No events" in shell.run("audit").stderr
    assert sorted(shell.directory.rglob("*")) == before


def test_an_unknown_name_shows_the_data_directory_and_the_user(shell: Shell) -> None:
    for command in ("show", "token", "check", "reauthorize", "revoke", "remove"):
        failed = shell.run(command, "nix")
        assert (failed.exit_code, failed.stdout) == (2, "")
        assert str(shell.directory) in failed.stderr


def test_a_name_that_is_not_text_is_not_found(shell: Shell) -> None:
    for command in ("token", "show", "check"):
        failed = shell.run(command, "crm\udcff")
        assert (failed.exit_code, failed.stdout) == (2, "")
        assert "“crm?”" in failed.stderr
        assert "(unknown-connection)" in failed.stderr
    assert "(unknown-client)" in shell.run("client", "show", "1000.\udcff").stderr


@pytest.mark.slow
@over_rows(
    ("words", "stdin", "variables"),
    [
        (("monitor", "--notify", "/bin/echo \udcff"), b"", {}),
        (("list",), b"", {"ZOHO_WIZARD_DATABASE_URL": "\udcff"}),
        (("backup", "{directory}/backup"), b"a long passphrase\xff\n", {}),
        (("backup", "{directory}/backup"), b"a long passphrase\xff\n", STRICT_STDIN),
    ],
)
def test_bytes_that_are_not_text_are_refused_as_that(
    shell: Shell,
    shell_harness: Harness,
    words: tuple[str, ...],
    stdin: bytes,
    variables: dict[str, str],
) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "wizard", *(e.format(directory=shell.directory) for e in words)],
        env={**shell.environment, **variables},
        input=stdin,
        capture_output=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
    )
    assert (refused.returncode, b"(not-utf8)" in refused.stderr) == (2, True)
    assert not (shell.directory / "backup").exists()


def test_a_narrow_terminal_truncates_no_url(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    shown = shell.run_in_terminal("list", columns=50).stdout
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    at = lines.index("crm")
    assert lines[at + 1].split() == ["State", "✓", "Verified"]
    assert lines[at + 2].split() == ["Account", ANNA]
    assert max(map(len, lines[at:])) <= 50
    wide = shell.run_in_terminal("list", columns=120).stdout.splitlines()
    assert any(line.startswith("crm ") and ANNA in line for line in wide)


def test_json_mode_keeps_exit_code_and_stdout(shell: Shell) -> None:
    failed = shell.run("token", "nix", "--json")
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert json.loads(failed.stderr)["error"]["code"] == "unknown-connection"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("connect", "crm", "--no-browser"), "no-preset"),
        (("connect", "--no-browser", "--preset", "crm-read-leads"), "name-needed"),
        (("connect", "crm", "--no-browser", "--preset", "no-such-task"), "unknown-preset"),
        (("connect", "crm", "--no-input", "--preset", "no-such-task"), "unknown-preset"),
        (("connect", "crm", "--no-browser", "--scope", "ZohoCRM.."), "malformed-scope"),
        (("client", "add", "--data-center", "mars"), "unknown-data-center"),
        (("client", "show", "1000.NIX"), "unknown-client"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    shell: Shell, shell_harness: Harness, arguments: tuple[str, ...], code: str
) -> None:
    failed = shell.run(*arguments, stdin_text="1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123 " + "0" * 42)
    assert failed.exit_code == 2
    assert f"({code})" in failed.stderr
    assert shell_harness.services.store.connections.all() == ()
    assert shell_harness.services.store.clients.all() == ()


@pytest.mark.parametrize(
    ("environment", "code", "exit_code"),
    [
        ({"ZOHO_WIZARD_PROT": "1"}, "unknown-setting", 2),
        ({"ZOHO_WIZARD_PORT": "many"}, "bad-port", 2),
        ({"ZOHO_WIZARD_SIMULATOR_URL": "https://accounts.zoho.eu"}, "bad-simulator-url", 2),
        ({"ZOHO_WIZARD_HOME": "/proc/nowhere"}, "data-directory-unwritable", 5),
    ],
)
def test_a_wrong_setting_is_named(
    shell: Shell, environment: dict[str, str], code: str, exit_code: int
) -> None:
    failed = shell.run("client", "list", **environment)
    assert (failed.exit_code, failed.stdout) == (exit_code, "")
    assert f"({code})" in failed.stderr


def test_status_shows_all_paths_and_tests_unattended_use(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    found = json.loads(shell.run("status", "--json", "--unattended").stdout)
    assert found["key"]["strength"] == "weak"
    assert found["redirect_uri"] == f"http://localhost:{shell.port}/callback"
    assert found["unattended"]["ZOHO_WIZARD_HOME"] == shell.environment["ZOHO_WIZARD_HOME"]


def test_status_shows_what_unattended_use_is_missing(shell: Shell) -> None:
    key = shell.directory / "elsewhere" / "key"
    shell.run("client", "list")
    failed = shell.run("status", "--unattended", ZOHO_WIZARD_KEY_FILE=str(key))
    assert failed.exit_code == 5
    assert str(key) in "".join(failed.stderr.split()), "a long path may be wrapped"


def test_the_shell_completes_names_and_presets(shell: Shell) -> None:
    def complete(line: str) -> str:
        words = line.split(" ")
        return shell.run(
            _ZOHO_WIZARD_COMPLETE="bash_complete",
            COMP_WORDS=line,
            COMP_CWORD=str(len(words) - 1),
        ).stdout

    assert "plain,reauthorize" in complete("zoho-wizard rea")
    assert "plain,crm-read-leads" in complete("zoho-wizard connect crm --preset crm-")
    before = sorted(shell.directory.rglob("*"))
    for line in ("show ", "check --tag ", "connect --client "):
        assert complete(f"zoho-wizard {line}").strip() == ""
    assert sorted(shell.directory.rglob("*")) == before, "completion creates nothing"


@over_rows(
    "hostile",
    [
        "\x1b[2J\x1b[31mZylker\x1b[0m",
        "\x1b]0;owned\x07Zylker",
        "\x1b]8;;https://evil.example\x1b\\Zylker\x1b]8;;\x1b\\",
        "\x1bP1$r\x1b\\Zylker",
        "Zyl\u202eker\u202c",
        "\x9b31mZylker",
        "Zyl\rker\b\b",
        "\x1b]52;c;ZXZpbA==",
        "Zyl\u200bker\ufeff\u2060",
        "Zylker\U000e0041\ud800",
    ],
)
def test_foreign_text_reaches_no_terminal_with_control_characters(hostile: str) -> None:
    assert sanitize(hostile) in ("Zylker", "")


def test_text_in_any_language_is_unchanged() -> None:
    for text in ("a\tb\nc", "Größe\xa05 €", "می\u200cخواهم", "👩\u200d💻", "株式会社"):
        assert sanitize(text) == text
    assert sanitize_line("a\tb\r\nc", 4) == "a b "
