"""Unmodified third-party programs work with delivered credentials and with redelivered ones: the
official Python and Node SDKs, n8n's OAuth client, rclone, kubectl."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.delivery import deliver, reauthorize
from support.harness import Harness
from support.third_party_environments import node_modules, python_programs

from wizard.delivery.destination_files import INI
from wizard.delivery.profiles import profile
from wizard.model.states import DestinationState

PROGRAMS = Path(__file__).parent / "programs"

pytestmark = pytest.mark.slow

BLOCKED_PROXIES = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
}
"""A proxy that doesn't exist: every request except to loopback fails."""


def run_program(harness: Harness, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in its own directory and environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(harness.directory), **BLOCKED_PROXIES}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=harness.directory,
        env=environment,
        check=False,
    )


def check_program(
    harness: Harness, profile_id: str, target: Path, call_api: Callable[[], None]
) -> None:
    """Check that a program works with the first delivery, and with the second one after a new
    grant. The first grant is revoked by then, so nothing left of it can help."""
    first = harness.add_verified_connection("crm")
    made = deliver(harness, profile_id, target)
    call_api()
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT
    second = reauthorize(harness)
    superseded = harness.services.store.grants.get("crm", first.generation)
    assert superseded is not None
    harness.services.tokens.revoke(superseded)
    assert harness.services.delivery.check(made).state is DestinationState.OUT_OF_DATE
    made = harness.services.delivery.deliver(made)
    call_api()
    [found] = profile(profile_id).find_entries(target.read_text())
    assert found.values["refresh_token"] == second.refresh_token
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT


def count_refreshes(harness: Harness) -> int:
    """How many refreshes have succeeded."""
    return sum(entry["outcome"] == "ok" for entry in harness.refresh_requests())


def crm_call(harness: Harness, target: Path, *program: str) -> Callable[[], None]:
    """Use an official SDK: refresh once and read the organization's name."""
    place = harness.services.zoho.data_center("eu")

    def call_api() -> None:
        before = count_refreshes(harness)
        done = run_program(
            harness, *program, place.token_endpoint, place.api_domain, str(target), "crm"
        )
        assert (done.returncode, done.stdout) == (0, "Zylker GmbH\n"), done.stderr
        assert count_refreshes(harness) == before + 1

    return call_api


def test_the_official_python_sdk_needs_only_the_id(harness: Harness) -> None:
    target = harness.directory / "sdk_tokens.txt"
    program = (
        str(python_programs("zoho-sdk") / "python"),
        str(PROGRAMS / "official_python_sdk.py"),
    )
    check_program(harness, "sdk-python", target, crm_call(harness, target, *program))


def test_the_official_python_sdk_2_needs_only_the_id(harness: Harness) -> None:
    target = harness.directory / "sdk_tokens.txt"
    program = (
        str(python_programs("zoho-sdk-2-1") / "python"),
        str(PROGRAMS / "official_python_sdk_2.py"),
    )
    check_program(harness, "sdk-python-2", target, crm_call(harness, target, *program))


def node_program(harness: Harness, environment: str, name: str) -> tuple[str, str]:
    """A program of Node, which looks for packages in the folders above it."""
    (harness.directory / "node_modules").symlink_to(node_modules(environment))
    program = harness.directory / name
    program.write_bytes((PROGRAMS / name).read_bytes())
    return "node", str(program)


@pytest.mark.needs("npm")
def test_the_official_node_sdk_needs_only_the_id(harness: Harness) -> None:
    target = harness.directory / "sdk_tokens.txt"
    program = node_program(harness, "zoho-node-sdk", "official_node_sdk.mjs")
    check_program(harness, "sdk-node", target, crm_call(harness, target, *program))


@pytest.mark.needs("npm")
def test_n8ns_oauth_client_refreshes_with_the_delivered_credential(harness: Harness) -> None:
    target = harness.directory / "crm.json"
    program = node_program(harness, "n8n-oauth-client", "n8n_credential.mjs")
    check_program(harness, "n8n", target, crm_call(harness, target, *program))


def test_rclone_refreshes_with_the_delivered_values(harness: Harness) -> None:
    """rclone's token URL can be changed, but not its API URL: the test covers the refresh and
    that rclone stores the response in its file."""
    rclone = str(python_programs("rclone") / "rclone")
    target = harness.directory / "rclone.conf"
    token_url = harness.services.zoho.data_center("eu").token_endpoint
    target.write_text(f"[crm]\nroot_folder_id = abc\ntoken_url = {token_url}\n")

    def use() -> None:
        before = count_refreshes(harness)
        once = ("--retries", "1", "--low-level-retries", "1")
        done = run_program(harness, rclone, "--config", str(target), *once, "lsd", "crm:")
        assert "workdrive.zoho.eu" in done.stderr
        assert count_refreshes(harness) == before + 1
        [found] = INI.read(target.read_text()).values()
        assert found["token.access_token"].startswith("1000.")
        assert found["root_folder_id"] == "abc"

    check_program(harness, "rclone", target, use)


def test_kubectl_creates_a_secret_from_the_delivered_values(harness: Harness) -> None:
    grant = harness.add_verified_connection("crm")
    manifest = harness.directory / "secret.json"
    kubectl = python_programs("kubectl") / "kubectl"
    make = (
        f"{kubectl} create secret generic zoho --from-env-file=/dev/stdin --dry-run=client -o json"
    )
    deliver(harness, "command-env", f"sh -c '{make} > {manifest}'")
    data = json.loads(manifest.read_text())["data"]
    assert base64.b64decode(data["ZOHO_REFRESH_TOKEN"]).decode() == grant.refresh_token
