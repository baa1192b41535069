"""A thousand connections checked, beside the time that Zoho itself takes for it."""

import json
import subprocess
import time
from collections.abc import Iterator

from bench.figures import Figure, ratio
from bench.place import Place, consented, fill, live
from wizard.watch import AT_ONCE

CONNECTIONS = 1000
UPSTREAM = 0.1
"""Seconds that the simulated Zoho takes for every answer."""


def measure(place: Place) -> Iterator[Figure]:
    """`check` of all against N × asks × latency / concurrency."""
    with place.core("checks") as core:
        fill(core.house.store, *consented(core, CONNECTIONS))
        live(core, [each.name for each in core.house.store.connections()])
        environment = place.environment(core.house.settings)
        core.admin.fault("slow", seconds=UPSTREAM, times=1_000_000)
        core.admin.clear_journal()
        _check(place, environment, "crm-0000")
        asks = len([entry for entry in core.admin.journal() if entry["location"]])
        begun = time.perf_counter()
        _check(place, environment)
        elapsed = time.perf_counter() - begun
    many = "1 ask" if asks == 1 else f"{asks} asks"
    ideal = CONNECTIONS * asks * UPSTREAM / AT_ONCE
    yield Figure(
        f"`check` of {CONNECTIONS:,} connections, {AT_ONCE} at once",
        f"{elapsed:.0f} s",
        f"{CONNECTIONS:,} × {many} × {UPSTREAM} s / {AT_ONCE} = {ideal:.0f} s",
        ratio(elapsed, ideal),
    )


def _check(place: Place, environment: dict[str, str], *names: str) -> None:
    command = [place.wizard, "check", *names, "--json"]
    done = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE)
    told = json.loads(done.stdout)
    assert len(told) == (len(names) or CONNECTIONS)
    assert all(each["proved"] for each in told)
