"""`zoho-wizard diagnose`: names, texts, pipes and prompts; stdout has the result."""

import json
import shlex

import pytest
from support.harness import Harness
from support.shell import Shell

TOKEN = "1000." + "a1b2c3d4" * 4 + "." + "0f1e2d3c" * 4


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("crm", 0),
        ('{"error":"invalid_code"}', 0),
        ("http://127.0.0.1:8733/callback", 0),
        ("hello world", 1),
    ],
)
def test_the_json_result_says_whether_it_is_explained(
    shell: Shell, shell_harness: Harness, text: str, code: int
) -> None:
    shell_harness.add_verified_connection("crm")
    ended = shell.run("diagnose", "--json", text)

    assert ended.exit_code == code
    answer = json.loads(ended.stdout)
    assert answer["is_explained"] is (code == 0)


def test_a_mistyped_name_gets_the_nearest_names(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_connection("crm80")
    mistyped = shell.run("diagnose", "crm8", "--json")
    error = json.loads(mistyped.stderr)["error"]
    assert (mistyped.exit_code, error["code"]) == (2, "unknown-connection")
    assert error["details"]["nearest"] == "crm80"
    assert shell.run("diagnose", "quite-different").exit_code == 1


def test_a_name_is_preferred_over_a_text_and_sends_requests_to_zoho(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("Invalid_client")
    shell_harness.controls.clear_journal()

    ended = shell.run("diagnose", "invalid_client", "--json")

    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["explanation"]["code"] == "nothing-wrong"
    assert 0 < len(shell_harness.controls.journal()) <= 4


def test_the_named_command_reauthorizes_a_rejected_connection(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.change_password("anna@zylker.example", "a new one 1!")
    shell_harness.advance(minutes=61)

    found = json.loads(shell.run("diagnose", "crm", "--json").stdout)["explanation"]

    assert found["failure_class"] == "refresh-token-refused"
    assert "password-changed" in [cause["code"] for cause in found["causes"]]
    assert "zoho-wizard reauthorize crm" in found["commands"]
    done = shell_harness.authorize("crm")
    assert done.generation is not None
    shell_harness.verify("crm", done.generation)
    assert json.loads(shell.run("diagnose", "crm", "--json").stdout)["explanation"]["code"] == (
        "nothing-wrong"
    )


def test_a_name_before_the_pipe_is_the_connection_of_the_message(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    ended = shell.run("diagnose", "crm", "-", "--json", stdin_text='{"error":"invalid_code"}')
    assert json.loads(ended.stdout)["connection"] == "crm"
    assert "No connection" in shell.run("diagnose", "crn", "-", stdin_text="x").stderr


def test_a_pipe_is_read_to_its_end(shell: Shell) -> None:
    noise = "2026-11-23 INFO nothing to see here\n" * 20_000
    ended = shell.run("diagnose", "-", stdin_text=f'{noise}{{"error":"invalid_client_secret"}}\n')
    assert ended.exit_code == 0
    assert "(invalid-client-secret)" in ended.stdout
    assert ended.stderr == ""


def test_a_terminal_is_prompted_to_paste(shell: Shell) -> None:
    said = shell.run_in_terminal("diagnose", replies=[("Ctrl-D", "INVALID_OAUTHTOKEN\n\x04")])
    assert said.exit_code == 0
    assert "(token-invalid)" in said.stdout


@pytest.mark.parametrize("words", [1, 40])
def test_a_command_that_answers_works_as_printed(shell: Shell, words: int) -> None:
    text = f"{'word ' * words}invalid_code"
    asked = json.loads(shell.run("diagnose", text, "--json").stdout)["explanation"]
    command = shlex.split(asked["answer_options"][0]["command"])
    answered = shell.run(*command[1:], "--json")
    assert json.loads(answered.stdout)["explanation"]["causes"] != asked["causes"]


def test_a_secret_in_an_argument_is_masked_and_the_prompt_is_recommended(shell: Shell) -> None:
    ended = shell.run("diagnose", f"curl -H 'Authorization: Zoho-oauthtoken {TOKEN}'", "x")
    assert TOKEN not in ended.stdout + ended.stderr
    assert "keeps command lines" in ended.stderr
    assert "  zoho-wizard diagnose\n" in ended.stderr
    piped = shell.run("diagnose", "-", stdin_text=TOKEN)
    assert TOKEN not in piped.stdout + piped.stderr
    assert "keeps command lines" not in piped.stderr


def test_a_pasted_token_of_a_connection_is_recognized_without_requests(
    shell: Shell, shell_harness: Harness
) -> None:
    grant = shell_harness.add_verified_connection("crm")
    shell_harness.controls.clear_journal()
    ended = shell.run("diagnose", "-", stdin_text=grant.refresh_token)
    assert "refresh token of “crm”" in ended.stdout
    assert grant.refresh_token not in ended.stdout + ended.stderr
    assert shell_harness.controls.journal() == []


def test_every_code_is_documented_without_a_store(shell: Shell) -> None:
    listed = shell.run("diagnose", "--code", "all")
    codes = [line.split("\t")[0] for line in listed.stdout.splitlines()]
    assert {"invalid-client", "refresh-token-rejected", "password-changed", "network-tls"} <= set(
        codes
    )
    one = shell.run("diagnose", "--code", "password-changed")
    assert (one.exit_code, one.stderr) == (0, "")
    slip = shell.run("diagnose", "--code", "pasword-changed")
    assert slip.exit_code == 2
    assert "password-changed" in slip.stderr
    assert not (shell.directory / "home").exists()


def test_an_empty_paste_is_a_usage_error(shell: Shell) -> None:
    ended = shell.run("diagnose", "-", stdin_text=" \n")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "(nothing-pasted)" in ended.stderr
