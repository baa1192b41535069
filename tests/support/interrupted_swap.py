"""A swap whose process is killed: ``python interrupted_swap.py DIRECTORY SIMULATOR TIME STEP``.

A step is an external effect: a file renamed, a command started, a connection opened, a transaction
about to be committed. At the given step the process kills itself with SIGKILL.
"""

import os
import signal
import sqlite3
import sys
import threading
from datetime import datetime
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, event

from support.harness import settings_for
from wizard.services import Services

OBSERVED_EVENTS = ("os.rename", "subprocess.Popen", "socket.connect")


def kill_at_step(step: int, services: Services, delay_seconds: float = 0) -> None:
    """Kill this process at the step with this number, or so much later."""
    numbers = count(1)

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def count_step() -> None:
        if next(numbers) != step:
            return
        if delay_seconds:
            threading.Timer(delay_seconds, kill).start()
        else:
            kill()

    def audit(event_name: str, _details: object) -> None:
        if event_name in OBSERVED_EVENTS:
            count_step()

    def commit(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            before = connection.info.get("changes", 0)
            connection.info["changes"] = driver.total_changes
            is_write = driver.total_changes > before
        else:
            is_write = connection.get_execution_options()["isolation_level"] == "READ COMMITTED"
        if is_write:
            count_step()

    sys.addaudithook(audit)
    event.listen(services.store.database.engine, "commit", commit)


if __name__ == "__main__":
    directory, simulator, time, step = sys.argv[1:]
    now = datetime.fromisoformat(time)
    with Services.open(settings_for(Path(directory), simulator), lambda: now) as services:
        kill_at_step(int(step), services)
        services.reauthorization.continue_after_verification("crm")
