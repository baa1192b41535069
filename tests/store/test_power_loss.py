"""After a power failure, only what was synced is on the disk, and that is enough."""

import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

STORE_GRANTS = """
import os, sys
from support.records import add_connections, add_grant
from wizard import paths as wizard_paths
from wizard.store import Store
from wizard.vault import Vault
paths = wizard_paths.locate({"ZOHO_WIZARD_HOME": sys.argv[1]})
paths.prepare()
store = Store.open(paths, Vault.open(paths, use_keyring=False), "live")
add_connections(store)
for number in range(int(sys.argv[2])):
    add_grant(store, f"1000.{number}")
    os.write(1, b"stored")
"""
TRACED = "pwrite64,write,ftruncate,fsync,fdatasync"
CALL = re.compile(r"(\w+)\((\d+)<(.*?)>(?:, (?:\"(.*?)\", \d+|(\d+)))?(?:, (\d+))?\) += \d+")

Change = Callable[[bytearray], object]


def unescaped(text: str) -> bytes:
    """What strace wrote with `-xx`."""
    return bytes.fromhex(text.replace("\\x", ""))


def write_at(offset: int, data: bytes) -> Change:
    def write(content: bytearray) -> None:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data

    return write


def truncate_to(length: int) -> Change:
    def truncate(content: bytearray) -> None:
        del content[length:]

    return truncate


class Disk:
    """Files with the changes that were synced, and those that weren't yet."""

    def __init__(self) -> None:
        self.synced: dict[str, bytearray] = {}
        self.pending: dict[str, list[Change]] = {}
        self.syncs = 0

    def change(self, path: str, change: Change) -> None:
        self.pending.setdefault(path, []).append(change)

    def sync(self, path: str) -> None:
        self.syncs += 1
        for change in self.pending.pop(path, []):
            change(self.synced.setdefault(path, bytearray()))

    def content_after_power_failure(self, chance: random.Random) -> dict[str, bytes]:
        """What is left: all that was synced, and by chance some of the rest."""
        files = {path: bytearray(content) for path, content in self.synced.items()}
        for path in files:
            for change in self.pending.get(path, []):
                if chance.random() < 0.5:
                    change(files[path])
        return {path: bytes(content) for path, content in files.items()}


def replay(trace: str, database: str) -> Iterator[Disk]:
    """The disk at each report of a stored grant."""
    disk = Disk()
    for call, descriptor, path, data, length, offset in CALL.findall(trace):
        path = unescaped(path).decode() if path.startswith("\\x") else path
        if (call, descriptor) == ("write", "1"):
            yield disk
        elif path in (database, f"{database}-wal"):
            if call == "pwrite64":
                disk.change(path, write_at(int(offset), unescaped(data)))
            elif call == "ftruncate":
                disk.change(path, truncate_to(int(length)))
            else:
                disk.sync(path)


@pytest.mark.needs("strace")
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_power_failure_after_a_commit_loses_nothing(tmp_path: Path, count: int) -> None:
    trace, home = tmp_path / "trace", tmp_path / "home"
    options = ("-y", "-xx", "-s", "100000", "-e", f"trace={TRACED}", "-o", str(trace))
    program = (sys.executable, "-c", STORE_GRANTS, str(home), str(count))
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        ["strace", *options, *program],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "ptrace" in done.stderr.lower():
        pytest.skip("strace isn't allowed to trace")
    assert done.returncode == 0, done.stderr
    (database,) = home.rglob("wizard.db")
    chance, syncs, reports = random.Random(2026), 0, 0
    for reports, disk in enumerate(replay(trace.read_text(), str(database)), 1):
        assert disk.syncs > syncs, "each commit is synced"
        syncs = disk.syncs
        for path, content in disk.content_after_power_failure(chance).items():
            Path(f"{tmp_path}/left{Path(path).suffix}").write_bytes(content)
        with closing(sqlite3.connect(tmp_path / "left.db")) as left:
            assert left.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert left.execute("SELECT count(*) FROM grants").fetchone() == (reports,)
        for file in tmp_path.glob("left*"):
            file.unlink()
    assert reports == count
