"""A shared database that ends connections, restarts, is full, or can't be written."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
from support.harness import Harness, settings_for, settings_of_machine
from support.postgresql import REPLICATED, PostgresqlServer, database_name, postgresql_server
from support.records import raises_failure
from support.storage import execute, on_postgresql
from support.tokens import wait_for

from wizard.errors import WizardError
from wizard.fastpath.shared_store import confirm_copy
from wizard.model import Event
from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.store.postgresql import KEPT_CONNECTIONS, MORE_CONNECTIONS, PostgresqlDatabase
from wizard.vault import Vault

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = '{name}' AND pid <> pg_backend_pid()"
)


database_url = on_postgresql


def set_access(url: str, allowed: bool) -> None:
    """Let the server accept connections to a database, or none."""
    name = database_name(url)
    postgresql_server().execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")


def end_sessions(url: str, condition: str = "true") -> None:
    """End the sessions of a database that meet a condition on `pg_stat_activity`."""
    postgresql_server().execute(f"{CUT.format(name=database_name(url))} AND {condition}")


@contextmanager
def machine_that_waits_out_an_outage(harness: Harness, url: str) -> Iterator[Harness]:
    """Another machine. When it waits the third time, the database is back."""
    waits = count(1)

    def sleep(_seconds: float) -> None:
        if next(waits) == 3:
            set_access(url, allowed=True)

    settings = settings_of_machine(harness, "other", url)
    with Services.open(settings, harness.now, sleep) as services:
        yield Harness(services, harness.simulator, harness.directory)
    assert next(waits) > 3


def interrupt(harness: Harness, url: str, work: Callable[[], object]) -> None:
    """Run `work` in a thread. While Zoho answers its request, the database goes away."""
    harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.5, processed=True)
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(work)
        wait_for(lambda: not harness.controls.state()["faults"])  # the request has arrived
        set_access(url, allowed=False)
        end_sessions(url)
        done.result()


def usable_tokens(harness: Harness) -> set[str]:
    """The refresh tokens that Zoho accepts."""
    issued = harness.simulator.world.grants.refresh_tokens
    return {token for token, each in issued.items() if not each.invalidation_reason}


def stored_tokens(harness: Harness) -> set[str]:
    grants = harness.services.store.grants.of_connection("crm")
    return {str(each.refresh_token) for each in grants}


def test_a_refresh_token_that_zoho_issues_during_an_outage_is_stored(
    harness: Harness, database_url: str
) -> None:
    harness.add_connection()
    with machine_that_waits_out_an_outage(harness, database_url) as other:
        begun = other.services.authorization.begin("crm")
        callback = other.give_consent(begun)
        interrupt(harness, database_url, lambda: other.complete_authorization(begun, callback))
        other.verify("crm", 1)
        assert usable_tokens(harness) == stored_tokens(other) != set()


def test_a_refresh_token_that_is_rotated_during_an_outage_is_stored(
    harness: Harness, database_url: str
) -> None:
    harness.add_verified_connection()
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    harness.services.token_cache.remove("crm")
    with machine_that_waits_out_an_outage(harness, database_url) as other:
        tokens = other.services.tokens
        interrupt(harness, database_url, lambda: tokens.access_token("crm"))
        assert usable_tokens(harness) & stored_tokens(other)
        harness.advance(minutes=59)
        assert tokens.access_token("crm").value


def test_sessions_that_end_during_a_refresh_cost_no_token(
    harness: Harness, database_url: str
) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.5)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(harness.services.tokens.access_token, "crm")
        wait_for(lambda: not harness.controls.state()["faults"])
        end_sessions(database_url)
        token = asked.result().value
    assert harness.services.tokens.access_token("crm").value == token
    assert len(harness.refresh_requests()) == 1
    with harness.services.locks.refresh("crm", wait=False):
        pass


def test_a_lock_whose_session_ends_lets_no_machine_send_a_rotating_refresh_token_twice(
    harness: Harness, database_url: str
) -> None:
    harness.add_verified_connection()
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    tokens = harness.services.tokens
    harness.advance(minutes=61)
    tokens.access_token("crm")
    settings = settings_of_machine(harness, "other", database_url)
    with Services.open(settings, harness.now) as other, ThreadPoolExecutor(1) as threads:
        slow = {"endpoint": "oauth/v2/token", "seconds": 0.5, "processed": True}
        harness.advance(minutes=57)  # the token is due, and can be used
        harness.controls.inject_fault("slow", **slow)
        first = threads.submit(tokens.access_token, "crm")
        wait_for(lambda: not harness.controls.state()["faults"])
        end_sessions(database_url, "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')")
        spare = other.tokens.access_token("crm").value
        assert spare != first.result().value

        harness.advance(minutes=61)
        harness.controls.inject_fault("slow", **slow)
        first = threads.submit(tokens.access_token, "crm")
        wait_for(lambda: not harness.controls.state()["faults"])
        end_sessions(database_url, "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')")
        assert other.tokens.access_token("crm").value
        assert first.result().value
    assert usable_tokens(harness) & stored_tokens(harness)


def test_a_server_without_a_free_connection_is_waited_for(
    harness: Harness, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_verified_connection()
    server, name = postgresql_server(), database_name(database_url)
    server.execute(f"CREATE ROLE few_{name} LOGIN CONNECTION LIMIT 1 IN ROLE tests")
    url = database_url.replace("tests@", f"few_{name}@")
    try:
        paths = settings_of_machine(harness, "other", url).paths
        first = PostgresqlDatabase.open(paths)
        with ThreadPoolExecutor(1) as threads:
            second = threads.submit(PostgresqlDatabase.open, paths)
            with pytest.raises(TimeoutError):
                second.result(0.3)
            first.close()
            second.result().close()
        monkeypatch.setattr("wizard.store.postgresql.FREE_CONNECTION_TIMEOUT_SECONDS", 0)
        first = PostgresqlDatabase.open(paths)
        with raises_failure("database-unreachable"):
            PostgresqlDatabase.open(paths)
        first.close()
    finally:
        wait_for(lambda: not server.sessions("usename", f"few_{name}"))
        server.execute(f"DROP ROLE few_{name}")


def test_more_threads_than_connections_take_turns(harness: Harness) -> None:
    harness.add_verified_connection()
    threads = 3 * (KEPT_CONNECTIONS + MORE_CONNECTIONS)
    together = threading.Barrier(threads)

    def ask(_number: int) -> str:
        together.wait()
        return harness.services.tokens.access_token("crm").value

    with ThreadPoolExecutor(threads) as pool:
        assert len(set(pool.map(ask, range(threads)))) == 1


def test_a_thread_that_finds_no_free_connection_says_so(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = harness.services.store.database
    monkeypatch.setattr(database.engine.pool, "_timeout", 0)
    with ExitStack() as stack:
        for _ in range(KEPT_CONNECTIONS + MORE_CONNECTIONS):
            stack.enter_context(database.engine.connect())
        with raises_failure("store-locked"):
            harness.services.store.connections.all()


def test_a_database_that_cannot_be_written_serves_cached_tokens_and_sends_nothing(
    harness: Harness, database_url: str
) -> None:
    harness.add_verified_connection()
    token = harness.services.tokens.access_token("crm").value
    name = database_name(database_url)
    execute(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    settings = settings_of_machine(harness, "other", database_url)
    with Services.open(settings, harness.now) as other:
        assert other.tokens.access_token("crm").value == token
        harness.controls.clear_journal()
        harness.advance(minutes=59)
        with raises_failure("database-unwritable"):
            other.tokens.access_token("crm")
    assert not harness.refresh_requests()


@contextmanager
def machines_on(
    server: PostgresqlServer, simulator: Simulator, directory: Path, *standbys: PostgresqlServer
) -> Iterator[tuple[Harness, list[Services]]]:
    """Three machines that share a store on a server of their own, with a verified connection. If
    that fails, they use a standby."""
    url = server.url(server.create_database(), *standbys)
    settings = settings_for(directory, simulator.url, url)
    settings.paths.prepare()
    Vault.open(settings.paths, for_new_store=True)
    PostgresqlDatabase.open(settings.paths, may_create=True).close()
    with ExitStack() as stack:
        first = stack.enter_context(Services.open(settings, simulator.clock))
        harness = Harness(first, simulator, directory)
        harness.add_verified_connection()
        others = [settings_of_machine(harness, name, url) for name in ("second", "third")]
        opened = [stack.enter_context(Services.open(each, simulator.clock)) for each in others]
        yield harness, [first, *opened]


def token_or_code(services: Services) -> str:
    try:
        return services.tokens.access_token("crm").value
    except WizardError as error:
        return error.failure.code


@pytest.mark.slow
def test_a_server_that_crashes_under_load_costs_no_authorization(
    zoho_simulator: Simulator, tmp_path: Path
) -> None:
    server = PostgresqlServer()
    try:
        with machines_on(server, zoho_simulator, tmp_path) as (harness, machines):
            for _ in range(5):
                harness.advance(minutes=61)
                harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.5)
                with ThreadPoolExecutor(12) as threads:
                    asked = [threads.submit(token_or_code, each) for each in machines * 4]
                    server.restart()
                    answers = {each.result() for each in asked}
                codes = {each for each in answers if not each.startswith("1000.")}
                assert codes <= {"database-unreachable"}
                tokens = {each.tokens.access_token("crm").value for each in machines}
                assert len(tokens) == 1
            assert usable_tokens(harness) == stored_tokens(harness)
    finally:
        server.close()


@pytest.mark.slow
def test_a_replica_is_refused_until_a_failover_makes_it_the_primary_server(
    zoho_simulator: Simulator, tmp_path: Path
) -> None:
    with ExitStack() as servers:
        primary = PostgresqlServer(settings=REPLICATED)
        servers.callback(primary.close)
        standby = PostgresqlServer(settings=REPLICATED, primary=primary)
        servers.callback(standby.close)
        # A commit is reported once the standby has it.
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        with machines_on(primary, zoho_simulator, tmp_path, standby) as (harness, machines):
            paths = machines[0].paths
            name = database_name(paths.database_url)
            replica = paths.with_database_url(standby.url(name))
            wait_for(lambda: has_database(standby, name))
            with raises_failure("database-replica"):
                PostgresqlDatabase.open(replica)
            with pytest.raises(psycopg.OperationalError, match="hot standby"):
                confirm_copy(replica, "crm", machines[0].vault.key)

            harness.advance(minutes=61)
            harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.5)
            with ThreadPoolExecutor(12) as threads:
                asked = [threads.submit(token_or_code, each) for each in machines * 4]
                wait_for(lambda: not harness.controls.state()["faults"])
                primary.kill()
                answers = {each.result() for each in asked}
            codes = {each for each in answers if not each.startswith("1000.")}
            assert codes <= {"database-unreachable", "database-replica"}
            assert token_or_code(machines[0]) in {"database-replica", *answers - codes}
            standby.promote()
            assert len({each.tokens.access_token("crm").value for each in machines}) == 1
            harness.advance(minutes=61)
            harness.controls.clear_journal()
            assert len({each.tokens.access_token("crm").value for each in machines}) == 1
            assert len(harness.refresh_requests()) == 1
            assert usable_tokens(harness) == stored_tokens(harness)


def has_database(server: PostgresqlServer, name: str) -> bool:
    try:
        psycopg.connect(server.url(name)).close()
    except psycopg.OperationalError:
        return False
    return True


def fill_disk(server: PostgresqlServer, rows: int) -> None:
    """Add so many rows at a time until they don't fit."""
    row = "INSERT INTO filler SELECT repeat('x', 1999) FROM generate_series(1, {})"
    with suppress(psycopg.errors.DiskFull):
        while True:
            server.execute(row.format(rows))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_full_disk_of_the_server_is_reported_and_costs_no_authorization(
    zoho_simulator: Simulator, tmp_path: Path
) -> None:
    server = PostgresqlServer(disk_megabytes=96)
    try:
        with machines_on(server, zoho_simulator, tmp_path) as (harness, machines):
            server.execute("CREATE UNLOGGED TABLE filler (text TEXT)")
            for rows in (10_000, 100, 1):
                fill_disk(server, rows)
            large = Event(harness.now(), "crm", "edited", {"note": token_hex(50_000)})
            with raises_failure("disk-full"):
                machines[0].store.events.record(large)
            server.execute("DROP TABLE filler")
            machines[0].store.events.record(large)
            assert machines[1].tokens.access_token("crm").value
            assert usable_tokens(harness) == stored_tokens(harness)
    finally:
        server.close()
