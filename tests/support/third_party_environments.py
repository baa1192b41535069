"""Third-party programs, each in a pinned environment that its first use installs."""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements" / "third-party"
"""A requirements file for each Python environment, a folder with a lock file for each of Node."""
ENVIRONMENTS = ROOT / ".cache" / "third-party"
INSTALL_TIMEOUT_SECONDS = 300
ENVIRONMENT_VARIABLES = dict(os.environ)
"""The environment outside tests, with the proxy for the registries."""


def python_programs(name: str) -> Path:
    """Return the folder of the programs of a Python environment, including its interpreter."""
    pins = PINS / f"{name}.txt"
    place = _place(name, pins)
    python = str(place / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--retries=1")
    return (
        _environment(
            place,
            (sys.executable, "-m", "venv", "--without-pip", str(place)),
            (*pip, "--require-hashes", "--requirement", str(pins)),
        )
        / "bin"
    )


def node_modules(name: str) -> Path:
    """Return the packages of a Node environment."""
    pins = PINS / name
    place = _place(name, pins / "package-lock.json")
    npm = ("npm", "ci", "--prefix", str(place), "--no-audit", "--no-fund", "--fetch-retries=1")
    return _environment(place, ("cp", "-R", str(pins), str(place)), npm) / "node_modules"


def _place(name: str, pins: Path) -> Path:
    """A folder that changes with the pins and the version of Python."""
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    return ENVIRONMENTS / f"{name}-{digest[:12]}"


def _environment(place: Path, *commands: tuple[str, ...]) -> Path:
    if problem := _install(place, *commands):
        pytest.skip(f"{place.name.rpartition('-')[0]} can't be installed: {problem}")
    return place


@functools.cache
def _install(place: Path, *commands: tuple[str, ...]) -> str:
    """Install unless already done; return the error, if any."""
    complete = place / "complete"
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if complete.exists():
            return ""
        shutil.rmtree(place, ignore_errors=True)
        for command in commands:
            done = subprocess.run(
                command,
                env=ENVIRONMENT_VARIABLES,
                capture_output=True,
                text=True,
                timeout=INSTALL_TIMEOUT_SECONDS,
                check=False,
            )
            if done.returncode:
                return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        complete.touch()
    return ""
