"""How long a command takes with a thousand connections, after a process was killed.

``python -m soak.start DIRECTORY`` stores them and kills itself: the write-ahead log is full then.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from support.records import add_connections, add_grant

from wizard import paths as wizard_paths
from wizard.store import Store
from wizard.vault import Vault

CONNECTIONS = 1000


def store_and_die(directory: str) -> None:
    """Store the connections, each with a grant, and end as in a power failure."""
    paths = wizard_paths.locate({"ZOHO_WIZARD_HOME": directory})
    paths.prepare()
    store = Store.open(paths, Vault.open(paths, use_keyring=False), "live")
    names = [f"crm-{number}" for number in range(CONNECTIONS)]
    add_connections(store, *names)
    for name in names:
        add_grant(store, f"1000.{name}", name)
    os.kill(os.getpid(), signal.SIGKILL)


def start_seconds(directory: Path, environment: dict[str, str]) -> float:
    """The processor time of the first `list` after that, whatever else the machine does."""
    environment = {**environment, "ZOHO_WIZARD_HOME": str(directory)}
    subprocess.run([sys.executable, "-m", "soak.start", str(directory)], env=environment)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "wizard", "list", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert f"crm-{CONNECTIONS - 1}" in done.stdout, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    store_and_die(sys.argv[1])
