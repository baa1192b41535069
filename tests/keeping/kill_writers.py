"""Kill writers of grants at random points, and count what was said to be stored and then lost.

``python kill_writers.py HOME ROUNDS`` prints two numbers: grants reported as stored, grants lost.
Fails where the database is not sound after a kill.
"""

import os
import random
import select
import signal
import sqlite3
import sys

from made import consent, known

from wizard import home as homes
from wizard.home import Home
from wizard.store import Store
from wizard.vault import Vault

MOST_GRANTS_A_LIFE = 12


def write_until_killed(home: Home, vault: Vault, life: int, report: int) -> None:
    """Store grants, reporting the number of each once the store said it was stored."""
    store = Store.open(home, vault, "live")
    for number in range(10_000):
        token = f"1000.{life}.{number}"
        consent(store, token)
        os.write(report, f"{token}\n".encode())


def live_and_die(home: Home, vault: Vault, life: int, chance: random.Random) -> list[str]:
    """One writer, killed at a random point; returns the tokens it reported."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        write_until_killed(home, vault, life, writing)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as reports:
        said = b""
        wanted = chance.randrange(1, MOST_GRANTS_A_LIFE)
        while said.count(b"\n") < wanted:
            said += os.read(reports.fileno(), 4096)
        # Somewhere between two reports: a commit takes a few milliseconds.
        select.select([], [], [], chance.random() / 200)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said += reports.read()
    return said.decode().splitlines()


def main() -> None:
    home = homes.locate({"ZOHO_WIZARD_HOME": sys.argv[1]})
    home.prepare()
    vault = Vault.open(home, keyring=False)
    store = Store.open(home, vault, "live")
    known(store)
    store.close()
    chance, stored = random.Random(2026), set[str]()
    for life in range(int(sys.argv[2])):
        stored.update(live_and_die(home, vault, life, chance))
        handle = sqlite3.connect(home.database)
        sound = handle.execute("PRAGMA integrity_check").fetchall()
        handle.close()
        if sound != [("ok",)]:
            raise SystemExit(f"not sound after life {life}: {sound}")
    store = Store.open(home, vault, "live")
    found = {grant.refresh_token for grant in store.grants("crm")}
    store.close()
    print(len(stored), len(stored - found))  # noqa: T201


if __name__ == "__main__":
    main()
