"""How a cached access token stands in its file; on the short path of ``zoho-wizard token NAME``.

``<expiry> <renewal> <issue> <generation>\\n`` in ASCII, so that whoever only wants to know whether
the token is still good need not decrypt, then the ciphertext of ``token\\nAPI domain\\nlocation``.
The times (seconds since 1970), the generation and the owner (which connection, at which Zoho) are
authenticated: a file moved to another connection, or with a later expiry written over it, does not
decrypt.
"""

import os

from wizard.vault import cipher

MAX_FILE_BYTES = (
    16 * 1024
)  # bytes; Zoho's tokens have some 70 characters, so this is something else
_MAX_HEADER_BYTES = 80

REFRESH_JITTER_SECONDS = 60
"""Processes put a renewal off by up to this many seconds, each differently, so that they do not all
ask at the same second."""

MIN_TTL_SECONDS = 120
"""Seconds of life below which no token is handed out, whatever happens: the caller's next call and
a clock that is a little off must fit in."""


CLOCK_TOLERANCE_SECONDS = 60
"""Seconds by which a clock may be set back without a doubt of what was written before."""


def is_fresh(expires_at: float, refresh_at: float, issued_at: float, now: float) -> bool:
    """Whether a token that ends at ``expiry`` can be handed out without a thought of its renewal;
    all in seconds since 1970. One that was issued later than ``now`` is none: the clock went back,
    and its end is not where it seems."""
    due = now >= refresh_at + os.getpid() % (REFRESH_JITTER_SECONDS + 1)
    return (
        not due
        and expires_at - now >= MIN_TTL_SECONDS
        and issued_at <= now + CLOCK_TOLERANCE_SECONDS
    )


def read(path: str) -> bytes:
    """The content of the cache file at ``path``; raises OSError where there is none."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, MAX_FILE_BYTES)
    finally:
        os.close(descriptor)


def parse_header(content: bytes) -> tuple[int, int, int, int]:
    """Expiry, renewal and issue (seconds since 1970) and the generation, not yet authenticated.

    Raises ValueError where ``content`` is no cache file.
    """
    header = content[:_MAX_HEADER_BYTES].partition(b"\n")[0]
    expiry, renewal, issue, generation = header.split(b" ")
    return int(expiry), int(renewal), int(issue), int(generation)


def pack(
    key: bytes, owner: str, header: tuple[int, int, int, int], fields: tuple[str, str, str]
) -> bytes:
    """The content of the file; ``header`` as `header_of` reads it, ``fields`` are access token,
    API domain, location."""
    plain = b"%d %d %d %d" % header
    plaintext = "\n".join(fields).encode()
    return plain + b"\n" + cipher.encrypt(key, plaintext, _associated_data(owner, plain))


def unpack(key: bytes, owner: str, content: bytes) -> tuple[str, str, str]:
    """Access token, API domain and location.

    Raises ValueError where the content was not packed with ``key`` for ``owner``.
    """
    header, _, blob = content.partition(b"\n")
    plaintext = cipher.decrypt(key, blob, _associated_data(owner, header)).decode()
    access_token, api_domain, location = plaintext.split("\n")
    return access_token, api_domain, location


_LABEL = b"access token\x00"
"""Part of what is encrypted: it can't change without losing every cached token."""


def _associated_data(owner: str, header: bytes) -> bytes:
    return _LABEL + owner.encode() + b"\x00" + header
