"""The module that `sample python` prints: tokens by socket or command, and for HTTP libraries."""

import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from support.harness import ANNA, Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell
from support.third_party_environments import python_programs

from wizard.access_tokens import (
    AccessDenied,
    AccessTokens,
    NeedsReauthorization,
    StorageError,
    TemporaryError,
    UsageError,
    WizardNotFound,
)

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(params=["command", "socket"])
def tokens(
    request: pytest.FixtureRequest,
    shell: Shell,
    shell_harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[AccessTokens]:
    """A program's access to the connection `crm`, by the command or by the socket."""
    shell_harness.add_verified_connection("crm")
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    if request.param == "command":
        yield AccessTokens(socket_path="", command=shell.command())
        return
    serving = shell.start("serve")
    serving.wait_for_stderr("Ctrl-C to stop")
    path = shell_harness.services.paths.socket
    yield AccessTokens(socket_path=path, command=["/no/such/command"])
    serving.finish(signal.SIGTERM)


def test_a_token_says_where_and_how_long_it_can_be_used(
    tokens: AccessTokens, shell_harness: Harness
) -> None:
    token = tokens.token("crm")
    assert token.value == shell_harness.services.tokens.access_token("crm").value
    assert token.value not in repr(token)
    left = token.expires_at - datetime.now(UTC)
    assert timedelta(minutes=2) < left <= timedelta(hours=1)
    assert token.api_domain == shell_harness.services.zoho.data_center("eu").api_domain
    assert token.organization_id == token.organization_ids["crm"]
    answer = requests.get(
        f"{token.api_bases['crm']}/org", auth=tokens.requests_auth("crm"), timeout=10
    )
    assert answer.json()["org"][0]["company_name"] == "Zylker GmbH"


def test_failures_are_exceptions_by_exit_code(tokens: AccessTokens, shell_harness: Harness) -> None:
    with pytest.raises(UsageError) as unknown:
        tokens.token("leads")
    assert (unknown.value.code, unknown.value.exit_code) == ("unknown-connection", 2)
    shell_harness.controls.change_password(ANNA)
    shell_harness.advance(hours=2)
    with pytest.raises(NeedsReauthorization) as rejected:
        tokens.token("crm")
    assert rejected.value.code == "refresh-token-rejected"
    assert any("reauthorize" in each for each in rejected.value.commands)


def test_a_wizard_without_its_key_is_a_storage_error(
    shell: Shell, shell_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell_harness.add_verified_connection("crm")
    missing = str(shell.directory / "missing")
    for name, value in {**shell.environment, "ZOHO_WIZARD_KEY_FILE": missing}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError) as keyless:
        AccessTokens(socket_path="", command=shell.command()).token("crm")
    assert (keyless.value.code, keyless.value.exit_code) == ("key-missing", 5)


def test_without_a_wizard_the_error_says_so(tmp_path: Path) -> None:
    nothing = AccessTokens(socket_path=str(tmp_path / "socket"), command=["/no/such/command"])
    with pytest.raises(WizardNotFound) as missing:
        nothing.token("crm")
    assert "/no/such/command" in str(missing.value)


@pytest.mark.slow
def test_a_socket_of_a_different_wizard_is_not_the_last_word(
    shell: Shell,
    shell_harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell_harness.add_verified_connection("crm")
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    assert shell.run("access", "add", "crm", "--user", "65534").exit_code == 0
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o711)
        shared = Path(directory) / "shared"
        serving = shell.start("serve", "--share", str(shared))
        serving.wait_for_stderr("Ctrl-C to stop")
        path = str(shared / "socket")
        with pytest.raises(AccessDenied):  # this user has no access, and chose the socket
            AccessTokens(socket_path=path, command=shell.command()).token("crm")
        monkeypatch.setattr("wizard.access_tokens.DEFAULT_SOCKET", path)
        assert AccessTokens(command=shell.command()).token("crm").connection == "crm"
        for command in (["/no/such/command"], shell.command()):
            with pytest.raises(AccessDenied):
                AccessTokens(command=command).token("leads")
        serving.finish(signal.SIGTERM)


def stub_once(harness: Harness, code: str) -> None:
    body = {"code": code, "details": {}, "message": "", "status": "error"}
    harness.controls.stub_response("GET", "/crm/v8/org", status=401, body=body)


def organization_url(harness: Harness) -> str:
    return f"{harness.services.zoho.data_center('eu').api_domain}/crm/v8/org"


def test_a_rejected_token_is_reported_and_the_request_repeated_once(
    tokens: AccessTokens, shell_harness: Harness
) -> None:
    first = tokens.token("crm").value
    stub_once(shell_harness, "INVALID_TOKEN")
    url, auth = organization_url(shell_harness), tokens.requests_auth("crm")
    answer = requests.get(url, auth=auth, timeout=10)
    assert (answer.status_code, len(answer.history)) == (200, 1)
    second = tokens.token("crm").value
    assert second != first
    assert shell_harness.services.tokens.access_token("crm").value == second

    stub_once(shell_harness, "INVALID_TOKEN")
    with pytest.raises(TemporaryError) as limited:  # a token is replaced at most once a minute
        requests.get(url, auth=auth, timeout=10)
    assert limited.value.exit_code == 4
    assert limited.value.retry_at is not None


def test_a_missing_scope_is_no_rejected_token(tokens: AccessTokens, shell_harness: Harness) -> None:
    first = tokens.token("crm").value
    stub_once(shell_harness, "OAUTH_SCOPE_MISMATCH")
    url = organization_url(shell_harness)
    answer = requests.get(url, auth=tokens.requests_auth("crm"), timeout=10)
    assert answer.status_code == 401
    assert shell_harness.services.tokens.access_token("crm").value == first


def test_a_different_host_after_a_redirect_gets_no_token(
    tokens: AccessTokens, shell_harness: Harness
) -> None:
    first = tokens.token("crm").value
    url = organization_url(shell_harness)
    elsewhere = url.replace("127.0.0.1", "localhost")
    shell_harness.controls.stub_response(
        "GET", "/crm/v8/away", status=302, headers={"Location": elsewhere}
    )
    start = url.replace("/org", "/away")
    answer = requests.get(start, auth=tokens.requests_auth("crm"), timeout=10)
    assert answer.url == elsewhere
    assert "Authorization" not in answer.request.headers
    assert shell_harness.services.tokens.access_token("crm").value == first


def run_program(shell: Shell, environment: str, program: str, *arguments: str) -> object:
    """Run a program with the printed module beside it, and with the wizard on its path."""
    module = shell.run("sample", "python")
    assert module.exit_code == 0, module.stderr
    (shell.directory / "zoho_tokens.py").write_text(module.stdout)
    (shell.directory / program).write_bytes((PROGRAMS / program).read_bytes())
    launcher = shell.directory / "zoho-wizard"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(shell.command())} "$@"\n')
    launcher.chmod(0o755)
    done = subprocess.run(
        [str(python_programs(environment) / "python"), program, *arguments],
        cwd=shell.directory,
        env={**shell.environment, "PATH": f"{shell.directory}:{shell.environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_httpx_reports_a_rejected_token_with_and_without_async(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    before = shell_harness.services.tokens.access_token("crm").value
    stub_once(shell_harness, "INVALID_TOKEN")
    url = organization_url(shell_harness)
    assert run_program(shell, "zohopy", "httpx_tokens.py", url) == [200, 200]
    shell_harness.advance(minutes=2)
    shell_harness.controls.stub_response("GET", "/crm/v8/org", status=200, body={})
    after = shell_harness.services.tokens.access_token("crm").value
    assert after != before


@pytest.mark.slow
def test_the_official_sdk_shares_one_refresh_with_the_command(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.advance(hours=2)
    refreshes = len(shell_harness.refresh_requests())
    data_center = shell_harness.services.zoho.data_center("eu")
    places = (data_center.token_endpoint, data_center.api_domain, str(shell.directory))
    names = run_program(shell, "zoho-sdk", "sdk_tokens.py", *places)
    assert names == ["Zylker GmbH", "Zylker GmbH"]
    assert shell.run("token", "crm").exit_code == 0
    assert len(shell_harness.refresh_requests()) == refreshes + 1
