"""A swap whose process is killed: ``python dying.py DIRECTORY SANDBOX TIME STEP``.

A step is whatever can be seen from outside: a file put in place, a command started, a connection
made, a transaction about to be committed. At the given one the process kills itself with SIGKILL.
"""

import os
import signal
import sys
from datetime import datetime
from itertools import count
from pathlib import Path

from core import settings_for
from sqlalchemy import Connection, event

from wizard.house import House

SEEN = ("os.rename", "subprocess.Popen", "socket.connect")


def die_at(step: int, house: House) -> None:
    """Kill this process at the step of that number."""
    numbers = count(1)

    def pass_a_step() -> None:
        if next(numbers) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(what: str, _details: object) -> None:
        if what in SEEN:
            pass_a_step()

    def commit(connection: Connection) -> None:
        if connection.get_execution_options().get("begin") == "IMMEDIATE":
            pass_a_step()

    sys.addaudithook(audit)
    event.listen(house.store.database.engine, "commit", commit)


if __name__ == "__main__":
    directory, sandbox, time, step = sys.argv[1:]
    now = datetime.fromisoformat(time)
    with House.open(settings_for(Path(directory), sandbox), lambda: now) as house:
        die_at(int(step), house)
        house.repairs.settle("crm")
