"""The keyring, with real backends of keyring's own making: good, bad and plain text in disguise."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring import errors
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from made import refused

from wizard import home as homes
from wizard.errors import WizardError, explain
from wizard.home import Home
from wizard.vault import Vault
from wizard.vault.keys import PATIENCE_SECONDS, SERVICE


class InMemory(KeyringBackend):
    """A keyring in order, that keeps what it is given in this process."""

    priority: float = 5
    name = "a keyring in memory"

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password


class PlainText(InMemory):
    priority = 0.5


class Alternative(InMemory):
    """As a collection of stand-ins has them: files, whatever they say of themselves."""

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


class Hanging(InMemory):
    released = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.released.wait()
        return None


class Chain(InMemory):
    """As keyring's chainer: it would write to whichever of its backends comes first."""

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


def use(backend: KeyringBackend) -> KeyringBackend:
    keyring.set_keyring(backend)
    return backend


def test_a_real_keyring_keeps_the_key_and_no_file_does(home: Home) -> None:
    kept = InMemory()
    use(kept)
    vault = Vault.open(home)
    assert (vault.where.kind, vault.where.strength) == ("keyring", "strong")
    assert vault.where.detail == "a keyring in memory"
    assert not os.path.exists(home.key_file)
    Path(home.database).touch()
    assert Vault.open(home).key == vault.key
    [(service, _)] = kept.entries
    assert service == SERVICE


def test_a_keyring_entry_has_at_most_64_bytes(home: Home) -> None:
    kept = InMemory()
    use(kept)
    Vault.open(home)
    [text] = kept.entries.values()
    assert len(text.encode()) <= 64


def test_live_and_sandbox_never_share_a_key(tmp_path: Path) -> None:
    kept = InMemory()
    use(kept)
    live = {"ZOHO_WIZARD_HOME": str(tmp_path)}
    keys = set()
    for environ in (live, {**live, "ZOHO_WIZARD_ZOHO": "http://127.0.0.1:8730"}):
        home = homes.locate(environ)
        home.prepare()
        keys.add(Vault.open(home).key)
    assert len(keys) == len(kept.entries) == 2


@pytest.mark.parametrize(
    "backend", [Locked(), Broken(), Forgetful(), null.Keyring(), fail.Keyring()]
)
def test_without_a_working_keyring_the_first_start_makes_a_weak_key_file(
    home: Home, backend: KeyringBackend
) -> None:
    use(backend)
    vault = Vault.open(home)
    assert (vault.where.kind, vault.where.strength) == ("key-file", "weak")
    assert Vault.open(home).key == vault.key


def test_plain_text_in_disguise_is_never_given_the_key(home: Home) -> None:
    plain = PlainText()
    use(plain)
    assert Vault.open(home).where.kind == "key-file"
    assert plain.entries == {}


def test_a_stand_in_for_a_keyring_is_never_given_the_key(home: Home) -> None:
    stand_in = Alternative()
    use(stand_in)
    assert Vault.open(home).where.kind == "key-file"
    assert stand_in.entries == {}


def test_a_chain_of_keyrings_uses_the_first_real_one(home: Home) -> None:
    plain, kept = PlainText(), InMemory()
    use(Chain(plain, kept))
    assert Vault.open(home).where.kind == "keyring"
    assert (len(plain.entries), len(kept.entries)) == (0, 1)


@pytest.mark.parametrize(
    ("backend", "code", "told"),
    [
        (Locked(), "keyring-locked", "is locked"),
        (Broken(), "keyring-locked", "failed when it was asked"),
        (null.Keyring(), "key-missing", "this session has no keyring"),
        (fail.Keyring(), "key-missing", "this session has no keyring"),
    ],
)
def test_a_keyring_that_fails_later_changes_nothing_and_is_told_as_it_is(
    home: Home, backend: KeyringBackend, code: str, told: str
) -> None:
    use(InMemory())
    Vault.open(home)
    Path(home.database).touch()
    use(backend)
    with pytest.raises(WizardError) as caught:
        Vault.open(home)
    found = explain(caught.value.failure)
    assert found.code == code
    assert told in found.cause
    assert home.key_file in found.cause
    assert not os.path.exists(home.key_file)


def test_a_keyring_that_lost_the_key_gets_no_new_one(home: Home) -> None:
    emptied = InMemory()
    use(emptied)
    Path(home.database).touch()
    with refused("key-missing"):
        Vault.open(home)
    assert emptied.entries == {}


def test_a_keyring_that_holds_something_else_is_refused(home: Home) -> None:
    kept = InMemory()
    use(kept)
    Vault.open(home)
    kept.entries = dict.fromkeys(kept.entries, "something else")
    with refused("key-unreadable"):
        Vault.open(home)


def test_a_keyring_that_hangs_is_given_three_seconds(home: Home) -> None:
    use(Hanging())
    Path(home.database).touch()
    begun = time.monotonic()
    with refused("keyring-locked"):
        Vault.open(home)
    # It hangs for ever: that an answer came at all is its end. How late is the machine's affair.
    assert time.monotonic() - begun >= PATIENCE_SECONDS


def test_a_key_file_from_before_goes_on_being_used(home: Home, vault: Vault) -> None:
    use(InMemory())
    assert Vault.open(home).key == vault.key
