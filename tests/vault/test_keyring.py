"""The keyring, with real backends: working, failing, and plain text in disguise."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import keyring
import pytest
from keyring import errors
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from support.records import CLIENT_ID, NOW, add_connections, raises_failure

from wizard import paths as wizard_paths
from wizard.errors import WizardError, explain
from wizard.paths import Paths
from wizard.store import Store
from wizard.store.key_rotation import rotate_encryption_key
from wizard.vault import KEYRING_SERVICE, KEYRING_TIMEOUT_SECONDS, Vault


class InMemory(KeyringBackend):
    """A working keyring that stores values in this process."""

    priority: float = 5
    name = "a keyring in memory"

    def __init__(self) -> None:
        KeyringBackend.__init__(self)
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class PlainText(InMemory):
    priority = 0.5


class Alternative(InMemory):
    """Like an alternative backend: files, whatever it claims to be."""

    __module__ = "keyrings.alt.file"


class Forgetful(InMemory):
    def get_password(self, service: str, username: str) -> str | None:
        return None


class Locked(InMemory):
    def get_password(self, service: str, username: str) -> str | None:
        raise errors.KeyringLocked("somebody must type a password")


class Broken(InMemory):
    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("no such bus")


class Refusing(InMemory):
    """Refuses one operation on the entry of a new key."""

    refused = ""

    def _refuse(self, operation: str, username: str) -> None:
        if (operation, username.endswith(" (new)")) == (self.refused, True):
            raise errors.KeyringError("not now")

    def get_password(self, service: str, username: str) -> str | None:
        self._refuse("get", username)
        return super().get_password(service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self._refuse("set", username)
        super().set_password(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        self._refuse("delete", username)
        super().delete_password(service, username)


class Hanging(InMemory):
    released = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.released.wait()
        return None


class Chain(InMemory):
    """Like keyring's chainer, which writes to the first of its backends."""

    def __init__(self, *backends: KeyringBackend) -> None:
        super().__init__()
        self.backends = backends


@pytest.fixture(autouse=True)
def keyring_of_this_system() -> Iterator[None]:
    before = keyring.get_keyring()
    Hanging.released.clear()
    yield
    Hanging.released.set()
    keyring.set_keyring(before)


def set_keyring_backend(backend: KeyringBackend) -> KeyringBackend:
    keyring.set_keyring(backend)
    return backend


def test_a_real_keyring_stores_the_key_and_no_file_does(paths: Paths) -> None:
    kept = InMemory()
    set_keyring_backend(kept)
    vault = Vault.open(paths)
    assert (vault.key_storage.kind, vault.key_storage.strength) == ("keyring", "strong")
    assert vault.key_storage.detail == "a keyring in memory"
    assert not os.path.exists(paths.key_file)
    Path(paths.database).touch()
    assert Vault.open(paths).key == vault.key
    [(service, _)] = kept.entries
    assert service == KEYRING_SERVICE


def test_a_keyring_entry_has_at_most_64_bytes(paths: Paths) -> None:
    kept = InMemory()
    set_keyring_backend(kept)
    Vault.open(paths)
    [text] = kept.entries.values()
    assert len(text.encode()) <= 64


def test_live_and_simulator_never_share_a_key(tmp_path: Path) -> None:
    kept = InMemory()
    set_keyring_backend(kept)
    live = {"ZOHO_WIZARD_HOME": str(tmp_path)}
    keys = set()
    for environ in (live, {**live, "ZOHO_WIZARD_SIMULATOR_URL": "http://127.0.0.1:8730"}):
        paths = wizard_paths.locate(environ)
        paths.prepare()
        keys.add(Vault.open(paths).key)
    assert len(keys) == len(kept.entries) == 2


@pytest.mark.parametrize(
    "backend", [Locked(), Broken(), Forgetful(), null.Keyring(), fail.Keyring()]
)
def test_without_a_working_keyring_the_first_start_makes_a_weak_key_file(
    paths: Paths, backend: KeyringBackend
) -> None:
    set_keyring_backend(backend)
    vault = Vault.open(paths)
    assert (vault.key_storage.kind, vault.key_storage.strength) == ("key-file", "weak")
    assert Vault.open(paths).key == vault.key


def test_a_disguised_plain_text_keyring_never_gets_the_key(paths: Paths) -> None:
    plain = PlainText()
    set_keyring_backend(plain)
    assert Vault.open(paths).key_storage.kind == "key-file"
    assert plain.entries == {}


def test_a_placeholder_keyring_never_gets_the_key(paths: Paths) -> None:
    placeholder = Alternative()
    set_keyring_backend(placeholder)
    assert Vault.open(paths).key_storage.kind == "key-file"
    assert placeholder.entries == {}


def test_a_chain_of_keyrings_uses_the_first_real_one(paths: Paths) -> None:
    plain, kept = PlainText(), InMemory()
    set_keyring_backend(Chain(plain, kept))
    assert Vault.open(paths).key_storage.kind == "keyring"
    assert (len(plain.entries), len(kept.entries)) == (0, 1)


@pytest.mark.parametrize(
    ("backend", "code", "sentence"),
    [
        (Locked(), "keyring-locked", "is locked"),
        (Broken(), "keyring-locked", "failed when it was asked"),
        (null.Keyring(), "key-missing", "this session has no keyring"),
        (fail.Keyring(), "key-missing", "this session has no keyring"),
    ],
)
def test_a_keyring_that_fails_later_changes_nothing_and_is_reported(
    paths: Paths, backend: KeyringBackend, code: str, sentence: str
) -> None:
    set_keyring_backend(InMemory())
    Vault.open(paths)
    Path(paths.database).touch()
    set_keyring_backend(backend)
    with pytest.raises(WizardError) as caught:
        Vault.open(paths)
    found = explain(caught.value.failure)
    assert found.code == code
    assert sentence in found.cause
    assert paths.key_file in found.cause
    assert not os.path.exists(paths.key_file)


def test_a_keyring_that_lost_the_key_gets_no_new_one(paths: Paths) -> None:
    emptied = InMemory()
    set_keyring_backend(emptied)
    Path(paths.database).touch()
    with raises_failure("key-missing"):
        Vault.open(paths)
    assert emptied.entries == {}


def test_a_keyring_with_an_invalid_value_is_refused(paths: Paths) -> None:
    kept = InMemory()
    set_keyring_backend(kept)
    Vault.open(paths)
    kept.entries = dict.fromkeys(kept.entries, "something else")
    with raises_failure("key-unreadable"):
        Vault.open(paths)


def test_a_keyring_that_hangs_is_abandoned_after_three_seconds(paths: Paths) -> None:
    set_keyring_backend(Hanging())
    Path(paths.database).touch()
    begun = time.monotonic()
    with raises_failure("keyring-locked"):
        Vault.open(paths)
    # It hangs forever: any result shows that the wait ended. How late depends on the machine.
    assert time.monotonic() - begun >= KEYRING_TIMEOUT_SECONDS


def test_an_existing_key_file_remains_in_use(paths: Paths, vault: Vault) -> None:
    set_keyring_backend(InMemory())
    assert Vault.open(paths).key == vault.key


def test_a_rotation_replaces_the_key_in_the_keyring(paths: Paths) -> None:
    backend = InMemory()
    set_keyring_backend(backend)
    vault = Vault.open(paths)
    store = Store.open(paths, vault, "live")
    add_connections(store)
    [((service, entry), old)] = backend.entries.items()
    rotate_encryption_key(paths, store, vault, lambda: NOW)
    store.close()
    [(key, new)] = backend.entries.items()
    assert (key, new == old) == ((service, entry), False)
    assert not Path(paths.key_file).exists()
    # Killed while a keyring had deleted the old entry, but not yet written the new one.
    backend.entries = {(service, f"{entry} (new)"): new}
    Store.open(paths, Vault.open(paths), "live").close()


@pytest.mark.parametrize("refused", ["get", "set", "delete"])
def test_a_keyring_that_refuses_a_new_key_loses_nothing(paths: Paths, refused: str) -> None:
    backend = Refusing()
    set_keyring_backend(backend)
    vault = Vault.open(paths)
    store = Store.open(paths, vault, "live")
    add_connections(store)
    before, backend.refused = dict(backend.entries), refused
    with raises_failure("key-not-stored"):
        rotate_encryption_key(paths, store, vault, lambda: NOW)
    backend.refused = ""
    assert refused == "delete" or backend.entries == before
    with closing(Store.open(paths, Vault.open(paths), "live")) as newest:
        assert newest.clients.get(CLIENT_ID).secrets[0].value == "s3cret"
    completes_earlier = refused == "delete"
    rotated = rotate_encryption_key(paths, store, vault, lambda: NOW)
    assert (rotated.completes_earlier, len(backend.entries)) == (completes_earlier, 1)
    store.close()
