"""The Containerfile: its entry point and health check work, and an image can be built of it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests
from support.harness import Harness
from support.local_api import allow
from support.ports import free_port
from support.shell import Shell

from wizard.simulator.configuration import DEFAULT_PORT
from wizard.simulator.remote import RemoteSimulator

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", "")
BUILD_TIMEOUT_SECONDS = 900
BUILDERS = {"podman": ("--format", "docker"), "docker": ()}
"""Programs that build images, with their options. Podman's own format has no health check."""


def arguments_of(instruction: str, stage: str = "simulator") -> list[str]:
    """The arguments of an instruction of this stage, in exec form."""
    text = re.split(r"^FROM ", CONTAINERFILE.partition(f" AS {stage}\n")[2], flags=re.MULTILINE)[0]
    (found,) = re.findall(rf"^{instruction}\b.*?(\[.*\])$", text, re.MULTILINE)
    arguments: list[str] = json.loads(found)
    return arguments


def builder() -> tuple[str, ...]:
    """The command that builds images on this machine; skips where there is none, or where the base
    image is neither here nor in reach."""
    for name, options in BUILDERS.items():
        if shutil.which(name) is None:
            continue
        info = subprocess.run([name, "info"], capture_output=True, timeout=60, check=False)
        if info.returncode or b"Cannot connect" in info.stdout + info.stderr:
            continue
        for base in set(re.findall(r"^FROM (\S+/\S+)", CONTAINERFILE, re.MULTILINE)):
            here = subprocess.run(
                [name, "image", "inspect", base], capture_output=True, timeout=60, check=False
            )
            if here.returncode:
                pull = (name, "pull", "--quiet", base)
                if subprocess.run(pull, timeout=BUILD_TIMEOUT_SECONDS, check=False).returncode:
                    pytest.skip("the base image can't be pulled")
        return name, "build", *options
    pytest.skip("neither podman nor docker works here")


def test_the_entry_point_serves_and_the_health_check_sees_it(shell: Shell, tmp_path: Path) -> None:
    program, *arguments = arguments_of("ENTRYPOINT")
    assert program == "zoho-wizard"
    port = free_port()
    # As in the container: a user without a home directory.
    running = shell.start(*arguments, "--port", str(port), HOME="/", ZOHO_WIZARD_HOME="")
    running.wait_for_stderr("Ctrl-C to stop")
    python, *words, code = arguments_of("HEALTHCHECK")
    assert (python, str(DEFAULT_PORT) in code) == ("python", True)
    check = ["python3", *words, code.replace(str(DEFAULT_PORT), str(port))]
    subprocess.run(check, check=True, timeout=60)
    assert running.finish(2).exit_code == 0
    assert subprocess.run(check, capture_output=True, timeout=60, check=False).returncode == 1
    assert f"EXPOSE {DEFAULT_PORT}\n" in CONTAINERFILE


def test_the_wizard_serves_its_socket_and_the_program_of_the_example_gets_a_token(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    allow(shell_harness, os.getuid())
    (program,) = arguments_of("ENTRYPOINT", "wizard")
    *words, directory = arguments_of("CMD", "wizard")
    assert (program, words[-1]) == ("zoho-wizard", "--share")
    shared = shell.directory / "shared"
    running = shell.start(*words, str(shared), HOME="/")
    running.wait_for_stderr("Ctrl-C to stop")
    # It finds the socket of the simulator mode, too.
    check = [sys.executable, *arguments_of("HEALTHCHECK", "wizard")[1:]]
    subprocess.run(check, env=shell.environment, check=True, timeout=60)
    example = (ROOT / "docs" / "guides" / "compose.yaml").read_text("utf-8")
    wizard, asking = example.split("\n  program:\n")
    arguments = re.findall(r"^      - (.+)$", asking.partition("command:\n")[2], re.MULTILINE)
    command = ["curl", *(each.replace(directory, str(shared)) for each in arguments)]
    token = subprocess.check_output(command, timeout=60).decode()
    assert token == shell.run("token", "crm").stdout
    assert "read_only: true" in wizard
    assert f"- sockets:{directory}\n" in wizard
    mounted = asking.partition("volumes:\n")[2].split("\n")[0]
    assert mounted.strip() == f"- sockets:{directory}:ro"
    assert running.finish(signal.SIGTERM).exit_code == 0
    failed = subprocess.run(
        check, env=shell.environment, capture_output=True, timeout=60, check=False
    )
    assert failed.returncode == 1


@pytest.mark.slow
def test_the_copied_files_are_enough_to_build_the_package(tmp_path: Path) -> None:
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    (source / "requirements").mkdir(parents=True)
    for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE):
        *files, target = line.split()
        for each in files:
            place = source / target
            if (ROOT / each).is_dir():
                shutil.copytree(ROOT / each, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / each, place)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels))
    subprocess.run([*pip, *options, "."], cwd=source, check=True, timeout=300)
    (wheel,) = wheels.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {"wizard/templates/simulator/state.html", "wizard/simulator/users.toml"}
    assert wanted <= set(names)
    assert any(name.startswith("wizard/static/simulator/") for name in names)


@pytest.mark.slow
def test_an_image_is_built_and_its_simulator_is_used_through_a_published_port() -> None:
    build = builder()
    port, image, program = free_port(), "zoho-simulator-test", build[0]
    subprocess.run(
        [*build, "--target", "simulator", "--tag", image, "--file", "Containerfile", "."],
        cwd=ROOT,
        check=True,
        timeout=BUILD_TIMEOUT_SECONDS,
    )
    publish = ("--rm", "--detach", "--publish", f"127.0.0.1:{port}:{DEFAULT_PORT}")
    url = f"http://127.0.0.1:{port}"
    started = subprocess.check_output([program, "run", *publish, image, "--public-url", url])
    container = started.decode().strip()
    try:
        wait = (*("curl", "--silent", "--fail", "--retry", "60"), "--retry-all-errors")
        subprocess.run([*wait, f"{url}/_simulator/controls/now"], check=True, timeout=120)
        status = (program, "inspect", "--format", "{{.State.Health.Status}}", container)
        assert subprocess.check_output(status).strip() in (b"starting", b"healthy")
        tokens = RemoteSimulator(url).controls.issue_tokens(
            "anna@zylker.example", "ZohoCRM.org.READ"
        )
        header = {"Authorization": f"Bearer {tokens['access_token']}"}
        answer = requests.get(f"{tokens['api_domain']}/crm/v8/org", headers=header, timeout=10)
        assert answer.status_code == 200
    finally:
        subprocess.run([program, "rm", "--force", container], check=False, timeout=60)
