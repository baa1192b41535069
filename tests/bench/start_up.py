"""What a command costs before it does anything: CPU time of whole processes."""

import resource
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from bench.installation import Installation
from bench.measurements import Measurement, format_ms, ratio

ROUNDS = 15


def measure(installation: Installation) -> Iterator[Measurement]:
    """Help against click alone; commands that read the store against SQLAlchemy alone."""
    with installation.harness("start-up") as harness:
        for name in ("crm", "books", "desk"):
            harness.add_verified_connection(name)
        environment = installation.environment(harness.services.settings)
        seen = _cpu_seconds(
            {
                "click": [installation.python, "-c", "import click"],
                "SQLAlchemy": [installation.python, "-c", "import sqlalchemy"],
                "--help": [installation.wizard, "--help"],
                "--version": [installation.wizard, "--version"],
                "list": [installation.wizard, "list"],
                "show": [installation.wizard, "show", "crm"],
                "status": [installation.wizard, "status"],
            },
            environment,
        )
    targets = {"--help": 3.0, "--version": 3.0, "list": 1.6, "show": 1.6, "status": 2.0}
    for command, target in targets.items():
        library = "click" if command.startswith("--") else "SQLAlchemy"
        yield Measurement(
            f"CPU time of `{command}`",
            format_ms(seen[command]),
            f"`import {library.lower()}` {format_ms(seen[library])}",
            ratio(seen[command], seen[library]),
            f"≤ {target:g}",
        )


def _cpu_seconds(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]
) -> dict[str, float]:
    """The median CPU time of each command as a whole process, in seconds; all take turns."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            before = _children_seconds()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            taken[name].append(_children_seconds() - before)
    return {name: statistics.median(each) for name, each in taken.items()}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
