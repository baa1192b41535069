"""The address of a shared store, and a copy of its token that is older than a minute."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest
from support.claims import over_rows
from support.harness import Harness
from support.records import raises_failure
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell
from support.storage import execute

from wizard import locks
from wizard.errors import WizardError
from wizard.fastpath import commands, shared_store, token_file
from wizard.fastpath.shared_store import Address
from wizard.local_api import LocalApi
from wizard.paths import Paths, locate
from wizard.services import Services
from wizard.settings import from_environment
from wizard.vault import Vault

PRINT_LOADED_MODULES = """
import atexit, sys
from wizard.__main__ import main
sys.argv = ["zoho-wizard", *sys.argv[1:]]
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""


@pytest.fixture
def crm(shell: Shell, postgresql_url: str) -> Paths:
    """The paths of a machine whose copy of a token is older than a minute."""
    shell.environment["ZOHO_WIZARD_DATABASE_URL"] = postgresql_url
    paths = locate(shell.environment)
    paths.prepare()
    Vault.open(paths, for_new_store=True)
    with Services.open(from_environment(shell.environment)) as services:
        Harness(services, shell.simulator, shell.directory).add_verified_connection()
        services.tokens.access_token("crm")
        key = services.vault.key
    path, owner = Path(paths.token_file("crm")), paths.token_owner("crm")
    copy = token_file.unpack(key, owner, path.read_bytes())
    path.write_bytes(token_file.pack(key, owner, copy, int(time.time()) - 61))
    return paths


def served_token(shell: Shell) -> str | None:
    """What the fast path prints; None if it takes the slow path, which then has the lock."""
    found = commands.cached_or_refreshed_token(commands.Request("crm"), shell.environment)
    if found is None:
        locks.release(locate(shell.environment).lock_file("crm"))
        return None
    return found.access_token


def token_and_modules(shell: Shell) -> tuple[str, set[str]]:
    """What `token crm` prints, and the modules that it loads."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_LOADED_MODULES, "token", "crm"],
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
    )
    assert done.stdout.startswith("1000."), done.stderr
    return done.stdout.strip(), set(done.stderr.split())


@pytest.mark.slow
def test_a_copy_is_confirmed_for_a_minute_without_the_rest_of_the_wizard(
    shell: Shell, crm: Paths, postgresql_url: str
) -> None:
    token, loaded = token_and_modules(shell)
    assert "psycopg" in loaded
    assert not {"sqlalchemy", "click", "wizard.errors", "wizard.store"} & loaded
    assert token_file.is_confirmed(token_file.read(crm.token_file("crm")), time.time())
    execute(postgresql_url, "DELETE FROM access_tokens")
    assert served_token(shell) == token


@pytest.fixture
def service(shell: Shell, crm: Paths) -> Iterator[None]:
    """A service of the machine that serves the owner's socket."""
    with Services.open(from_environment(shell.environment)) as services, LocalApi(services, None):
        yield


@pytest.mark.usefixtures("service")
def test_a_service_confirms_a_copy_without_another_connection_to_the_database(
    shell: Shell, crm: Paths
) -> None:
    token, loaded = token_and_modules(shell)
    assert not {"psycopg", "sqlalchemy", "wizard.errors"} & loaded
    assert token_file.is_confirmed(token_file.read(crm.token_file("crm")), time.time())
    assert served_token(shell) == token


@pytest.mark.usefixtures("service")
@contextmanager
def rejected_elsewhere(url: str) -> Iterator[None]:
    """The store without its access tokens, as after Zoho rejected them on another machine."""
    execute(url, "CREATE TABLE kept AS TABLE access_tokens; DELETE FROM access_tokens")
    yield
    execute(url, "INSERT INTO access_tokens TABLE kept")


def test_a_service_confirms_only_what_the_store_of_the_machine_has(
    shell: Shell, crm: Paths, postgresql_url: str
) -> None:
    marker = Path(crm.shared_store_marker)
    store_id = marker.read_text()
    marker.write_text("another\n")
    assert served_token(shell) is None, "the service still uses the store before"
    marker.write_text(store_id)
    moved = '{"id": "", "state": "moved-away", "place": "", "url": ""}'
    execute(postgresql_url, f"UPDATE installation SET move = '{moved}'")
    assert served_token(shell) is None
    execute(postgresql_url, "UPDATE installation SET move = NULL")
    with rejected_elsewhere(postgresql_url):
        assert served_token(shell) is None
    assert served_token(shell), "each change was undone"


def test_a_service_that_hangs_or_has_died_delays_a_token_only_briefly(
    shell: Shell, crm: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(crm.data_dir)  # the whole path is too long for `bind`
    old, path = Path(crm.token_file("crm")).read_bytes(), Path(crm.token_file("crm"))
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind("socket")
        hanging.listen()
        end = Timer(PROCESS_TIMEOUT_SECONDS, hanging.close)
        end.start()
        started = time.monotonic()
        assert served_token(shell)
        assert time.monotonic() - started < PROCESS_TIMEOUT_SECONDS / 3
        end.cancel()
    path.write_bytes(old)
    assert served_token(shell), "nobody answers the socket"


def test_a_copy_that_the_store_does_not_confirm_is_not_served(
    shell: Shell, crm: Paths, postgresql_url: str
) -> None:
    for change, undo in (
        ("zoho_wizard_store SET id = id || '!'", "zoho_wizard_store SET id = rtrim(id, '!')"),
        ("installation SET move = '{}'", "installation SET move = NULL"),
        (
            "access_tokens SET sealed = sealed || 'changed'",
            "access_tokens SET sealed = substring(sealed FOR length(sealed) - 7)",
        ),
    ):
        execute(postgresql_url, f"UPDATE {change}")
        assert served_token(shell) is None, change
        execute(postgresql_url, f"UPDATE {undo}")
    execute(postgresql_url, "ALTER TABLE access_tokens RENAME TO of_another_version")
    assert served_token(shell) is None
    execute(postgresql_url, "ALTER TABLE of_another_version RENAME TO access_tokens")
    with rejected_elsewhere(postgresql_url):
        assert served_token(shell) is None
    assert served_token(shell), "each change was undone"


def test_a_copy_is_not_confirmed_while_another_process_changes_the_token(
    shell: Shell, crm: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LOCK_TIMEOUT_SECONDS", 0)
    lock = crm.lock_file("crm")
    assert locks.try_acquire(lock)
    found = commands.cached_or_refreshed_token(commands.Request("crm"), shell.environment)
    locks.release(lock)
    assert found is None


def test_a_copy_has_the_times_of_this_machine(crm: Paths, postgresql_url: str) -> None:
    expires_at, *_ = token_file.parse_header(token_file.read(crm.token_file("crm")))
    execute(
        postgresql_url,
        "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
        "$$ SELECT pg_catalog.clock_timestamp() - interval '10 minutes' $$",
    )
    crm.given_database_url = f"{postgresql_url}&options=-csearch_path%3Dpublic,pg_catalog"
    shared_store.confirm_copy(crm, "crm", Vault.open(crm).key)
    later, *_ = token_file.parse_header(token_file.read(crm.token_file("crm")))
    assert abs(later - expires_at - 600) < 5


def test_a_server_that_answers_slowly_says_nothing_about_the_clock() -> None:
    assert shared_store.clock_difference(100, 100.5, 700.25) == 600
    assert shared_store.clock_difference(100, 102, 701) is None
    assert shared_store.clock_difference(100, 99, 700) is None


@over_rows(
    "url",
    [
        "postgresql://anna:s3cret@db.example.com/wizard",
        "postgresql://anna@localhost/wizard?password=s3cret",
        "postgresql://anna@localhost/wizard?sslpassword=s3cret",
        "postgresql://:s3cret@/wizard?host=/run/postgresql",
    ],
)
def test_a_url_with_a_password_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(WizardError) as caught:
        Address.parse(url)
    assert caught.value.failure.code == "database-password-in-url"
    assert "s3cret" not in str(vars(caught.value.failure))


@over_rows(
    ("url", "mode"),
    [
        ("postgresql://db.example.com/wizard", "verify-full"),
        ("postgresql://db.example.com/wizard?sslmode=verify-full", "verify-full"),
        ("postgresql://localhost,db.example.com/wizard", "verify-full"),
        ("postgresql:///wizard?service=team", "verify-full"),
        ("postgresql://localhost/wizard?hostaddr=192.0.2.7", "verify-full"),
        ("postgresql://db.example.com/wizard?tls=unverified", "require"),
        ("postgresql://db.example.com/wizard?sslmode=disable&tls=unverified", "disable"),
        ("postgresql://localhost/wizard", None),
        ("postgresql://127.0.0.1:5433/wizard", None),
        ("postgresql://[::1]/wizard", None),
        ("postgresql:///wizard?host=/run/postgresql", None),
        ("postgres:///wizard", None),
    ],
)
def test_another_machine_must_prove_that_it_is_the_server(url: str, mode: str | None) -> None:
    parameters = Address.parse(url).parameters
    assert parameters.get("sslmode") == mode
    assert "tls" not in parameters


@over_rows("mode", ["require", "prefer", "allow", "disable", "verify-ca"])
def test_a_weaker_check_of_another_machine_is_refused(mode: str) -> None:
    with raises_failure("database-tls-unverified"):
        Address.parse(f"postgresql://db.example.com/wizard?sslmode={mode}")


@over_rows(
    "url",
    [
        *("wizard", "mysql://localhost/wizard", "postgresql://x/y?nonsense=1", "host=x"),
        # Messages show the host, the port and the name: no part of a password.
        *("postgresql://me:pass/word@localhost/wizard", "postgresql://me:1234/word@localhost/y"),
    ],
)
def test_what_is_no_url_of_a_database_is_refused(url: str) -> None:
    with raises_failure("database-url-malformed"):
        Address.parse(url)
