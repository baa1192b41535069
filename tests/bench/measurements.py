"""Figures, and how they are taken: medians of interleaved runs, so that a busy moment hits all."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One line of the table."""

    name: str
    value: str
    baseline: str
    ratio: str
    target: str = ""


def ratio(value: float, baseline: float) -> str:
    """How many times `against` fits into `seen`."""
    return f"{value / baseline:.2f}"


def format_ms(seconds: float) -> str:
    """A short time, in milliseconds."""
    return f"{seconds * 1000:.1f} ms"


def median_durations(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], rounds: int = 30
) -> dict[str, float]:
    """The median time of each command as a whole process, in seconds; all take turns."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(each) for name, each in taken.items()}


def run_concurrently(
    command: Sequence[str], environment: Mapping[str, str], count: int
) -> list[str]:
    """What `count` processes of one command print that are started at once."""
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    printed = [each.communicate()[0] for each in started]
    failed = [each.args for each in started if each.returncode]
    assert not failed, failed
    return printed


def clean_environment() -> dict[str, str]:
    """This process's environment without any wizard's settings and without a keyring."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZOHO_")}
    return {**kept, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
