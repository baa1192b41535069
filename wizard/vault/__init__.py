"""The vault: the encryption key of a data directory, its storage, and the values sealed with it.

The key is in the operating system's keyring, in a credential that systemd gives to a service, or
in a private file. A keyring may be missing,
locked, waiting at an invisible prompt, or only a plain text file. So it is called in a thread with
a timeout, and only a real one gets the key.
"""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from wizard import files
from wizard.errors import WizardError, fail, message
from wizard.fastpath import cipher
from wizard.locks import ExclusiveLock
from wizard.model import Failure
from wizard.model.failure import codes_with
from wizard.paths import Paths
from wizard.vault import labels

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

KEYRING_TIMEOUT_SECONDS = 3.0
"""A working keyring answers in milliseconds."""
KEYRING_SERVICE = "zoho-wizard"
NEW_KEY_SUFFIX = " (new)"
"""Of the keyring's entry for the new key, during a rotation."""
NEW_KEY_FILE_SUFFIX = ".new"
MIN_BACKEND_PRIORITY = 1  # keyring's own recommendation; null, fail and plain text are below

NO_KEY_OUTCOMES = ("not-asked", "empty", "absent")
"""Results from the keyring that waiting, or unlocking it, wouldn't change."""

_LOCK_TIMEOUT_SECONDS = 3 * KEYRING_TIMEOUT_SECONDS
"""The process that creates the key may wait for a keyring."""


@dataclass(frozen=True)
class KeyStorage:
    """Where the key is, and how well it is protected."""

    kind: str
    """``keyring``, ``systemd-credential`` or ``key-file``."""
    strength: str
    """``strong``: only the user's session or the service can read it; ``weak``: anyone who can read
    the user's files."""
    detail: str
    """The keyring's name, or the path of the file."""
    stronger_options: tuple[str, ...] = ()
    """Failure codes that describe stronger storage."""


class KeyringUnavailable(Exception):
    """No real keyring responded in time; the text is a key of the message table
    ``keyring-states``."""


class Keyring:
    """This data directory's entry in the operating system's keyring."""

    def __init__(self, paths: Paths, suffix: str = "") -> None:
        # Live and simulator, and two data directories of one user, must never share a key.
        self._entry = f"{'simulator' if paths.simulator_url else 'live'} {paths.data_dir}{suffix}"

    def read(self) -> tuple[str | None, str]:
        """Return the entry, None if there is none, and the keyring's name.

        Raises `KeyringUnavailable`.
        """

        def read_entry() -> tuple[str | None, str]:
            backend = _backend()
            return backend.get_password(KEYRING_SERVICE, self._entry), str(backend.name)

        return _with_timeout(read_entry)

    @property
    def label(self) -> str:
        """The names of the service and of the entry."""
        return f"{KEYRING_SERVICE}: {self._entry}"

    def delete(self) -> None:
        """Delete the entry. Raises `KeyringUnavailable`."""
        _with_timeout(lambda: _backend().delete_password(KEYRING_SERVICE, self._entry))

    def write(self, text: str) -> str:
        """Store ``text``, read it back, and return the keyring's name.

        Raises `KeyringUnavailable`.
        """

        def write_entry() -> str:
            backend = _backend()
            backend.set_password(KEYRING_SERVICE, self._entry, text)
            if backend.get_password(KEYRING_SERVICE, self._entry) != text:
                raise KeyringUnavailable("forgetful")
            return str(backend.name)

        return _with_timeout(write_entry)


def _backend() -> "KeyringBackend":
    """The best real keyring. keyring is imported on use, because that takes 0.2 s."""
    import keyring

    chosen = keyring.get_keyring()
    # The chainer writes to the first of its backends that accepts the key.
    for backend in getattr(chosen, "backends", [chosen]):
        plain = type(backend).__module__.startswith("keyrings.alt")
        if not plain and backend.priority >= MIN_BACKEND_PRIORITY:
            return cast("KeyringBackend", backend)
    raise KeyringUnavailable("absent")


def _with_timeout(operation: Callable[[], T]) -> T:
    """Return what ``operation`` returns; raises `KeyringUnavailable` if it fails or takes too
    long."""
    answers: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(operation())
        except BaseException as error:  # a backend may raise anything
            failures.append(error)

    thread = threading.Thread(target=work, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_TIMEOUT_SECONDS)
    if answers:
        return answers[0]
    if not failures:
        raise KeyringUnavailable("silent")
    if isinstance(failures[0], KeyringUnavailable):
        raise failures[0]
    locked = type(failures[0]).__name__ == "KeyringLocked"
    raise KeyringUnavailable("locked" if locked else "failed") from failures[0]


class Vault:
    """Seals short texts and binds each to its table, row and column."""

    def __init__(
        self,
        key: bytes,
        key_storage: KeyStorage,
        stored_keys: Callable[[], Iterable[bytes]] = tuple,
    ) -> None:
        """``stored_keys`` reads all keys of the data directory again."""
        self.key = key
        self.key_storage = key_storage
        self._stored_keys = stored_keys
        self._tolerates_damage = False
        self._known = {_id_of(key): key}

    def __repr__(self) -> str:
        return f"Vault({self.key_storage!r})"

    @classmethod
    def open(
        cls, paths: Paths, use_keyring: bool = True, *, for_new_store: bool = False
    ) -> "Vault":
        """Open the vault of prepared ``paths``; create its key if there is no database yet.

        Whether there is a shared database isn't known here: its key is created only
        ``for_new_store``. The keyring isn't used with ``use_keyring=False`` or if the user chose
        the key file. Raises ``key-missing``, ``key-of-store-missing``, ``key-unreadable``,
        ``keyring-locked``, or ``store-locked`` if another process takes too long to create the key.
        """
        keyring = Keyring(paths) if use_keyring and not paths.is_key_file_chosen else None
        vault, outcome = _load_existing(paths, keyring)
        if vault is not None:
            return vault
        failure = Failure("store-locked", temporary=True, details={"path": paths.data_dir})
        lock = paths.lock_file(":key")
        with ExclusiveLock(lock, lambda: WizardError(failure), _LOCK_TIMEOUT_SECONDS):
            return _load_or_create(paths, keyring, outcome, for_new_store=for_new_store)

    @classmethod
    def with_key(cls, paths: Paths, key: bytes) -> "Vault":
        """The vault with a key of another machine, which `keep` stores in the key file."""
        return cls(key, KeyStorage("key-file", "weak", paths.key_file))

    def keep(self, paths: Paths, *, replaces: bool = False) -> None:
        """Store the key in the key file. Raises ``key-taken`` if there is a different one that this
        one doesn't replace, ``key-unreadable``."""
        try:
            if replaces:
                files.replace(paths.key_file, _key_line(self.key))
            else:
                _write_key(paths.key_file, self.key)
        except FileExistsError:
            if _from_file(paths).key != self.key:
                raise fail("key-taken", path=paths.key_file) from None
        except OSError as error:
            raise _key_unreadable(paths.key_file, error) from error

    def follow(self, sealed: bytes) -> bool:
        """Use the key that sealed ``sealed``: another process may have rotated the key. False: this
        data directory doesn't have that key."""
        key = self.find_key(sealed)
        if cipher.key_id(sealed) == _id_of(key):
            self.key = key
            return True
        return False

    def tolerant(self) -> "Vault":
        """The same vault for what is only shown: a damaged value is empty, so that one of them
        doesn't hide all the others."""
        vault = copy(self)
        vault._tolerates_damage = True
        return vault

    def seal(self, text: str, table: str, row: str, column: str) -> bytes:
        """Encrypt ``text`` for exactly this row and column."""
        return cipher.encrypt(self.key, text.encode(), _associated_data(table, row, column))

    def unseal(self, blob: bytes, table: str, row: str, column: str) -> str:
        """Decrypt a value of exactly this row and column.

        Raises ``sealed-record-damaged`` if it was modified or moved.
        """
        try:
            return cipher.decrypt(
                self.find_key(blob), blob, _associated_data(table, row, column)
            ).decode()
        except ValueError as error:
            if self._tolerates_damage:
                return ""
            raise fail("sealed-record-damaged", table=table, row=row) from error

    def fingerprint(self, text: str) -> str:
        """A keyed hash (HMAC-SHA256, hexadecimal): the same for the same text."""
        key = hmac.digest(self.key, labels.FINGERPRINT, hashlib.sha256)
        return hmac.digest(key, text.encode(), hashlib.sha256).hex()

    def find_key(self, blob: bytes) -> bytes:
        """The key of this data directory that encrypted ``blob``; the current one if none did."""
        key_id = cipher.key_id(blob)
        if key_id not in self._known:
            for key in self._stored_keys():
                self._known[_id_of(key)] = key
                if _id_of(key) == key_id:
                    break
        return self._known.get(key_id, self.key)


class NewKey:
    """The key that replaces the current one, stored next to it until the rotation is complete."""

    def __init__(self, paths: Paths, vault: Vault) -> None:
        self._path = _new_key_file(paths)
        self._current_path = paths.key_file
        is_in_keyring = vault.key_storage.kind == "keyring"
        self._keyring = Keyring(paths, NEW_KEY_SUFFIX) if is_in_keyring else None
        self._current_keyring = Keyring(paths)

    def read(self) -> bytes | None:
        """The new key of an interrupted rotation; None if there is none. Raises ``key-unreadable``,
        ``key-not-stored``."""
        if self._keyring is None:
            return _load(self._path) if os.path.lexists(self._path) else None
        try:
            text, name = self._keyring.read()
        except KeyringUnavailable as error:
            raise _not_stored(message("keyring-states", str(error))) from error
        return None if text is None else _parse_key(text, name)

    def create(self) -> bytes:
        """Create the new key and store it. Raises ``key-not-stored``."""
        key = cipher.new_key()
        self._store(key, self._keyring, self._path)
        return key

    def promote(self, key: bytes) -> None:
        """Store the new key in place of the current one. Raises ``key-not-stored``."""
        current = self._current_keyring if self._keyring is not None else None
        self._store(key, current, self._current_path)
        try:
            if self._keyring is not None:
                self._keyring.delete()
            else:
                files.remove(self._path)
        except OSError as error:
            raise _not_stored(os.strerror(error.errno or 0)) from error
        except KeyringUnavailable as error:
            raise _not_stored(message("keyring-states", str(error))) from error

    def _store(self, key: bytes, keyring: Keyring | None, path: str) -> None:
        try:
            if keyring is None:
                files.replace(path, _key_line(key))
            else:
                keyring.write(cipher.key_to_text(key))
        except OSError as error:
            raise _not_stored(os.strerror(error.errno or 0)) from error
        except KeyringUnavailable as error:
            raise _not_stored(message("keyring-states", str(error))) from error


def _not_stored(reason: str) -> WizardError:
    return fail("key-not-stored", reason=reason)


def _id_of(key: bytes) -> bytes:
    return key[: cipher.KEY_ID_BYTES]


def _new_key_file(paths: Paths) -> str:
    return paths.key_file + NEW_KEY_FILE_SUFFIX


def _stored_keys(paths: Paths, keyring: Keyring | None) -> Iterator[bytes]:
    """The keys of a data directory, in files and in the keyring. The new key of a rotation becomes
    the current one at any moment, so that one is read again."""
    for path in (paths.key_file, _new_key_file(paths), paths.key_file):
        with suppress(OSError, ValueError):
            yield cipher.load_key(path, paths.is_key_credential)
    if keyring is not None:
        for each in (keyring, Keyring(paths, NEW_KEY_SUFFIX), keyring):
            with suppress(KeyringUnavailable, ValueError):
                yield cipher.key_from_text(each.read()[0] or "")


def _associated_data(table: str, row: str, column: str) -> bytes:
    return "\x00".join((table, row, column)).encode()


def _load_existing(paths: Paths, keyring: Keyring | None) -> tuple[Vault | None, str]:
    """The vault with an existing key, preferably from the key file; and the keyring's result, a key
    of the message table ``keyring-states``."""
    if os.path.lexists(paths.key_file):
        return _from_file(paths, keyring), "not-asked"
    if keyring is None:
        return None, "not-asked"
    try:
        text, name = keyring.read()
        if text is None:  # some keyrings delete an entry before they replace it
            text, name = Keyring(paths, NEW_KEY_SUFFIX).read()
    except KeyringUnavailable as error:
        return None, str(error)
    if text is None:
        return None, "empty"
    return _from_keyring(paths, keyring, _parse_key(text, name), name), ""


def _load_or_create(
    paths: Paths, keyring: Keyring | None, keyring_outcome: str, *, for_new_store: bool
) -> Vault:
    """Under the lock: use the key that another process created meanwhile, otherwise create one, but
    only if there is no database. A keyring that didn't respond isn't asked again."""
    vault, again = _load_existing(paths, keyring if keyring_outcome == "empty" else None)
    if vault is not None:
        return vault
    keyring_outcome = again if keyring_outcome == "empty" else keyring_outcome
    has_store = paths.uses_shared_store or os.path.exists(paths.database)
    if for_new_store or not has_store:
        return _create_key(paths, keyring if keyring_outcome == "empty" else None)
    if paths.uses_shared_store and keyring_outcome in NO_KEY_OUTCOMES:
        raise fail("key-of-store-missing", path=paths.key_file)
    code = "key-missing" if keyring_outcome in NO_KEY_OUTCOMES else "keyring-locked"
    outcome = message("keyring-states", keyring_outcome)
    raise fail(code, path=paths.key_file, database=paths.database, keyring=outcome)


def _create_key(paths: Paths, keyring: Keyring | None) -> Vault:
    """Create the key, in a real keyring if one accepts it, otherwise in the key file."""
    key = cipher.new_key()
    if keyring is not None:
        try:
            name = keyring.write(cipher.key_to_text(key))
            return _from_keyring(paths, keyring, key, name)
        except KeyringUnavailable:
            key = cipher.new_key()  # that keyring may have written the first one anywhere
    try:
        _write_key(paths.key_file, key)
    except OSError as error:
        raise _key_unreadable(paths.key_file, error) from error
    return _from_file(paths, keyring)


def _write_key(path: str, key: bytes) -> None:
    files.create_whole(path, _key_line(key))


def _key_line(key: bytes) -> bytes:
    return f"{cipher.key_to_text(key)}\n".encode("ascii")


def _from_keyring(paths: Paths, keyring: Keyring, key: bytes, name: str) -> Vault:
    return Vault(key, KeyStorage("keyring", "strong", name), lambda: _stored_keys(paths, keyring))


def _from_file(paths: Paths, keyring: Keyring | None = None) -> Vault:
    key = _load(paths.key_file, paths.is_key_credential)
    if paths.is_key_credential:
        storage = KeyStorage("systemd-credential", "strong", paths.key_file)
    else:
        better = codes_with("better_key_storage")
        storage = KeyStorage("key-file", "weak", paths.key_file, better)
    return Vault(key, storage, lambda: _stored_keys(paths, keyring))


def _load(path: str, is_credential: bool = False) -> bytes:
    try:
        return cipher.load_key(path, is_credential)
    except (OSError, ValueError) as error:
        raise _key_unreadable(path, error) from error


def _parse_key(text: str, name: str) -> bytes:
    try:
        return cipher.key_from_text(text)
    except ValueError as error:
        raise fail("key-unreadable", where=name, reason="not a key") from error


def _key_unreadable(path: str, error: Exception) -> WizardError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return fail("key-unreadable", where=path, reason=reason)
