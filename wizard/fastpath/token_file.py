"""The file of a cached access token.

``<expiry> <refresh> <issue> <generation>\\n`` in ASCII, in a copy of a token of a shared store with
the time when it was confirmed, then the ciphertext of the fields of
`CachedToken`, separated by NUL. The times (seconds since 1970), the generation and the owner
(connection and Zoho environment) are authenticated: a file that was moved to a different
connection, or whose expiry was changed, can't be decrypted.
"""

import os

from wizard import files
from wizard.fastpath import cipher
from wizard.paths import CACHED_TOKEN_SUFFIX

MAX_FILE_BYTES = 64 * 1024
"""A token has about 70, and what a program needs with it about a thousand."""
_MAX_HEADER_BYTES = 80

REFRESH_JITTER_SECONDS = 60
"""Each process delays a refresh by up to this many seconds, so that not all refresh at once."""

MIN_TTL_SECONDS = 120
"""No token is served with less time left: enough for the caller's next call and some clock skew."""

MAX_TTL_SECONDS = 30 * 60
"""The maximum of ``--min-ttl``: with more, nearly every call would refresh."""
CONFIRMED_SECONDS = 60
"""A copy of a token of a shared store is served for so long without asking the store: another
machine may have reported that Zoho rejected it."""

CLOCK_TOLERANCE_SECONDS = 60
"""If the clock goes back by no more than this, stored times are still trusted."""

_LABEL = b"access token\x00"
"""Part of the associated data: if it changes, every cached token is lost."""


class CachedToken:
    """What the file contains. A plain class, because dataclasses are expensive to import."""

    __slots__ = (
        "access_token", "api_domain", "document", "expires_at", "generation", "issued_at",
        "location", "refresh_at", "variables",
    )  # fmt: skip

    def __init__(
        self,
        times: tuple[int, int, int],
        generation: int,
        fields: tuple[str, str, str],
        document: str = "",
        variables: str = "",
    ) -> None:
        """``times``: expiry, refresh and issue; ``fields``: access token, API domain, location."""
        self.expires_at, self.refresh_at, self.issued_at = times
        self.generation = generation
        self.access_token, self.api_domain, self.location = fields
        self.document = document
        """What ``token --json`` prints, with `EXPIRES_IN` for the seconds left; empty: unknown."""
        self.variables = variables
        """What ``run`` sets in addition to the token, as lines ``NAME=value``; empty: unknown."""

    def shifted(self, seconds: int) -> "CachedToken":
        """The same token for a clock that is so much ahead."""
        times = self.expires_at + seconds, self.refresh_at + seconds, self.issued_at + seconds
        fields = self.access_token, self.api_domain, self.location
        return CachedToken(times, self.generation, fields, self.document, self.variables)

    def document_at(self, now: float) -> str:
        """What ``token --json`` prints at ``now`` (seconds since 1970)."""
        left = EXPIRES_IN.replace("0", str(int(self.expires_at - now)))
        return self.document.replace(EXPIRES_IN, left, 1)

    @property
    def variable_values(self) -> "dict[str, str]":
        """`variables` by name."""
        return dict(line.split("=", 1) for line in self.variables.split("\n") if line)

    def __repr__(self) -> str:
        return f"CachedToken(generation={self.generation}, expires_at={self.expires_at})"


EXPIRES_IN = '"expires_in": 0'
"""Can't occur within a string of the document, because quotes are escaped there."""


def is_fresh(expires_at: float, refresh_at: float, issued_at: float, now: float) -> bool:
    """Whether a token can be served and isn't due for a refresh. All in seconds since 1970."""
    due = now >= refresh_at + os.getpid() % (REFRESH_JITTER_SECONDS + 1)
    return not due and is_usable(expires_at, issued_at, now)


def is_usable(
    expires_at: float, issued_at: float, now: float, min_ttl_seconds: float = MIN_TTL_SECONDS
) -> bool:
    """Whether a token has enough time left. If it was issued later than ``now``, the clock went
    back, and its expiry can't be trusted."""
    is_certain = issued_at <= now + CLOCK_TOLERANCE_SECONDS
    return is_certain and expires_at - now >= max(min_ttl_seconds, MIN_TTL_SECONDS)


def read(path: str) -> bytes:
    """The content of the file at ``path``; raises OSError if there is none."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, MAX_FILE_BYTES)
    finally:
        os.close(descriptor)


def remove_all(directory: str) -> None:
    """Remove the cached tokens in ``directory``. Raises OSError."""
    for name in os.listdir(directory):
        if name.endswith(CACHED_TOKEN_SUFFIX):
            files.remove(os.path.join(directory, name))


def pack(key: bytes, owner: str, token: CachedToken, confirmed_at: int = 0) -> bytes:
    """The content of the file. ``confirmed_at`` makes it a copy of a token of a shared store."""
    header = b"%d %d %d %d" % (
        token.expires_at, token.refresh_at, token.issued_at, token.generation
    )  # fmt: skip
    if confirmed_at:
        header += b" %d" % confirmed_at
    fields = (
        token.access_token, token.api_domain, token.location, token.document, token.variables
    )  # fmt: skip
    plaintext = "\x00".join(fields).encode()
    return header + b"\n" + cipher.encrypt(key, plaintext, _associated_data(owner, header))


def parse_header(content: bytes) -> tuple[int, int, int, int]:
    """Expiry, refresh, issue and generation, not authenticated yet. Raises ValueError."""
    header = content[:_MAX_HEADER_BYTES].partition(b"\n")[0]
    expires_at, refresh_at, issued_at, generation = header.split(b" ")[:4]
    return int(expires_at), int(refresh_at), int(issued_at), int(generation)


def is_confirmed(content: bytes, now: float) -> bool:
    """Whether the file is no copy, or one that is new enough at ``now`` (seconds since 1970).
    Raises ValueError."""
    confirmed_at = content[:_MAX_HEADER_BYTES].partition(b"\n")[0].split(b" ")[4:]
    return not confirmed_at or abs(now - int(confirmed_at[0])) <= CONFIRMED_SECONDS


def unpack(key: bytes, owner: str, content: bytes) -> CachedToken:
    """The token; raises ValueError if ``content`` wasn't packed with ``key`` for ``owner``."""
    *times, generation = parse_header(content)
    header, _, blob = content.partition(b"\n")
    plaintext = cipher.decrypt(key, blob, _associated_data(owner, header)).decode()
    access_token, api_domain, location, document, variables = plaintext.split("\x00")
    return CachedToken(
        (times[0], times[1], times[2]),
        generation,
        (access_token, api_domain, location),
        document,
        variables,
    )


def _associated_data(owner: str, header: bytes) -> bytes:
    return _LABEL + owner.encode() + b"\x00" + header
