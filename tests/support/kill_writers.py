"""Kill writers of grants at random points, and count grants that were stored and then lost.

``python kill_writers.py HOME ROUNDS`` prints two numbers: grants reported as stored, grants lost.
Fails if the database is damaged after a kill.
"""

import os
import random
import select
import signal
import sqlite3
import sys

from support.records import add_connections, add_grant
from wizard import paths as wizard_paths
from wizard.paths import Paths
from wizard.store import Store
from wizard.vault import Vault

MAX_GRANTS_PER_ROUND = 12


def write_until_killed(
    paths: Paths, vault: Vault, round_number: int, report_descriptor: int
) -> None:
    """Store grants, reporting the number of each once the store has committed it."""
    store = Store.open(paths, vault, "live")
    for number in range(10_000):
        token = f"1000.{round_number}.{number}"
        add_grant(store, token)
        os.write(report_descriptor, f"{token}\n".encode())


def run_killed_writer(
    paths: Paths, vault: Vault, round_number: int, rng: random.Random
) -> list[str]:
    """One writer, killed at a random point; returns the tokens it reported."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        write_until_killed(paths, vault, round_number, writing)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as reports:
        said = b""
        wanted = rng.randrange(1, MAX_GRANTS_PER_ROUND)
        while said.count(b"\n") < wanted:
            said += os.read(reports.fileno(), 4096)
        # Between two reports: a commit takes a few milliseconds.
        select.select([], [], [], rng.random() / 200)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said += reports.read()
    return said.decode().splitlines()


def main() -> None:
    paths = wizard_paths.locate({"ZOHO_WIZARD_HOME": sys.argv[1]})
    paths.prepare()
    vault = Vault.open(paths, use_keyring=False)
    store = Store.open(paths, vault, "live")
    add_connections(store)
    store.close()
    chance, stored = random.Random(2026), set[str]()
    for life in range(int(sys.argv[2])):
        stored.update(run_killed_writer(paths, vault, life, chance))
        handle = sqlite3.connect(paths.database)
        sound = handle.execute("PRAGMA integrity_check").fetchall()
        handle.close()
        if sound != [("ok",)]:
            raise SystemExit(f"not sound after life {life}: {sound}")
    store = Store.open(paths, vault, "live")
    found = {grant.refresh_token for grant in store.grants.of_connection("crm")}
    store.close()
    print(len(stored), len(stored - found))  # noqa: T201


if __name__ == "__main__":
    main()
