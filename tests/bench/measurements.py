"""Medians of interleaved runs, so that load on the machine affects all alike."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One row of the table."""

    name: str
    value: str
    baseline: str
    ratio: str
    target: str = ""


def ratio(value: float, baseline: float) -> str:
    """The ratio of `seen` to `against`."""
    return f"{value / baseline:.2f}"


def format_ms(seconds: float) -> str:
    """A duration in milliseconds."""
    return f"{seconds * 1000:.1f} ms"


def median_durations(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], rounds: int = 30
) -> dict[str, float]:
    """The median duration of each command as a process, in seconds; the commands alternate."""
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
    """The output of `count` processes of one command started at once."""
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    printed = [each.communicate()[0] for each in started]
    failed = [each.args for each in started if each.returncode]
    assert not failed, failed
    return printed


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of the wizard and without a keyring."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZOHO_")}
    return {**kept, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
