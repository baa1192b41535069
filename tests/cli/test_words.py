"""What the terminal says, and what it must never let through."""

import json

import pytest
from core import ANNA, Core
from shell import Shell

from wizard.transport import clean, one_line


def test_an_empty_list_says_where_and_for_whom_it_looked(shell: Shell) -> None:
    listed = shell.run("list")
    assert (listed.code, listed.out) == (0, "")
    assert str(shell.directory) in listed.err
    assert "user " in listed.err
    assert json.loads(shell.run("list", "--json").out) == []


def test_an_unknown_name_says_where_and_for_whom_it_looked(shell: Shell) -> None:
    for command in ("show", "token", "check", "reauthorize", "revoke", "remove"):
        failed = shell.run(command, "nix")
        assert (failed.code, failed.out) == (2, "")
        assert str(shell.directory) in failed.err


def test_a_name_that_is_no_text_is_one_that_is_not_there(shell: Shell) -> None:
    for command in ("token", "show", "check"):
        failed = shell.run(command, "crm\udcff")
        assert (failed.code, failed.out) == (2, "")
        assert "“crm?”" in failed.err
        assert "(unknown-connection)" in failed.err
    assert "(unknown-client)" in shell.run("client", "show", "1000.\udcff").err


def test_a_narrow_terminal_cuts_no_address_off(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    lines = shell.at_a_terminal("list", columns=50).out.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("crm "))
    assert "✓ proved" in lines[at]
    assert lines[at + 1].startswith(f"    {ANNA} · Zylker GmbH")
    assert max(map(len, lines[at:])) <= 50
    wide = shell.at_a_terminal("list", columns=120).out.splitlines()
    assert any(line.startswith("crm ") and ANNA in line for line in wide)


def test_json_mode_keeps_exit_code_and_stdout(shell: Shell) -> None:
    failed = shell.run("token", "nix", "--json")
    assert (failed.code, failed.out) == (2, "")
    assert json.loads(failed.err)["error"]["code"] == "unknown-connection"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("connect", "crm", "--no-browser"), "no-task"),
        (("connect", "--no-browser", "--task", "crm-read-leads"), "name-needed"),
        (("connect", "crm", "--no-browser", "--task", "no-such-task"), "unknown-preset"),
        (("connect", "crm", "--no-browser", "--scope", "ZohoCRM.."), "malformed-scope"),
        (("client", "add", "--data-centre", "mars"), "unknown-data-centre"),
        (("client", "show", "1000.NIX"), "unknown-client"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    shell: Shell, stored: Core, arguments: tuple[str, ...], code: str
) -> None:
    failed = shell.run(*arguments, given="1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123 " + "0" * 42)
    assert failed.code == 2
    assert f"({code})" in failed.err
    assert stored.house.store.connections() == ()
    assert stored.house.store.clients() == ()


@pytest.mark.parametrize(
    ("environment", "code", "exit_code"),
    [
        ({"ZOHO_WIZARD_PROT": "1"}, "unknown-setting", 2),
        ({"ZOHO_WIZARD_PORT": "many"}, "bad-port", 2),
        ({"ZOHO_WIZARD_ZOHO": "https://accounts.zoho.eu"}, "bad-sandbox-url", 2),
        ({"ZOHO_WIZARD_HOME": "/proc/nowhere"}, "home-unwritable", 5),
    ],
)
def test_a_wrong_setting_is_named(
    shell: Shell, environment: dict[str, str], code: str, exit_code: int
) -> None:
    failed = shell.run("list", **environment)
    assert (failed.code, failed.out) == (exit_code, "")
    assert f"({code})" in failed.err


def test_status_says_where_all_is_and_tries_it_unattended(shell: Shell) -> None:
    found = json.loads(shell.run("status", "--json", "--unattended").out)
    assert found["key"]["strength"] == "weak"
    assert found["redirect_uri"] == f"http://localhost:{shell.port}/callback"
    assert found["unattended"]["ZOHO_WIZARD_HOME"] == shell.environment["ZOHO_WIZARD_HOME"]


def test_unattended_says_what_is_missing(shell: Shell) -> None:
    key = shell.directory / "elsewhere" / "key"
    shell.run("status")
    failed = shell.run("status", "--unattended", ZOHO_WIZARD_KEY_FILE=str(key))
    assert failed.code == 5
    assert str(key) in failed.err


def test_the_shell_completes_names_and_tasks(shell: Shell) -> None:
    def complete(line: str) -> str:
        words = line.split(" ")
        return shell.run(
            _ZOHO_WIZARD_COMPLETE="bash_complete",
            COMP_WORDS=line,
            COMP_CWORD=str(len(words) - 1),
        ).out

    assert "plain,reauthorize" in complete("zoho-wizard rea")
    assert "plain,crm-read-leads" in complete("zoho-wizard connect crm --task crm-")
    assert complete("zoho-wizard show ").strip() == ""


@pytest.mark.parametrize(
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
def test_foreign_text_reaches_no_terminal_with_what_steers_it(hostile: str) -> None:
    assert clean(hostile) in ("Zylker", "")


def test_text_that_people_write_stays_as_it_is() -> None:
    for text in ("a\tb\nc", "Größe\xa05 €", "می\u200cخواهم", "👩\u200d💻", "株式会社"):
        assert clean(text) == text
    assert one_line("a\tb\r\nc", 4) == "a b "
