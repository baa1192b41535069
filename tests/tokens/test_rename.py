"""Rename a connection: everything bound to the name follows, or nothing changes."""

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from support.delivery import deliver, raises_failure, reauthorize
from support.harness import Harness
from support.reauthorization import add_verified_connection
from support.shell import Shell
from support.tokens import current_grant, token_failure

from wizard.authorization import CompletedAttempt
from wizard.fastpath.commands import cached_token
from wizard.locks import hold_lock
from wizard.model import Failure, GrantState
from wizard.store import AccessPermission, KeyPermission, SharedGrant, schema
from wizard.store.transfers import insert_shared_grant

MENTIONS = re.compile(r"""['" ]acme['" ]""")
"""The old name as a value: of a column, in JSON, or in a text."""
TABLES = [each.name for each in schema.metadata.tables.values() if "connection" in each.c]


def rename(harness: Harness, name: str = "crm", new_name: str = "crm-eu") -> None:
    harness.services.tokens.rename_connection(name, new_name)


def counts(harness: Harness, name: str) -> dict[str, int]:
    """How many rows each table has for a connection."""
    with closing(sqlite3.connect(harness.services.paths.database)) as c:
        query = "SELECT count(*) FROM {} WHERE connection = ?"
        return {each: c.execute(query.format(each), [name]).fetchone()[0] for each in TABLES}


def content(harness: Harness) -> str:
    """The database as SQL, without its events."""
    with closing(sqlite3.connect(harness.services.paths.database)) as c:
        return "\n".join(line for line in c.iterdump() if 'INTO "events"' not in line)


def fill_every_table(harness: Harness, directory: Path) -> None:
    """Store a row of connection ``acme`` in each table that refers to connections."""
    store, now = harness.services.store, harness.now()
    add_verified_connection(harness, "acme", harness.register_client("Zylker"))
    target = directory / ".env"
    target.write_text("DEBUG=1\n")
    deliver(harness, "dotenv", target, connection="acme")
    reauthorize(harness, "acme")
    harness.services.reauthorization.begin(["acme"])
    harness.services.reauthorization.skip("acme")
    store.access_permissions.add(AccessPermission("acme", 4711, "www-data", now))
    store.key_permissions.add(KeyPermission("acme", "SHA256:abc", "deploy@web1", now))
    token = harness.services.tokens.access_token("acme")
    harness.services.tokens.access_token("acme", rejected=token.value)
    with store.database.write() as c:
        insert_shared_grant(c, SharedGrant("acme", 2, "anna@old", now))
    store.monitoring.record_notified(
        ["refresh-token-rejected acme 2", "refresh-token-rejected books 1"], now
    )
    failure = Failure("refresh-token-rejected", details={"name": "acme"})
    store.grants.set_state("acme", 1, GrantState.REPLACED, failure)


@pytest.mark.local_store
def test_every_row_has_the_new_name_and_every_secret_can_be_read(
    harness: Harness, tmp_path: Path
) -> None:
    fill_every_table(harness, tmp_path)
    store = harness.services.store
    before = counts(harness, "acme")
    assert all(before.values()), before
    grants, destinations = store.grants.of_connection("acme"), store.destinations.all("acme")
    left = harness.services.request_log.view("acme").token_requests_left

    rename(harness, "acme", "acme-eu")

    past = {"events": before["events"]}
    assert counts(harness, "acme") == {**dict.fromkeys(before, 0), **past}, "it's only added to"
    assert counts(harness, "acme-eu") == {**before, "events": 1}
    assert [each for each in content(harness).splitlines() if MENTIONS.search(each)] == []
    renamed = store.grants.of_connection("acme-eu")
    assert [e.refresh_token for e in renamed] == [e.refresh_token for e in grants]
    assert [e.previous_content for e in store.destinations.all("acme-eu")] == [
        e.previous_content for e in destinations
    ]
    assert store.monitoring.notified().keys() == {
        "refresh-token-rejected acme-eu 2",
        "refresh-token-rejected books 1",
    }
    assert harness.services.request_log.view("acme-eu").token_requests_left == left
    renaming, *earlier = store.events.of_connection("acme-eu")
    assert renaming.details["previous_name"] == "acme"
    assert {each.connection for each in earlier} == {"acme"}


def test_the_token_is_served_only_under_the_new_name(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    token = shell_harness.services.tokens.access_token("crm")
    now = shell_harness.now().timestamp()
    rename(shell_harness)
    assert cached_token("crm", shell.environment, now) is None
    moved = cached_token("crm-eu", shell.environment, now)
    assert moved is not None
    assert moved.access_token == token.value
    shell_harness.controls.clear_journal()
    assert shell.run("token", "crm-eu").stdout == f"{token.value}\n"
    assert "(unknown-connection)" in shell.run("token", "crm").stderr
    assert shell_harness.refresh_requests() == []
    shell_harness.advance(minutes=2)
    refreshed = shell_harness.services.tokens.access_token("crm-eu", force_refresh=True)
    assert refreshed.value != token.value
    assert len(shell_harness.refresh_requests()) == 1


def test_a_name_may_change_its_capital_letters(harness: Harness) -> None:
    harness.add_verified_connection()
    token = harness.services.tokens.access_token("crm")
    rename(harness, "crm", "CRM")
    assert harness.services.tokens.access_token("CRM").value == token.value
    assert token_failure(harness, "crm").code == "unknown-connection"


@pytest.mark.parametrize(
    ("name", "new_name", "code"),
    [
        ("crm", "Books", "connection-exists"),
        ("crm", "crm", "same-name"),
        ("crm", "../crm", "bad-name"),
        ("crm", "new", "bad-name"),
        ("desk", "sales", "unknown-connection"),
        ("CRM", "sales", "unknown-connection"),
    ],
)
def test_a_taken_or_invalid_name_changes_nothing(
    harness: Harness, name: str, new_name: str, code: str
) -> None:
    harness.add_verified_connection("crm")
    harness.add_verified_connection("books")
    token, before = harness.services.tokens.access_token("crm"), content(harness)
    with raises_failure(code):
        rename(harness, name, new_name)
    assert content(harness) == before
    assert harness.services.tokens.access_token("crm").value == token.value
    assert harness.services.tokens.cached_token(current_grant(harness)) == token


@pytest.mark.local_store
def test_a_damaged_secret_leaves_everything_under_the_old_name(harness: Harness) -> None:
    harness.add_verified_connection()
    reauthorize(harness)
    token = harness.services.tokens.access_token("crm")
    with closing(sqlite3.connect(harness.services.paths.database)) as c, c:
        c.execute("UPDATE grants SET refresh_token = x'00' WHERE generation = 1")
    before = content(harness)
    with raises_failure("sealed-record-damaged"):
        rename(harness)
    assert content(harness) == before
    assert harness.services.tokens.cached_token(current_grant(harness)) == token


def test_a_connection_that_is_being_reauthorized_keeps_its_name(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.reauthorization.begin(["crm"])
    with raises_failure("rename-during-reauthorization"):
        rename(harness)
    harness.services.reauthorization.skip("crm")
    rename(harness)
    assert harness.services.tokens.access_token("crm-eu")


@pytest.mark.parametrize(
    ("suffix", "code"), [(".verify", "verification-under-way"), (".exchange", "exchange-under-way")]
)
def test_a_connection_that_is_in_use_by_another_process_keeps_its_name(
    harness: Harness, suffix: str, code: str
) -> None:
    harness.add_verified_connection()
    path = f"{harness.services.paths.lock_file('crm')}{suffix}"
    with hold_lock(path, 0, "", ""), raises_failure(code):
        rename(harness)
    rename(harness)


def test_an_open_consent_is_completed_under_the_new_name(harness: Harness) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    url = harness.give_consent(begun)
    rename(harness)
    done = harness.complete_authorization(begun, url)
    assert (done.connection, done.generation) == ("crm-eu", 1)


def test_a_callback_that_waits_for_the_rename_loses_no_grant(harness: Harness) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    url, has_read, done = harness.give_consent(begun), threading.Event(), list[CompletedAttempt]()

    def note(*received: str) -> None:
        if "oauth_state_hash = " in received[2]:
            has_read.set()

    engine = harness.services.store.database.engine
    event.listen(engine, "after_cursor_execute", note)
    callback = threading.Thread(
        target=lambda: done.append(harness.complete_authorization(begun, url))
    )
    lock = f"{harness.services.paths.lock_file('crm')}.exchange"
    with hold_lock(lock, 0, "", ""):
        callback.start()
        assert has_read.wait(30)
        harness.services.store.connections.rename("crm", "crm-eu")
    callback.join(30)
    assert [(each.connection, each.generation) for each in done] == [("crm-eu", 1)]
