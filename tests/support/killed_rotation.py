"""Rotations that are killed: ``python killed_rotation.py HOME [DATABASE_URL]``.

A step is an external effect: a file renamed, linked or removed, a transaction about to be
committed, or the data that was just committed. For each step, one process kills itself there with
SIGKILL, one reads everything, and one rotates again. Prints a JSON list: of each step, whether it
was reached, what could be read after it, and after the next rotation with only the key that is
stored then.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from support.records import NOW, add_connections, add_grant, make_attempt
from wizard import paths as wizard_paths
from wizard.paths import Paths
from wizard.store import Store
from wizard.store.key_rotation import rotate_encryption_key
from wizard.vault import NEW_KEY_FILE_SUFFIX, Vault

OBSERVED_EVENTS = ("os.rename", "os.link", "os.remove")


def open_store(paths: Paths) -> tuple[Store, Vault]:
    vault = Vault.open(paths, use_keyring=False, for_new_store=True)
    return Store.open(paths, vault, "live"), vault


def kill_at_step(step: int) -> None:
    """Kill this process at a step; 0: never."""
    numbers = count(1)

    def count_step(*_: object) -> None:
        if step and next(numbers) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(lambda name, _: count_step() if name in OBSERVED_EVENTS else None)
    event.listen(Engine, "commit", count_step)
    event.listen(Pool, "checkin", count_step)


def rotate(paths: Paths, killed_at: int = 0) -> None:
    store, vault = open_store(paths)
    kill_at_step(killed_at)
    rotate_encryption_key(paths, store, vault, lambda: NOW)


def read_everything(paths: Paths) -> list[Any]:
    store, _ = open_store(paths)
    grant, attempt = store.grants.candidate("crm"), store.attempts.find_by_state("state-of-open")
    return [
        grant and grant.refresh_token,
        store.clients.get("1000.MADEUP").secrets[0].value,
        attempt and attempt.code_verifier,
        store.monitoring.notify_command(),
        os.path.exists(paths.key_file + NEW_KEY_FILE_SUFFIX),
    ]


def in_child(operation: Callable[[], Any]) -> tuple[int, Any]:
    """The status of a process that runs `operation`, and what that returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            os.write(writing, json.dumps(operation()).encode())
        except BaseException as error:
            os.write(writing, json.dumps(repr(error)).encode())
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as results:
        text = results.read()
    return os.waitpid(child, 0)[1], json.loads(text) if text else None


def add_records(paths: Paths) -> None:
    store, _ = open_store(paths)
    add_connections(store)
    add_grant(store)
    store.attempts.add(make_attempt("open"))
    store.monitoring.set_notify_command("notify --key s3cret")


def main() -> None:
    home, *url = sys.argv[1:]
    if url:
        import wizard.store.postgresql  # noqa: F401 - once, not in each process

    environment = {"ZOHO_WIZARD_HOME": home, "ZOHO_WIZARD_DATABASE_URL": "".join(url)}
    paths = wizard_paths.locate(environment)
    paths.prepare()
    in_child(lambda: add_records(paths))
    steps = []
    for step in count(1):
        status, error = in_child(partial(rotate, paths, step))
        _, after = in_child(lambda: read_everything(paths))
        again = in_child(lambda: rotate(paths))
        _, completed = in_child(lambda: read_everything(paths))
        was_killed = os.WIFSIGNALED(status)
        steps.append([was_killed, error, after, again, completed])
        if not was_killed:
            break
    print(json.dumps(steps))  # noqa: T201


if __name__ == "__main__":
    main()
