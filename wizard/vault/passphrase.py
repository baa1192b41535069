"""Files that a passphrase encrypts: backups, client files, and the key for another machine.

``magic | costs (3) | salt (16) | length (8) | check (16) | nonce (12) | ciphertext | digest (32)``:
scrypt (RFC 7914) derives a key from the passphrase, and AES-256-GCM encrypts the content with it.
The magic says which kind of file it is, and is authenticated with the rest of the header. The
length detects a file that was cut short, the digest one that was changed, the check a wrong
passphrase. None of them makes guessing easier.
"""

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from wizard import files
from wizard.errors import WizardError, fail
from wizard.fastpath.cipher import AESGCM

SCRYPT_COSTS = (17, 8, 1)
"""log2 N, r and p of scrypt: 128 MiB and about half a second a guess, as OWASP advises."""
ACCEPTED_SCRYPT_COSTS = [(cost, 8, 1) for cost in range(14, 19)]
"""At most twice our own costs, so that a modified file can't exhaust the memory."""

MIN_PASSPHRASE_CHARACTERS = 12
"""An attacker who has the file can guess for years."""

_REST_OF_HEADER = struct.Struct(">3B16sQ16s12s")
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class EncryptedFileKind:
    """A kind of file that a passphrase encrypts, with the codes of its failures."""

    magic: bytes
    """What each file of this kind begins with."""
    max_bytes: int
    not_one: str
    cut_short: str
    damaged: str
    unreadable: str
    unwritable: str
    taken: str
    """The file would overwrite something that isn't of this kind."""

    def encrypt(self, content: bytes, passphrase: str) -> bytes:
        """Return the encrypted file. Raises ``passphrase-too-short``."""
        check_new_passphrase(passphrase)
        salt, nonce = os.urandom(16), os.urandom(12)
        key, check = _derive(passphrase, salt, SCRYPT_COSTS)
        length = len(content) + 16  # with the tag
        rest = _REST_OF_HEADER.pack(*SCRYPT_COSTS, salt, length, check, nonce)
        header = self.magic + rest
        body = header + bytes(AESGCM(key).encrypt(nonce, content, header))
        return body + hashlib.sha256(body).digest()

    def is_start(self, start: bytes) -> bool:
        """Whether `start` is the beginning of a file of this kind."""
        return start.startswith(self.magic)

    def decrypt(self, file: bytes, passphrase: str) -> bytes:
        """Return the decrypted content of a file.

        Raises its own `not_one`, `cut_short` or `damaged`, or ``wrong-passphrase``.
        """
        if not self.is_start(file):
            raise fail(self.cut_short if self.magic.startswith(file) else self.not_one)
        header_bytes = len(self.magic) + _REST_OF_HEADER.size
        if len(file) < header_bytes:
            raise fail(self.cut_short)
        header, rest = file[:header_bytes], file[header_bytes:]
        *costs, salt, length, check, nonce = _REST_OF_HEADER.unpack(header[len(self.magic) :])
        if len(rest) < length + _DIGEST_BYTES:
            raise fail(self.cut_short)
        body, digest = file[:-_DIGEST_BYTES], file[-_DIGEST_BYTES:]
        sound = hmac.compare_digest(hashlib.sha256(body).digest(), digest)
        if (
            not sound
            or len(rest) != length + _DIGEST_BYTES
            or tuple(costs) not in ACCEPTED_SCRYPT_COSTS
        ):
            raise fail(self.damaged)
        key, expected = _derive(passphrase, salt, (costs[0], costs[1], costs[2]))
        if not hmac.compare_digest(check, expected):
            raise fail("wrong-passphrase")
        try:
            return bytes(AESGCM(key).decrypt(nonce, rest[:-_DIGEST_BYTES], header))
        except Exception as error:  # InvalidTag, as in the cipher
            raise fail(self.damaged) from error

    def read(self, path: Path) -> bytes:
        """The file's content, still encrypted; raises its own `unreadable` or `not_one`."""
        try:
            if path.exists() and not path.is_file():  # a pipe would block
                raise fail(self.not_one)
            with path.open("rb") as file:
                content = file.read(self.max_bytes + 1)
        except OSError as error:
            raise _file_error(self.unreadable, path, error) from error
        if len(content) > self.max_bytes:
            raise fail(self.not_one)
        return content

    def write(self, path: Path, content: bytes, passphrase: str) -> None:
        """Encrypt `content`, and replace the file at `path` durably, or leave it unchanged.

        Raises ``passphrase-too-short``, its own `unwritable`, and `taken` for a link, a directory,
        or a file of a different kind.
        """
        encrypted = self.encrypt(content, passphrase)
        try:
            self._require_replaceable(path)
            files.replace(str(path), encrypted)
        except OSError as error:
            raise _file_error(self.unwritable, path, error) from error

    def _require_replaceable(self, path: Path) -> None:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise fail(self.taken, path=str(path))
        if path.exists():
            with path.open("rb") as file:
                if not self.is_start(file.read(len(self.magic))):
                    raise fail(self.taken, path=str(path))


BACKUP = EncryptedFileKind(
    magic=b"zoho-wizard backup\x01",
    max_bytes=64 * 1024 * 1024,  # ten thousand connections take some twenty million bytes
    not_one="backup-not-one",
    cut_short="backup-cut-short",
    damaged="backup-damaged",
    unreadable="backup-unreadable",
    unwritable="backup-unwritable",
    taken="backup-file-taken",
)
CLIENT_FILE = EncryptedFileKind(
    magic=b"zoho-wizard client\x01",
    max_bytes=32 * 1024,  # one client has at most a few kilobytes
    not_one="client-file-not-one",
    cut_short="client-file-cut-short",
    damaged="client-file-damaged",
    unreadable="client-file-unreadable",
    unwritable="client-file-unwritable",
    taken="client-file-taken",
)

KEY_FILE = EncryptedFileKind(
    magic=b"zoho-wizard key\x01",
    max_bytes=1024,
    not_one="key-file-not-one",
    cut_short="key-file-cut-short",
    damaged="key-file-damaged",
    unreadable="key-file-unreadable",
    unwritable="key-file-unwritable",
    taken="key-file-taken",
)


def check_new_passphrase(passphrase: str) -> None:
    """Raise ``passphrase-too-short`` unless a new file may have this passphrase."""
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise fail("passphrase-too-short", least=str(MIN_PASSPHRASE_CHARACTERS))


def _file_error(code: str, path: Path, error: OSError) -> WizardError:
    return fail(code, path=str(path), reason=os.strerror(error.errno or 0))


def _derive(passphrase: str, salt: bytes, costs: tuple[int, int, int]) -> tuple[bytes, bytes]:
    """The key, and the check of the passphrase."""
    cost, block, parallel = costs
    scrypt = Scrypt(salt=salt, length=48, n=2**cost, r=block, p=parallel)
    derived = scrypt.derive(passphrase.encode())
    return derived[:32], derived[32:]
