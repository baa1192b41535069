"""The one key of a home, and what is sealed with it."""

import hashlib
import hmac
import os

from filelock import FileLock, Timeout

from wizard.errors import WizardError, fail, phrase
from wizard.home import Home
from wizard.model import Failure
from wizard.vault import cipher
from wizard.vault.keys import (
    PATIENCE_SECONDS,
    KeyPlace,
    Keyring,
    KeyringUnavailable,
    write_key_file,
)

NOT_THERE = ("not-asked", "empty", "absent")
"""What can become of asking the keyring where waiting for it, or opening it, would not help."""

_LOCK_SECONDS = 3 * PATIENCE_SECONDS  # whoever makes the key may have to wait out a dead keyring


class Vault:
    """Seals short texts and binds each to its table, row and column."""

    def __init__(self, key: bytes, where: KeyPlace) -> None:
        self.key = key
        self.where = where
        self._fingerprint_key = hmac.digest(key, b"fingerprint", hashlib.sha256)

    def __repr__(self) -> str:
        return f"Vault({self.where!r})"

    @classmethod
    def open(cls, home: Home, keyring: bool = True) -> "Vault":
        """The vault of a prepared ``home``; its key is made while there is no database yet.

        ``keyring=False`` leaves the operating system's keyring alone, as does a key file that the
        person chose. Raises `WizardError`: ``key-missing``, ``key-unreadable``,
        ``keyring-locked``, ``store-locked`` where another process is making the key for too long.
        """
        asked = Keyring(home) if keyring and not home.key_file_chosen else None
        vault, became = _kept(home, asked)
        if vault is not None:
            return vault
        try:
            with FileLock(home.lock_file(":key"), timeout=_LOCK_SECONDS, mode=0o600):
                return _made(home, asked, became)
        except Timeout as error:
            failure = Failure("store-locked", temporary=True, details={"path": home.data_dir})
            raise WizardError(failure) from error

    def seal(self, text: str, table: str, row: str, column: str) -> bytes:
        """Encrypt ``text`` for exactly this place."""
        return cipher.encrypt(self.key, text.encode(), _place(table, row, column))

    def unseal(self, blob: bytes, table: str, row: str, column: str) -> str:
        """What was sealed for exactly this place.

        Raises ``sealed-record-damaged`` where the blob was altered or comes from another place.
        """
        try:
            return cipher.decrypt(self.key, blob, _place(table, row, column)).decode()
        except ValueError as error:
            raise fail("sealed-record-damaged", table=table, row=row) from error

    def fingerprint(self, text: str) -> str:
        """A keyed hash (HMAC-SHA256, hexadecimal): the same for the same text, and tells nothing
        of it without the key.
        """
        return hmac.digest(self._fingerprint_key, text.encode(), hashlib.sha256).hex()


def _place(table: str, row: str, column: str) -> bytes:
    return "\x00".join((table, row, column)).encode()


def _kept(home: Home, keyring: Keyring | None) -> tuple[Vault | None, str]:
    """The vault whose key is kept already, a key file first; and what became of asking the keyring,
    a word of the table ``keyrings``."""
    if os.path.lexists(home.key_file):
        return _from_file(home), "not-asked"
    if keyring is None:
        return None, "not-asked"
    try:
        text, name = keyring.read()
    except KeyringUnavailable as error:
        return None, str(error)
    if text is None:
        return None, "empty"
    return Vault(_key(text, name), KeyPlace("keyring", "strong", name)), ""


def _made(home: Home, keyring: Keyring | None, became: str) -> Vault:
    """Under the lock: the key that another process has made meanwhile, else a new one, but only
    before the first database. A keyring that did not answer is not asked a second time."""
    vault, again = _kept(home, keyring if became == "empty" else None)
    if vault is not None:
        return vault
    became = again if became == "empty" else became
    if not os.path.exists(home.database):
        return _found(home, keyring if became == "empty" else None)
    code = "key-missing" if became in NOT_THERE else "keyring-locked"
    told = phrase("keyrings", became)
    raise fail(code, path=home.key_file, database=home.database, keyring=told)


def _found(home: Home, keyring: Keyring | None) -> Vault:
    """Make the key: in the keyring where a real one takes it, else in the key file."""
    key = cipher.new_key()
    if keyring is not None:
        try:
            name = keyring.write(cipher.key_to_text(key))
            return Vault(key, KeyPlace("keyring", "strong", name))
        except KeyringUnavailable:
            key = cipher.new_key()  # the first may have gone to wherever that keyring writes
    try:
        write_key_file(home.key_file, key)
    except OSError as error:
        raise _unreadable(home.key_file, error) from error
    return _from_file(home)


def _from_file(home: Home) -> Vault:
    try:
        key = cipher.load_key(home.key_file)
    except (OSError, ValueError) as error:
        raise _unreadable(home.key_file, error) from error
    better = ("key-in-keyring", "key-on-other-medium")
    return Vault(key, KeyPlace("key-file", "weak", home.key_file, better))


def _key(text: str, name: str) -> bytes:
    try:
        return cipher.key_from_text(text)
    except ValueError as error:
        raise fail("key-unreadable", where=name, reason="not a key") from error


def _unreadable(path: str, error: Exception) -> WizardError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return fail("key-unreadable", where=path, reason=reason)
