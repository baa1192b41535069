"""A store on PostgreSQL, against one in SQLite and against psycopg alone."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from support.harness import Harness, settings_of_machine
from support.postgresql import postgresql_server
from support.storage import postgresql_template

from bench.expiry import PROCESSES, UPSTREAM_SECONDS, time_concurrent_requests
from bench.installation import Installation, expire_access_token
from bench.many_connections import MANY, VISITS, BenchServer
from bench.measurements import Cost, Measurement, format_ms, median_costs, process_run, ratio
from wizard.local_api import LocalApi

MACHINES = 4
LIST_ROUNDS = 5
"""A list of ten thousand connections takes seconds."""


def measure(installation: Installation) -> Iterator[Measurement]:
    """One token, warm and to be confirmed; many requests at expiry; ten thousand connections."""
    url = new_database_url()
    with ExitStack() as stack:
        shared = stack.enter_context(installation.harness("shared", url))
        local = stack.enter_context(installation.harness("local"))
        for each in (shared, local):
            each.add_verified_connection()
        yield from measure_tokens(installation, local, shared, url)
        yield measure_expiry(shared, url)
    yield from measure_many(installation)


def new_database_url() -> str:
    """The URL of a database with empty tables."""
    server = postgresql_server()
    return server.url(server.create_database(postgresql_template()))


def measure_tokens(
    installation: Installation, local: Harness, shared: Harness, url: str
) -> Iterator[Measurement]:
    """`token NAME` while the copy counts, and when the store has to confirm it."""
    token = [installation.wizard, "token", "crm"]
    select = f"import psycopg; psycopg.connect({url!r}).execute('SELECT 1').fetchone()"
    copy = Path(shared.services.paths.token_file("crm"))
    environment = installation.environment(shared.services.settings)
    on_postgresql = process_run(token, environment)
    on_sqlite = process_run(token, installation.environment(local.services.settings))
    on_postgresql()  # confirms the copy for a minute
    seen = median_costs({"shared": on_postgresql, "local": on_sqlite})
    yield _compared(
        "cached `token NAME` on PostgreSQL", seen["shared"], "on SQLite", seen["local"], "≤ 1.1"
    )

    def confirm() -> None:
        copy.unlink()
        on_postgresql()

    psycopg = process_run([installation.python, "-c", select], environment)
    with LocalApi(shared.services, None):
        served = median_costs({"confirm": confirm})["confirm"]
    seen = median_costs({"confirm": confirm, "psycopg": psycopg})
    against = "Python, psycopg, connect, `SELECT 1`,"
    yield _compared(
        "`token NAME` that asks PostgreSQL", seen["confirm"], against, seen["psycopg"], "≤ 1.5"
    )
    yield _compared(
        "`token NAME` that asks a service", served, "PostgreSQL", seen["confirm"], "≤ 0.5"
    )


def _compared(name: str, ours: Cost, against: str, theirs: Cost, target: str) -> Measurement:
    """Compare processor times, which other processes on the machine don't change."""
    return Measurement(
        f"{name}, processor time",
        str(ours),
        f"{against} {theirs}",
        f"{ratio(ours.cpu, theirs.cpu)} ({ratio(ours.elapsed, theirs.elapsed)} of the time)",
        target,
    )


def measure_expiry(harness: Harness, url: str) -> Measurement:
    """Processes on several machines that wait for the moment when a token expires."""
    names = [f"machine-{number}" for number in range(1, MACHINES)]
    machines = [settings_of_machine(harness, name, url) for name in names]
    expire_access_token(harness.services, "crm")
    harness.controls.clear_journal()
    harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=UPSTREAM_SECONDS)
    worst = time_concurrent_requests([harness.services.settings, *machines])
    limit = UPSTREAM_SECONDS + 1
    return Measurement(
        f"{PROCESSES} processes on {MACHINES} machines at expiry, the worst wait; "
        f"refreshes: {len(harness.refresh_requests())}",
        f"{worst:.2f} s",
        f"upstream {UPSTREAM_SECONDS} s + 1 s",
        ratio(worst, limit),
        "≤ 1, one refresh",
    )


def measure_many(installation: Installation) -> Iterator[Measurement]:
    """The page and the list of ten thousand connections on both engines."""
    homes = [
        BenchServer(installation, "many-shared", MANY, new_database_url()),
        BenchServer(installation, "many-local", MANY),
    ]
    visits = [[home.visit(home.url) for home in homes] for _ in range(VISITS)]
    shared, local = (statistics.median(each) for each in zip(*visits, strict=True))
    yield Measurement(
        f"the page of {MANY:,} connections on PostgreSQL",
        format_ms(shared),
        f"on SQLite, {format_ms(local)}",
        ratio(shared, local),
    )
    for home in homes:
        home.process.end()
    names = ("shared", "local")
    lists: dict[str, Callable[[], object]] = {
        name: process_run([installation.wizard, "list"], home.environment)
        for name, home in zip(names, homes, strict=True)
    }
    seen = median_costs(lists, LIST_ROUNDS)
    yield _compared(
        f"`list` of {MANY:,} connections on PostgreSQL",
        seen["shared"],
        "on SQLite",
        seen["local"],
        "",
    )
