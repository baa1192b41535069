"""AES-256-GCM for short texts.

A key has 36 bytes: a random ID of 4, which is part of each ciphertext, and 256 bits. It is stored
as one line of base64, 48 characters, which every keyring accepts.
A ciphertext is ``version (1) | key ID (4) | nonce (12) | ciphertext and tag``. The version and the
key ID are authenticated together with the caller's associated data.
"""

import binascii
import os

try:
    # The public import takes twice as long as the rest of the fast path.
    from cryptography.hazmat.bindings._rust import openssl

    AESGCM = openssl.aead.AESGCM
except (ImportError, AttributeError):  # the binding is private and may move
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
KEY_ID_BYTES = 4
KEY_BYTES = KEY_ID_BYTES + 32
NONCE_BYTES = 12  # as AES-GCM specifies; random, so a key is good for 2**32 ciphertexts
TAG_BYTES = 16
_HEADER_BYTES = len(VERSION) + KEY_ID_BYTES
_MAX_KEY_FILE_BYTES = 256  # a key file has 49


def new_key() -> bytes:
    """A new random key."""
    return os.urandom(KEY_BYTES)


def key_to_text(key: bytes) -> str:
    """The key as one line of base64 without a newline."""
    return binascii.b2a_base64(key, newline=False).decode("ascii")


def key_from_text(text: str | bytes) -> bytes:
    """The key of `key_to_text`. Raises ValueError for anything else."""
    key = binascii.a2b_base64(text.strip(), strict_mode=True)
    if len(key) != KEY_BYTES:
        raise ValueError("not a key of the wizard")
    return key


def load_key(path: str, is_credential: bool = False) -> bytes:
    """Read the key file at ``path``.

    Raises OSError if it can't be read, PermissionError if the group or others may read it,
    ValueError if it contains no key. Of a systemd credential, the mode of the group is the mask of
    its access control list, which lets only the service's user read it.
    """
    accessible_to_others = 0o037 if is_credential else 0o077
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        # On Windows, the file inherits the access control list of the profile.
        if os.name == "posix" and os.fstat(descriptor).st_mode & accessible_to_others:
            raise PermissionError(f"others may read {path}")
        return key_from_text(os.read(descriptor, _MAX_KEY_FILE_BYTES))
    finally:
        os.close(descriptor)


def key_id(blob: bytes) -> bytes:
    """The ID of the key that encrypted ``blob``."""
    return blob[len(VERSION) : _HEADER_BYTES]


def encrypt(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Encrypt ``plaintext`` with the associated data ``aad``, which `decrypt` needs again."""
    header = VERSION + key[:KEY_ID_BYTES]
    nonce = os.urandom(NONCE_BYTES)
    return header + nonce + bytes(_aes(key).encrypt(nonce, plaintext, header + aad))


def decrypt(key: bytes, blob: bytes, aad: bytes) -> bytes:
    """The plaintext of ``blob``; raises ValueError if it was changed, or if ``aad`` or the key
    differs."""
    header, sealed = blob[:_HEADER_BYTES], blob[_HEADER_BYTES:]
    if header != VERSION + key[:KEY_ID_BYTES] or len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise ValueError("not encrypted with this key")
    try:
        plaintext = _aes(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], header + aad)
    except Exception as error:  # InvalidTag, whose module is expensive to import
        raise ValueError("tampered with, or not what was requested") from error
    return bytes(plaintext)


def _aes(key: bytes) -> "AESGCM":
    return AESGCM(key[KEY_ID_BYTES:])
