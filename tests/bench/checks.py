"""A check of a thousand connections, compared with the time that Zoho takes for it."""

import json
import subprocess
import time
from collections.abc import Iterator

from bench.installation import Installation, cache_access_tokens, issue_grants, store_connections
from bench.measurements import Measurement, ratio
from wizard.monitoring.checks import MAX_PARALLEL_CHECKS

CONNECTIONS = 1000
UPSTREAM_SECONDS = 0.1
"""Seconds that the simulated Zoho takes for every response."""


def measure(installation: Installation) -> Iterator[Measurement]:
    """`check` of all connections against N × requests × latency / concurrency."""
    with installation.harness("checks") as harness:
        store_connections(harness.services.store, *issue_grants(harness, CONNECTIONS))
        cache_access_tokens(
            harness, [each.name for each in harness.services.store.connections.all()]
        )
        environment = installation.environment(harness.services.settings)
        harness.controls.inject_fault("slow", seconds=UPSTREAM_SECONDS, times=1_000_000)
        harness.controls.clear_journal()
        _check(installation, environment, "crm-0000")
        requests = len([entry for entry in harness.controls.journal() if entry["location"]])
        begun = time.perf_counter()
        _check(installation, environment)
        elapsed = time.perf_counter() - begun
    many = "1 request" if requests == 1 else f"{requests} requests"
    ideal = CONNECTIONS * requests * UPSTREAM_SECONDS / MAX_PARALLEL_CHECKS
    yield Measurement(
        f"`check` of {CONNECTIONS:,} connections, {MAX_PARALLEL_CHECKS} at once",
        f"{elapsed:.0f} s",
        f"{CONNECTIONS:,} × {many} × {UPSTREAM_SECONDS} s / {MAX_PARALLEL_CHECKS} = {ideal:.0f} s",
        ratio(elapsed, ideal),
    )


def _check(installation: Installation, environment: dict[str, str], *names: str) -> None:
    command = [installation.wizard, "check", *names, "--json"]
    done = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE)
    results = json.loads(done.stdout)["connections"]
    assert len(results) == (len(names) or CONNECTIONS)
    assert all(each["is_verified"] for each in results)
