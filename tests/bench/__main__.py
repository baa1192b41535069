"""`make bench`: run all measures, or those named; print a Markdown table."""

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from bench import (
    assisted,
    cached_token,
    checks,
    diagnosis_accuracy,
    expiry,
    many_connections,
    shared_store,
    simulator,
    sockets,
    start_up,
)
from bench.installation import install
from bench.measurements import Measurement

MEASURES = {
    "cached-token": cached_token.measure,
    "start-up": start_up.measure,
    "expiry": expiry.measure,
    "sockets": sockets.measure,
    "checks": checks.measure,
    "ten-thousand": many_connections.measure,
    "shared-store": shared_store.measure,
    "simulator": simulator.measure,
    "assisted": assisted.measure,
    "connections-file": assisted.measure_file,
    "diagnosis": diagnosis_accuracy.measure,
}


def main(names: list[str]) -> None:
    """Install the wheel, run the measures, print the table, also if a measure fails."""
    if unknown := set(names) - set(MEASURES):
        sys.exit(f"{', '.join(sorted(unknown))}: there are {', '.join(MEASURES)}")
    figures: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        _note("the wheel, installed")
        place = install(Path(directory))
        try:
            for name in names or MEASURES:
                begun = time.perf_counter()
                figures += MEASURES[name](place)
                _note(f"{name}: {time.perf_counter() - begun:.0f} s")
        finally:
            sys.stdout.write(table(figures))


def table(measurements: list[Measurement]) -> str:
    """The results as a Markdown table, and the machine they are from."""
    rows = [
        ("Measured", "Seen", "Against", "Ratio", "Aim"),
        ("---",) * 5,
        *((each.name, each.value, each.baseline, each.ratio, each.target) for each in measurements),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    where = f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} processors"
    return "\n".join([*lines, "", f"({where})", ""])


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
