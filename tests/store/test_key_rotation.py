"""The rotation of the encryption key, on both engines."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import LargeBinary
from support.records import (
    CLIENT_ID,
    NOW,
    add_connections,
    add_grant,
    make_attempt,
    raises_failure,
)
from support.storage import either_engine

from wizard import paths as wizard_paths
from wizard.model import RequestKind, TokenRequest
from wizard.paths import Paths
from wizard.store import (
    AccessPermission,
    Destination,
    KeyPermission,
    Store,
    history,
    key_rotation,
    schema,
)
from wizard.store.history import EventFilter
from wizard.store.key_rotation import SEALED_COLUMNS, rotate_encryption_key
from wizard.vault import Vault

database_url = either_engine


def rotate(paths: Paths, store: Store, vault: Vault) -> key_rotation.KeyRotation:
    return rotate_encryption_key(paths, store, vault, lambda: NOW)


@contextmanager
def other_process(paths: Paths) -> Iterator[tuple[Store, Vault]]:
    vault = Vault.open(paths, use_keyring=False)
    store = Store.open(paths, vault, "live")
    yield store, vault
    store.close()


def refresh_token(store: Store) -> str:
    grant = store.grants.candidate("crm")
    return grant.refresh_token if grant else ""


def test_every_sealed_column_is_sealed_again() -> None:
    sealed = {
        (table.name, column.name)
        for table in schema.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    others = {("installation", "key_check"), ("access_tokens", "sealed")}
    assert {(each.table.name, each.column) for each in SEALED_COLUMNS} | others == sealed


def test_everything_opens_with_the_new_key_and_nothing_with_the_old_one(
    paths: Paths, store: Store, vault: Vault
) -> None:
    add_connections(store)
    add_grant(store)
    store.attempts.add(make_attempt("open"))
    store.monitoring.set_notify_command("notify --key s3cret")
    chosen = store.destinations.add(
        Destination("crm", "dotenv", "/srv/.env", field_names={"a": "b"})
    )
    store.access_permissions.add(AccessPermission("crm", 1000, "www-data", NOW))
    store.key_permissions.add(KeyPermission("crm", "SHA256:abc", "deploy@web1", NOW))
    old = Vault(vault.key, vault.key_storage)
    cached = Path(paths.token_file("crm"))
    cached.write_bytes(b"sealed with the old key")
    rotated = rotate(paths, store, vault)
    assert (rotated.completes_earlier, vault.key == old.key) == (False, False)
    assert not cached.exists()
    assert not Path(paths.key_file + ".new").exists()
    with other_process(paths) as (other, _):
        assert refresh_token(other) == "1000.refresh"
        assert other.clients.get(CLIENT_ID).secrets[0].value == "s3cret"
        assert other.attempts.find_by_state("state-of-open") is not None
        assert other.monitoring.notify_command() == "notify --key s3cret"
        other.destinations.require_unaltered(chosen)
        assert other.access_permissions.exists("crm", 1000)
        assert len(other.key_permissions.of_key("SHA256:abc")) == 1
        assert list(other.events.search(EventFilter(kinds=[key_rotation.EVENT])))
    code = "key-of-store-rotated" if store.database.is_shared else "key-wrong"
    with raises_failure(code):
        Store.open(paths, old, "live")


def test_a_process_that_ran_meanwhile_continues_with_the_new_key(
    paths: Paths, store: Store, vault: Vault
) -> None:
    add_connections(store)
    with other_process(paths) as (other, other_vault):
        rotate(paths, store, vault)
        other.attempts.add(make_attempt("later"))
        add_grant(other, "1000.later")
        assert other_vault.key == vault.key
        assert other.attempts.find_by_state("state-of-later") is not None
        assert other.clients.get(CLIENT_ID).secrets[0].value == "s3cret"
    with other_process(paths) as (newest, _):
        assert refresh_token(newest) == "1000.later"


@pytest.mark.slow
def test_a_callback_during_a_rotation_finds_its_attempt(
    paths: Paths, store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_connections(store)
    store.attempts.add(make_attempt("open"))
    with other_process(paths) as (other, other_vault):
        follow = other_vault.follow

        def follow_and_rotate(sealed: bytes) -> bool:
            try:
                return follow(sealed)
            finally:
                monkeypatch.undo()
                rotate(paths, store, vault)

        monkeypatch.setattr(other_vault, "follow", follow_and_rotate)
        found = other.attempts.find_by_state("state-of-open")
        assert found is not None
        assert found.oauth_state == "state-of-open"


def test_a_process_without_the_new_key_writes_nothing(
    paths: Paths, store: Store, vault: Vault
) -> None:
    add_connections(store)
    stale = Store.open(paths, Vault(vault.key, vault.key_storage), "live")
    rotate(paths, store, vault)
    code = "key-of-store-rotated" if store.database.is_shared else "key-wrong"
    with raises_failure(code):
        stale.attempts.add(make_attempt("stale"))
    with raises_failure(code):
        stale.request_log.add(make_request())
    stale.close()


def make_request() -> TokenRequest:
    return TokenRequest(RequestKind.REFRESH, NOW, "eu", CLIENT_ID, "crm", 1)


def test_the_key_is_not_replaced_while_zoho_has_not_answered(
    paths: Paths, store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "QUIET_TIMEOUT_SECONDS", 0)
    add_connections(store)
    request = store.request_log.add(make_request())
    key = vault.key
    with raises_failure("requests-under-way"):
        rotate(paths, store, vault)
    assert vault.key == key
    later = NOW + timedelta(minutes=2)
    assert rotate_encryption_key(paths, store, vault, lambda: later).sealed_values
    store.request_log.finish(request, "ok")
    assert rotate(paths, store, vault).sealed_values


@pytest.mark.slow
def test_a_rotation_that_is_killed_at_any_step_leaves_everything_readable(
    tmp_path: Path, database_url: str
) -> None:
    script = Path(__file__).parent.parent / "support" / "killed_rotation.py"
    command = [sys.executable, str(script), str(tmp_path / "home"), database_url]
    env = {**os.environ, "PYTHONPATH": str(script.parent.parent)}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    *killed, complete = json.loads(done.stdout)
    assert [each[0] for each in (*killed, complete)] == [True] * len(killed) + [False]
    assert len(killed) >= 8, "before and after each file and each commit"
    values = ["1000.refresh", "s3cret", "verifier-canary", "notify --key s3cret"]
    for _, error, after, again, completed in (*killed, complete):
        assert (error, again) == (None, [0, None])
        assert after[:-1] == values
        assert completed == [*values, False], "and the old key is gone"
    assert {each[2][-1] for each in killed} == {True, False}


def test_a_new_key_that_cannot_be_stored_loses_nothing(
    paths: Paths, store: Store, vault: Vault
) -> None:
    add_connections(store)
    add_grant(store)
    place, key_file = Path(paths.config_dir), Path(paths.key_file)

    def rotate_in_vain() -> None:
        with raises_failure("key-not-stored"):
            rotate(paths, store, vault)

    place.rename(f"{place}.aside")  # nothing is sealed with it
    rotate_in_vain()
    Path(f"{place}.aside").rename(place)
    key_file.rename(f"{key_file}.aside")  # everything is
    key_file.mkdir()
    rotate_in_vain()
    key_file.rmdir()
    Path(f"{key_file}.aside").rename(key_file)
    with other_process(paths) as (other, _):
        assert refresh_token(other) == "1000.refresh"
    assert rotate(paths, store, vault).completes_earlier
    assert os.listdir(place) == [key_file.name]


def test_a_key_that_was_given_is_refused(store: Store, vault: Vault, tmp_path: Path) -> None:
    given = {"ZOHO_WIZARD_HOME": str(tmp_path), "ZOHO_WIZARD_KEY_FILE": str(tmp_path / "given")}
    with raises_failure("key-given"):
        rotate(wizard_paths.locate(given), store, vault)
