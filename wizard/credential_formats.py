"""The formats of Zoho's tokens, codes, client IDs and secrets, and the mask that replaces them.

Zoho doesn't document them; these were observed. Refresh tokens, access tokens and authorization
codes have the same format. In responses of an accounts server, only the characters are checked,
because Zoho may change the format. Every pattern is bounded or possessive, and begins with the
characters that a match can begin with, so that searching takes linear time.
"""

import re
from typing import ClassVar, Self
from urllib.parse import urlsplit

MASK = "(masked)"
"""Replaces a secret."""

TOKEN_PREFIX = r"1\d{3}\."  # noqa: S105 - no secret
"""A pattern: the beginning of every token and client ID."""
TOKEN = re.compile(rf"{TOKEN_PREFIX}[0-9a-f]{{32}}\.[0-9a-f]{{32}}")
"""A complete refresh token, access token or authorization code."""
TOKEN_START = re.compile(rf"{TOKEN_PREFIX}[0-9a-fA-F.]*+")
"""A token, perhaps truncated."""
CLIENT_ID = re.compile(r"1(?<![\w.].)000\.[A-Z0-9]{20,64}+(?![\w.])")
"""Not a secret."""
JOINED_CLIENT_ID = re.compile(r"1000\.[A-Z0-9]{30}")
"""A client ID of the usual length, which the next word follows without a separator."""
CLIENT_SECRET = re.compile(r"[0-9a-f]{40,44}")
POSSIBLE_CLIENT_SECRET = re.compile(r"(?=.*\d)[0-9A-Za-z_-]{24,128}")
"""A word that was pasted with a client ID."""
LABELED_CLIENT_SECRET = re.compile(r"[0-9A-Za-z_.~+/-]{8,128}")
"""A word that was pasted after a label such as ``client_secret``."""
SECRET_TOKEN = re.compile(
    r"1(?<!\w.)(?!000\.[A-Z0-9]{20,64}+(?![\w.]))\d{3}\.[0-9a-fA-F]{8,}+(?:\.[0-9a-fA-F]*+)?+"
)
"""A token in any text, complete or truncated; never a client ID."""

MAX_REDIRECT_URI_CHARACTERS = 2000
"""More than a browser's address bar or a server is sure to take."""

TOKEN_BYTES = re.compile(TOKEN.pattern.encode())
UNFINISHED_TOKEN_BYTES = re.compile(
    rf"(?:1\d{{0,3}}|{TOKEN_PREFIX}(?:[0-9a-f]{{32}}\.)?[0-9a-f]{{0,32}})\Z".encode()
)
"""The end of a stream of bytes that may be the beginning of a token."""


class _Value(str):
    """Text that matches the pattern of its type; other text raises ValueError."""

    __slots__ = ()
    pattern: ClassVar[re.Pattern[str]]

    def __new__(cls, text: str) -> Self:
        if not cls.pattern.fullmatch(text):
            raise ValueError(f"not a valid {cls.__name__}")  # without the text: it may be a secret
        return super().__new__(cls, text)

    @classmethod
    def of(cls, value: object) -> Self | None:
        """`value` as this type; None if it isn't valid."""
        is_valid = isinstance(value, str) and cls.pattern.fullmatch(value)
        return cls(str(value)) if is_valid else None


class Token(_Value):
    """An access token, refresh token or client secret: ``b64token`` of RFC 6750, section 2.1."""

    __slots__ = ()
    pattern = re.compile(r"[A-Za-z0-9._~+/-]+=*")

    def __repr__(self) -> str:
        return "Token(…)"


class Identifier(_Value):
    """The ID of an account, an organization or a client at Zoho, most of them numbers.

    It needs no quoting in a header, a URL, a file or a shell.
    """

    __slots__ = ()
    pattern = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_redirect_uri(text: str) -> bool:
    """Whether `text` can be a client's redirect URI: an ``http`` or ``https`` URL in ASCII with a
    host, and without a user name or a fragment (RFC 6749, section 3.1.2)."""
    try:
        parts = urlsplit(text)
        has_valid_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}#')
    is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    return is_plain and is_http and has_valid_port and len(text) <= MAX_REDIRECT_URI_CHARACTERS


def short_client_id(client_id: str) -> str:
    """Enough of a client ID to recognize it: ``1000.4SVB…91T4``."""
    return client_id if len(client_id) <= 14 else f"{client_id[:9]}…{client_id[-4:]}"
