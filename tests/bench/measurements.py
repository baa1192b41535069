"""Medians of interleaved runs, so that load on the machine affects all alike."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial


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


@dataclass(frozen=True)
class Cost:
    """What a process costs, in seconds."""

    elapsed: float
    cpu: float

    def __str__(self) -> str:
        return f"{format_ms(self.cpu)} of {format_ms(self.elapsed)}"


def median_costs(
    operations: Mapping[str, Callable[[], object]], rounds: int = 30
) -> dict[str, Cost]:
    """The median cost of the process that each operation runs to its end; all take turns."""
    taken: dict[str, list[Cost]] = {name: [] for name in operations}
    for _ in range(rounds):
        for name, run in operations.items():
            begun, before = time.perf_counter(), _children_seconds()
            run()
            taken[name].append(Cost(time.perf_counter() - begun, _children_seconds() - before))
    return {
        name: Cost(
            statistics.median(each.elapsed for each in costs),
            statistics.median(each.cpu for each in costs),
        )
        for name, costs in taken.items()
    }


def process_run(command: Sequence[str], environment: Mapping[str, str]) -> Callable[[], object]:
    """An operation that runs `command`; its output is shown only if it fails."""
    return partial(_run_quietly, command, environment)


def _run_quietly(command: Sequence[str], environment: Mapping[str, str]) -> None:
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.stderr.write(run.stdout + run.stderr)
    run.check_returncode()


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
