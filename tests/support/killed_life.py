"""A connection's life in a process that may kill itself at one of its external effects."""

from multiprocessing.connection import Connection
from pathlib import Path

from support.harness import Harness, settings_for
from support.interrupted_swap import kill_at_step
from wizard.services import Services
from wizard.simulator.remote import RemoteSimulator


def live(directory: Path, url: str, step: int, reports: Connection) -> None:
    """Authorize ``crm``, refresh it, re-authorize it. Reports each generation that was verified."""
    with Services.open(settings_for(directory, url)) as services:
        harness = Harness(services, RemoteSimulator(url), directory)  # type: ignore[arg-type]
        kill_at_step(step, services)
        for generation in (1, 2):
            if generation == 2:
                services.reauthorization.begin(("crm",))
            done = harness.authorize("crm")
            assert done.generation == generation
            harness.verify("crm", generation)
            services.reauthorization.continue_after_verification("crm")
            reports.send(generation)
            services.tokens.access_token("crm", force_refresh=True)
        reports.send(0)
