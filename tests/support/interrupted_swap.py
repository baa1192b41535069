"""A swap whose process is killed: ``python interrupted_swap.py DIRECTORY SIMULATOR TIME STEP``.

A step is an external effect: a file renamed, a command started, a connection opened, a transaction
about to be committed. At the given step the process kills itself with SIGKILL.
"""

import os
import signal
import sys
from datetime import datetime
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, event

from support.harness import settings_for
from wizard.services import Services

OBSERVED_EVENTS = ("os.rename", "subprocess.Popen", "socket.connect")


def kill_at_step(step: int, services: Services) -> None:
    """Kill this process at the step with this number."""
    numbers = count(1)

    def count_step() -> None:
        if next(numbers) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event_name: str, _details: object) -> None:
        if event_name in OBSERVED_EVENTS:
            count_step()

    def commit(connection: Connection) -> None:
        if connection.get_execution_options().get("begin") == "IMMEDIATE":
            count_step()

    sys.addaudithook(audit)
    event.listen(services.store.database.engine, "commit", commit)


if __name__ == "__main__":
    directory, simulator, time, step = sys.argv[1:]
    now = datetime.fromisoformat(time)
    with Services.open(settings_for(Path(directory), simulator), lambda: now) as services:
        kill_at_step(int(step), services)
        services.reauthorization.continue_after_verification("crm")
