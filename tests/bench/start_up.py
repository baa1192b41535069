"""What a command costs before it does anything: CPU time of whole processes."""

from collections.abc import Iterator

from bench.installation import Installation
from bench.measurements import Measurement, format_ms, median_costs, process_run, ratio

ROUNDS = 15


def measure(installation: Installation) -> Iterator[Measurement]:
    """Help against click alone; commands that read the store against SQLAlchemy alone."""
    with installation.harness("start-up") as harness:
        for name in ("crm", "books", "desk"):
            harness.add_verified_connection(name)
        environment = installation.environment(harness.services.settings)
        commands = {
            "click": [installation.python, "-c", "import click"],
            "SQLAlchemy": [installation.python, "-c", "import sqlalchemy"],
            "--help": [installation.wizard, "--help"],
            "--version": [installation.wizard, "--version"],
            "list": [installation.wizard, "list"],
            "show": [installation.wizard, "show", "crm"],
            "status": [installation.wizard, "status"],
        }
        runs = {name: process_run(each, environment) for name, each in commands.items()}
        seen = {name: cost.cpu for name, cost in median_costs(runs, ROUNDS).items()}
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
