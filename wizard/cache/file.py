"""How a cached access token stands in its file; on the short path of ``zoho-wizard token NAME``.

``<expiry> <renewal> <issue> <generation>\\n`` in ASCII, so that whoever only wants to know whether
the token is still good need not decrypt, then the ciphertext of ``token\\nAPI domain\\nlocation``.
The times (seconds since 1970), the generation and the owner (which connection, at which Zoho) are
authenticated: a file moved to another connection, or with a later expiry written over it, does not
decrypt.
"""

import os

from wizard.vault import cipher

LARGEST = 16 * 1024  # bytes; Zoho's tokens have some 70 characters, so this is something else
_LONGEST_HEADER = 80

SPREAD = 60
"""Processes put a renewal off by up to this many seconds, each differently, so that they do not all
ask at the same second."""

FLOOR = 120
"""Seconds of life below which no token is handed out, whatever happens: the caller's next call and
a clock that is a little off must fit in."""


CLOCK_STEP = 60
"""Seconds by which a clock may be set back without a doubt of what was written before."""


def still_good(expiry: float, renewal: float, issue: float, now: float) -> bool:
    """Whether a token that ends at ``expiry`` can be handed out without a thought of its renewal;
    all in seconds since 1970. One that was issued later than ``now`` is none: the clock went back,
    and its end is not where it seems."""
    due = now >= renewal + os.getpid() % (SPREAD + 1)
    return not due and expiry - now >= FLOOR and issue <= now + CLOCK_STEP


def read(path: str) -> bytes:
    """The content of the cache file at ``path``; raises OSError where there is none."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, LARGEST)
    finally:
        os.close(descriptor)


def header_of(content: bytes) -> tuple[int, int, int, int]:
    """Expiry, renewal and issue (seconds since 1970) and the generation, not yet authenticated.

    Raises ValueError where ``content`` is no cache file.
    """
    header = content[:_LONGEST_HEADER].partition(b"\n")[0]
    expiry, renewal, issue, generation = header.split(b" ")
    return int(expiry), int(renewal), int(issue), int(generation)


def pack(
    key: bytes, owner: str, header: tuple[int, int, int, int], fields: tuple[str, str, str]
) -> bytes:
    """The content of the file; ``header`` as `header_of` reads it, ``fields`` are access token,
    API domain, location."""
    plain = b"%d %d %d %d" % header
    plaintext = "\n".join(fields).encode()
    return plain + b"\n" + cipher.encrypt(key, plaintext, _aad(owner, plain))


def unpack(key: bytes, owner: str, content: bytes) -> tuple[str, str, str]:
    """Access token, API domain and location.

    Raises ValueError where the content was not packed with ``key`` for ``owner``.
    """
    header, _, blob = content.partition(b"\n")
    plaintext = cipher.decrypt(key, blob, _aad(owner, header)).decode()
    access_token, api_domain, location = plaintext.split("\n")
    return access_token, api_domain, location


def _aad(owner: str, header: bytes) -> bytes:
    return b"access token\x00" + owner.encode() + b"\x00" + header
