"""``access`` with SSH keys, and what the token host answers to a key's request."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.claims import over_rows
from support.harness import Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.paths import KEY_CREDENTIAL

ENCODED = "AAAAC3NzaC1lZDI1NTE5AAAAIKfP9q53etW50rnomBdsN3VSO12kzPpDgg6iMkbWxEUL"
FINGERPRINT = "SHA256:3Xq+RVn29GWvIoHM2BBYTuZZ16LJv6wUn90+tbEw9/0"
OTHER_KEY = "SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The file of another machine's public key."""
    file = tmp_path / "web1.pub"
    file.write_text(f"ssh-ed25519 {ENCODED} deploy@web1\n")
    return str(file)


@pytest.fixture
def host(shell: Shell, shell_harness: Harness, key: str) -> Shell:
    """A host with two connections, of which the key has one."""
    for name in ("crm", "books"):
        shell_harness.add_verified_connection(name)
    assert shell.run("access", "add", "crm", "--ssh-key", key).exit_code == 0
    return shell


def answer(host: Shell, request: str, key: str = FINGERPRINT, stdin_text: str = "") -> Any:
    done = host.run("access", "ssh", key, stdin_text=stdin_text, SSH_ORIGINAL_COMMAND=request)
    document = json.loads(done.stdout)
    assert done.exit_code == (0 if document["error"] is None else 1)
    return document


def refusal(host: Shell, request: str, key: str = FINGERPRINT) -> Any:
    document = answer(host, request, key)
    assert (document["token"], document["report"]) == (None, None)
    return document["error"]


def test_keys_with_access_can_be_listed_and_removed(
    shell: Shell, shell_harness: Harness, key: str
) -> None:
    shell_harness.add_connection("crm")
    added = json.loads(shell.run("access", "add", "crm", "--ssh-key", key, "--json").stdout)
    assert (added["comment"], added["fingerprint"]) == ("deploy@web1", FINGERPRINT)
    assert shell.run("access", "add", "crm", "--ssh-key", key).stdout == (
        added["authorized_keys"] + "\n"
    )
    (row,) = json.loads(shell.run("access", "list", "crm", "--json").stdout)["keys"]
    assert (row["connection"], row["fingerprint"]) == ("crm", FINGERPRINT)
    assert "deploy@web1" in shell.run("access", "list").stdout

    removed = shell.run("access", "remove", "crm", "--ssh-key", FINGERPRINT)
    assert (removed.exit_code, "authorized_keys" in removed.stderr) == (0, True)

    again = shell.run("access", "remove", "crm", "--ssh-key", key, "--json")
    assert json.loads(again.stderr)["error"]["code"] == "unknown-access"
    assert shell.run("access", "add", "crm", "--ssh-key", key, "--user", "root").exit_code == 2
    assert shell.run("access", "add", "crm").exit_code == 2
    history = shell.run("show", "crm").stdout
    assert f"SSH key deploy@web1 ({FINGERPRINT}) can no longer request" in history


def fast_answer(host: Shell, request: str) -> Any:
    """The answer of a process that may take the fast path."""
    done = subprocess.run(
        [sys.executable, "-m", "wizard", "access", "ssh", FINGERPRINT],
        env={**host.environment, "SSH_ORIGINAL_COMMAND": request},
        capture_output=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
    )
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["error"] is None else 1)
    return document


def test_both_ways_give_a_key_the_same_token_and_record_who_got_it(
    host: Shell, shell_harness: Harness
) -> None:
    request = "zoho-wizard/1 token name=crm"
    long, fast = answer(host, request), fast_answer(host, request)
    assert 0 <= long["token"].pop("expires_in") - fast["token"].pop("expires_in") < 60
    assert fast == long
    assert long["token"]["access_token"] == host.run("token", "crm").stdout.strip()
    assert answer(host, "zoho-wizard/1 token")["token"]["document"] == long["token"]["document"]

    host.run("status")  # brings what the fast path served into the history
    events = shell_harness.services.store.events.of_connection("crm")
    served = [
        each.details for each in events if each.kind == "token-served" and "key" in each.details
    ]
    assert [(each["key"], each["fingerprint"]) for each in served] == [
        ("deploy@web1", FINGERPRINT)
    ] * 3


@pytest.mark.slow
def test_a_key_learns_nothing_of_connections_that_it_has_no_access_to(host: Shell) -> None:
    for action in ("token", "show", "check"):
        unknown, closed = (
            refusal(host, f"zoho-wizard/1 {action} name={name}") for name in ("nix", "books")
        )
        assert unknown == closed
        assert (closed["code"], closed["details"]) == ("key-not-allowed", {})
    assert refusal(host, "zoho-wizard/1 list", OTHER_KEY)["code"] == "key-not-allowed"
    for action in ("list", "check", "show name=crm"):
        report = answer(host, f"zoho-wizard/1 {action}")["report"]
        assert report.get("history", []) == []
        text = json.dumps(report)
        assert '"crm"' in text
        assert "books" not in text
    refused = host.run("show", "books").stdout
    assert refused.count("didn’t get one") == 1  # once a minute


def test_access_that_was_removed_or_whose_connection_is_gone_ends_at_once(
    host: Shell, key: str
) -> None:
    assert host.run("access", "add", "books", "--ssh-key", key).exit_code == 0
    error = refusal(host, "zoho-wizard/1 token")
    assert (error["code"], error["details"]) == ("connection-needed", {"names": "books, crm"})
    host.run("access", "remove", "books", "--ssh-key", key)
    assert refusal(host, "zoho-wizard/1 token name=books")["code"] == "key-not-allowed"
    host.run("remove", "crm", "--no-revoke")
    assert refusal(host, "zoho-wizard/1 token name=crm")["code"] == "key-not-allowed"


def test_a_reported_token_is_never_served_again(host: Shell, shell_harness: Harness) -> None:
    first = answer(host, "zoho-wizard/1 token name=crm")["token"]["access_token"]
    shell_harness.advance(minutes=2)
    request = "zoho-wizard/1 token name=crm rejected"
    second = answer(host, request, stdin_text=f"{first}\n")["token"]["access_token"]
    assert second != first
    assert host.run("token", "crm").stdout.strip() == second
    kinds = [each.kind for each in shell_harness.services.store.events.of_connection("crm")]
    assert "token-reported" in kinds
    assert answer(host, request, stdin_text="\x1b[2J\n")["error"]["code"] == "report-malformed"


def test_a_failure_is_a_code_and_when_to_try_again(host: Shell, shell_harness: Harness) -> None:
    shell_harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    Path(shell_harness.services.paths.token_file("crm")).unlink()
    error = refusal(host, "zoho-wizard/1 token name=crm")
    assert (error["code"], error["details"], error["temporary"]) == ("throttled", {}, True)
    assert error["retry_at"]


def test_a_person_who_connects_without_a_command_gets_a_sentence(host: Shell) -> None:
    words = ("access", "ssh", FINGERPRINT)
    for without in ({}, {"SSH_ORIGINAL_COMMAND": ""}):
        done = subprocess.run(
            [sys.executable, "-m", "wizard", *words],
            env={**host.environment, **without},
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "ssh-request-refused" in done.stderr


@over_rows("request_line", ["sh -c id", "zoho-wizard/1 token name=crm;id"])
def test_anything_but_a_request_of_the_wizard_is_refused(host: Shell, request_line: str) -> None:
    error = refusal(host, request_line)
    assert error == fast_answer(host, request_line)["error"]
    assert (error["code"], error["details"]) == ("ssh-request-refused", {})


def test_the_answer_in_another_protocol_has_both_versions(host: Shell) -> None:
    error = refusal(host, "zoho-wizard/2 token name=crm")
    assert error["code"] == "token-host-version"
    assert error["details"] == {"ours": "2", "theirs": "1"}


def test_a_service_that_has_the_encryption_key_issues_the_tokens(
    host: Shell, shell_harness: Harness
) -> None:
    credential = host.directory / "credentials" / KEY_CREDENTIAL
    credential.parent.mkdir()
    Path(shell_harness.services.paths.key_file).rename(credential)
    credential.chmod(0o440)
    serving = host.start("serve", CREDENTIALS_DIRECTORY=str(credential.parent))
    serving.wait_for_stderr("Ctrl-C to stop")
    token = answer(host, "zoho-wizard/1 token name=crm")["token"]
    assert token["access_token"] == host.run("token", "crm").stdout.strip()
    assert json.loads(token["document"])["expires_in"] == 0
    assert refusal(host, "zoho-wizard/1 token name=books")["code"] == "key-not-allowed"
    assert refusal(host, "zoho-wizard/1 list")["code"] == "key-missing"
    serving.finish(signal.SIGTERM)
    shell_harness.services.record_served_tokens()
    events = shell_harness.services.store.events.of_connection("crm")
    assert "deploy@web1" in {
        each.details.get("key") for each in events if each.kind == "token-served"
    }
