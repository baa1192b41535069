"""Programs from their registries, unmodified, work with what was delivered and with what comes
after it: the official Python and Node SDKs, rclone, kubectl."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from core import Core
from giving import deliver, renew
from npm import installed

from wizard.delivery import Condition, ini, profile

PROGRAMS = Path(__file__).parent / "programs"
NO_WAY_OUT = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
}
"""A proxy that nobody runs: whatever is not meant for loopback fails."""
NODE_SDK = "@zohocrm/nodejs-sdk-8.0@2.0.0"


def run(core: Core, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a program as its user does, in a directory and an environment of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(core.directory), **NO_WAY_OUT}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=core.directory,
        env=environment,
        check=False,
    )


def prove(core: Core, profile_id: str, target: Path, use: Callable[[], None]) -> None:
    """A program works with what was delivered, and after a new grant with the second delivery:
    the first grant is revoked by then, so that nothing left of it can help."""
    first = core.proved("crm")
    made = deliver(core, profile_id, target)
    use()
    assert core.house.delivery.look(made).condition is Condition.CURRENT
    second = renew(core)
    superseded = core.house.store.grant("crm", first.generation)
    assert superseded is not None
    core.house.broker.revoke(superseded)
    assert core.house.delivery.look(made).condition is Condition.BEHIND
    made = core.house.delivery.deliver(made)
    use()
    [found] = profile(profile_id).find(target.read_text())
    assert found.facts["refresh_token"] == second.refresh_token
    assert core.house.delivery.look(made).condition is Condition.CURRENT


def refreshed(core: Core) -> int:
    """How many refreshes have succeeded."""
    return sum(entry["outcome"] == "ok" for entry in core.refreshes())


def calls_crm(core: Core, target: Path, *program: str) -> Callable[[], None]:
    """A use of an official SDK: it refreshes once, and reads the organization's name."""
    place = core.house.zoho.data_centre("eu")

    def use() -> None:
        before = refreshed(core)
        done = run(core, *program, place.token_endpoint, place.api_domain, str(target), "crm")
        assert (done.returncode, done.stdout) == (0, "Zylker GmbH\n"), done.stderr
        assert refreshed(core) == before + 1

    return use


def test_the_official_python_sdk_knows_only_the_id(core: Core) -> None:
    target = core.directory / "sdk_tokens.txt"
    program = str(PROGRAMS / "official_python_sdk.py")
    prove(core, "sdk-python", target, calls_crm(core, target, sys.executable, program))


@pytest.fixture
def node_sdk(pytestconfig: pytest.Config) -> Path:
    """Where the official Node SDK is installed, once, from its registry."""
    return installed(pytestconfig, "official-node-sdk", NODE_SDK)


@pytest.mark.slow
@pytest.mark.needs("npm")
def test_the_official_node_sdk_knows_only_the_id(core: Core, node_sdk: Path) -> None:
    # Node looks for packages beside the program, so the program goes to where they are.
    program = shutil.copy(PROGRAMS / "official_node_sdk.mjs", node_sdk)
    target = core.directory / "sdk_tokens.txt"
    prove(core, "sdk-node", target, calls_crm(core, target, "node", program))


@pytest.mark.needs("rclone")
def test_rclone_refreshes_with_what_was_delivered(core: Core) -> None:
    """rclone lets its token URL be pointed elsewhere, and not its API: the refresh is proved, and
    that rclone keeps the answer in its file; what it asks of WorkDrive then goes nowhere."""
    target = core.directory / "rclone.conf"
    token_url = core.house.zoho.data_centre("eu").token_endpoint
    target.write_text(f"[crm]\nroot_folder_id = abc\ntoken_url = {token_url}\n")

    def use() -> None:
        before = refreshed(core)
        once = ("--retries", "1", "--low-level-retries", "1")
        done = run(core, "rclone", "--config", str(target), *once, "lsd", "crm:")
        assert "workdrive.zoho.eu" in done.stderr
        assert refreshed(core) == before + 1
        [found] = ini.read(target.read_text()).values()
        assert found["token.access_token"].startswith("1000.")
        assert found["root_folder_id"] == "abc"

    prove(core, "rclone", target, use)


@pytest.mark.needs("kubectl")
def test_kubectl_makes_a_secret_of_what_a_command_is_given(core: Core) -> None:
    grant = core.proved("crm")
    manifest = core.directory / "secret.json"
    make = "kubectl create secret generic zoho --from-env-file=/dev/stdin --dry-run=client -o json"
    deliver(core, "command-env", f"sh -c '{make} > {manifest}'")
    data = json.loads(manifest.read_text())["data"]
    assert base64.b64decode(data["ZOHO_REFRESH_TOKEN"]).decode() == grant.refresh_token
