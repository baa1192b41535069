"""Encrypt a backup with a passphrase, without a key of this computer.

``magic | costs (3) | salt (16) | length (8) | check (16) | nonce (12) | ciphertext | digest (32)``:
scrypt (RFC 7914) derives a key from the passphrase, and AES-256-GCM encrypts the content with it.
The length detects a file that was cut short, the digest one that was changed, the check a wrong
passphrase. None of them makes guessing easier.
"""

import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from wizard.errors import fail
from wizard.fastpath.cipher import AESGCM

MAGIC = b"zoho-wizard backup\x01"
SCRYPT_COSTS = (17, 8, 1)
"""log2 N, r and p of scrypt: 128 MiB and about half a second a guess, as OWASP advises."""
ACCEPTED_SCRYPT_COSTS = [(cost, 8, 1) for cost in range(14, 19)]
"""At most twice our own costs, so that a modified file can't exhaust the memory."""

_HEADER = struct.Struct(f">{len(MAGIC)}s3B16sQ16s12s")
_DIGEST_BYTES = 32


def encrypt_backup(content: bytes, passphrase: str) -> bytes:
    """Return the encrypted file."""
    salt, nonce = os.urandom(16), os.urandom(12)
    key, check = _derive(passphrase, salt, SCRYPT_COSTS)
    length = len(content) + 16  # with the tag
    header = _HEADER.pack(MAGIC, *SCRYPT_COSTS, salt, length, check, nonce)
    body = header + bytes(AESGCM(key).encrypt(nonce, content, header))
    return body + hashlib.sha256(body).digest()


def is_encrypted_backup(start: bytes) -> bool:
    """Whether `start` is the beginning of a file that `encrypt_backup` made."""
    return start.startswith(MAGIC)


def decrypt_backup(file: bytes, passphrase: str) -> bytes:
    """Return the decrypted content of a file.

    Raises ``backup-not-one``, ``backup-cut-short``, ``backup-damaged`` or ``wrong-passphrase``.
    """
    if not is_encrypted_backup(file):
        raise fail("backup-not-one" if not MAGIC.startswith(file) else "backup-cut-short")
    if len(file) < _HEADER.size:
        raise fail("backup-cut-short")
    header, rest = file[: _HEADER.size], file[_HEADER.size :]
    _magic, *costs, salt, length, check, nonce = _HEADER.unpack(header)
    if len(rest) < length + _DIGEST_BYTES:
        raise fail("backup-cut-short")
    body, digest = file[:-_DIGEST_BYTES], file[-_DIGEST_BYTES:]
    sound = hmac.compare_digest(hashlib.sha256(body).digest(), digest)
    if (
        not sound
        or len(rest) != length + _DIGEST_BYTES
        or tuple(costs) not in ACCEPTED_SCRYPT_COSTS
    ):
        raise fail("backup-damaged")
    key, expected = _derive(passphrase, salt, (costs[0], costs[1], costs[2]))
    if not hmac.compare_digest(check, expected):
        raise fail("wrong-passphrase")
    try:
        return bytes(AESGCM(key).decrypt(nonce, rest[:-_DIGEST_BYTES], header))
    except Exception as error:  # InvalidTag, as in the cipher
        raise fail("backup-damaged") from error


def _derive(passphrase: str, salt: bytes, costs: tuple[int, int, int]) -> tuple[bytes, bytes]:
    """The key, and the check of the passphrase."""
    cost, block, parallel = costs
    scrypt = Scrypt(salt=salt, length=48, n=2**cost, r=block, p=parallel)
    derived = scrypt.derive(passphrase.encode())
    return derived[:32], derived[32:]
