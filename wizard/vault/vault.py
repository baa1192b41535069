"""The encryption key of a data directory, and the values sealed with it."""

import hashlib
import hmac
import os

from wizard.errors import WizardError, fail, message
from wizard.fastpath import cipher
from wizard.locks import ExclusiveLock
from wizard.model import Failure
from wizard.model.failure import codes_with
from wizard.paths import Paths
from wizard.vault import labels
from wizard.vault.keys import (
    KEYRING_TIMEOUT_SECONDS,
    Keyring,
    KeyringUnavailable,
    KeyStorage,
    write_key_file,
)

NO_KEY_OUTCOMES = ("not-asked", "empty", "absent")
"""Results from the keyring that waiting, or unlocking it, wouldn't change."""

_LOCK_TIMEOUT_SECONDS = (
    3 * KEYRING_TIMEOUT_SECONDS
)  # the process that creates the key may wait for a keyring


class Vault:
    """Seals short texts and binds each to its table, row and column."""

    def __init__(self, key: bytes, key_storage: KeyStorage) -> None:
        self.key = key
        self.key_storage = key_storage
        self._fingerprint_key = hmac.digest(key, labels.FINGERPRINT, hashlib.sha256)

    def __repr__(self) -> str:
        return f"Vault({self.key_storage!r})"

    @classmethod
    def open(cls, paths: Paths, use_keyring: bool = True) -> "Vault":
        """Open the vault of prepared ``paths``; create its key if there is no database yet.

        The keyring isn't used with ``use_keyring=False`` or if the user chose the key file. Raises
        ``key-missing``, ``key-unreadable``, ``keyring-locked``, or ``store-locked`` if another
        process takes too long to create the key.
        """
        keyring = Keyring(paths) if use_keyring and not paths.is_key_file_chosen else None
        vault, outcome = _load_existing(paths, keyring)
        if vault is not None:
            return vault
        failure = Failure("store-locked", temporary=True, details={"path": paths.data_dir})
        lock = paths.lock_file(":key")
        with ExclusiveLock(lock, lambda: WizardError(failure), _LOCK_TIMEOUT_SECONDS):
            return _load_or_create(paths, keyring, outcome)

    def seal(self, text: str, table: str, row: str, column: str) -> bytes:
        """Encrypt ``text`` for exactly this row and column."""
        return cipher.encrypt(self.key, text.encode(), _associated_data(table, row, column))

    def unseal(self, blob: bytes, table: str, row: str, column: str) -> str:
        """Decrypt a value of exactly this row and column.

        Raises ``sealed-record-damaged`` if it was modified or moved.
        """
        try:
            return cipher.decrypt(self.key, blob, _associated_data(table, row, column)).decode()
        except ValueError as error:
            raise fail("sealed-record-damaged", table=table, row=row) from error

    def fingerprint(self, text: str) -> str:
        """A keyed hash (HMAC-SHA256, hexadecimal): the same for the same text."""
        return hmac.digest(self._fingerprint_key, text.encode(), hashlib.sha256).hex()


def _associated_data(table: str, row: str, column: str) -> bytes:
    return "\x00".join((table, row, column)).encode()


def _load_existing(paths: Paths, keyring: Keyring | None) -> tuple[Vault | None, str]:
    """The vault with an existing key, preferably from the key file; and the keyring's result, a key
    of the message table ``keyring-states``."""
    if os.path.lexists(paths.key_file):
        return _from_file(paths), "not-asked"
    if keyring is None:
        return None, "not-asked"
    try:
        text, name = keyring.read()
    except KeyringUnavailable as error:
        return None, str(error)
    if text is None:
        return None, "empty"
    return Vault(_parse_key(text, name), KeyStorage("keyring", "strong", name)), ""


def _load_or_create(paths: Paths, keyring: Keyring | None, keyring_outcome: str) -> Vault:
    """Under the lock: use the key that another process created meanwhile, otherwise create one, but
    only if there is no database. A keyring that didn't respond isn't asked again."""
    vault, again = _load_existing(paths, keyring if keyring_outcome == "empty" else None)
    if vault is not None:
        return vault
    keyring_outcome = again if keyring_outcome == "empty" else keyring_outcome
    if not os.path.exists(paths.database):
        return _create_key(paths, keyring if keyring_outcome == "empty" else None)
    code = "key-missing" if keyring_outcome in NO_KEY_OUTCOMES else "keyring-locked"
    outcome = message("keyring-states", keyring_outcome)
    raise fail(code, path=paths.key_file, database=paths.database, keyring=outcome)


def _create_key(paths: Paths, keyring: Keyring | None) -> Vault:
    """Create the key, in a real keyring if one accepts it, otherwise in the key file."""
    key = cipher.new_key()
    if keyring is not None:
        try:
            name = keyring.write(cipher.key_to_text(key))
            return Vault(key, KeyStorage("keyring", "strong", name))
        except KeyringUnavailable:
            key = cipher.new_key()  # that keyring may have written the first one anywhere
    try:
        write_key_file(paths.key_file, key)
    except OSError as error:
        raise _key_unreadable(paths.key_file, error) from error
    return _from_file(paths)


def _from_file(paths: Paths) -> Vault:
    try:
        key = cipher.load_key(paths.key_file)
    except (OSError, ValueError) as error:
        raise _key_unreadable(paths.key_file, error) from error
    better = codes_with("better_key_storage")
    return Vault(key, KeyStorage("key-file", "weak", paths.key_file, better))


def _parse_key(text: str, name: str) -> bytes:
    try:
        return cipher.key_from_text(text)
    except ValueError as error:
        raise fail("key-unreadable", where=name, reason="not a key") from error


def _key_unreadable(path: str, error: Exception) -> WizardError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return fail("key-unreadable", where=path, reason=reason)
