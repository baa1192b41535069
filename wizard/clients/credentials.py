"""Find a client id and a client secret in a pasted text.

They are recognized by their form, because labels are often wrong: a client id is ``1000.`` and
upper-case letters and digits; a client secret is one long hexadecimal word. So two lines, JSON,
``.env`` lines, a table copied from the console, and a swapped pair all work.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise

from wizard.credential_formats import (
    CLIENT_ID,
    LABELED_CLIENT_SECRET,
    POSSIBLE_CLIENT_SECRET,
    TOKEN,
)
from wizard.errors import fail

MAX_PASTE_CHARACTERS = 20_000
"""A page of the console has some thousands; a whole log file is a mistake."""

_SEPARATORS = re.compile(r"[\s\"'`“”‘’„«»,;:=&?|<>(){}\[\]\\]+")
_INVISIBLE_CATEGORIES = ("Cf", "Cc")
_SECRET_LABEL = re.compile(r"\w*client[_-]?secret|secret", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """A client id, its secret, and how they were found."""

    client_id: str
    client_secret: str = field(repr=False)
    notes: tuple[str, ...] = ()
    """What was recognized and removed, in words; never a secret."""


def parse_credentials(text: str) -> Credentials:
    """Find exactly one client id and one client secret in `text`.

    Raises ``credentials-empty``, ``-too-long``, ``-missing-id``, ``-missing-secret``,
    ``-two-clients``, ``-two-secrets`` or ``-token`` (a token was pasted instead).
    """
    words = _words(text)
    ids = _distinct(words, CLIENT_ID)
    if len(ids) > 1:
        raise fail("credentials-two-clients", first=ids[0], second=ids[1])
    secret = _find_secret(words)
    if not ids:
        raise fail("credentials-missing-id")
    if secret is None:
        raise fail("credentials-missing-secret", client_id=ids[0])
    return Credentials(ids[0], secret, _cleanup_notes(text, words, ids[0], secret))


def parse_secret(text: str, client_id: str) -> str:
    """Find the new secret of `client_id` in `text`, which may contain the id as well.

    Raises as `parse_credentials` does, and ``credentials-other-client`` for a different id.
    """
    words = _words(text)
    others = [found for found in _distinct(words, CLIENT_ID) if found != client_id]
    if others:
        raise fail("credentials-other-client", client_id=client_id, other=others[0])
    secret = _find_secret(words)
    if secret is None and len(words) == 1 and words != [client_id]:
        secret = words[0] if LABELED_CLIENT_SECRET.fullmatch(words[0]) else None
    if secret is None:
        raise fail("credentials-missing-secret", client_id=client_id)
    return secret


def _words(text: str) -> list[str]:
    if len(text) > MAX_PASTE_CHARACTERS:
        raise fail("credentials-too-long", length=str(len(text)))
    words = [word for word in _SEPARATORS.split(_visible_text(text)) if word]
    if not words:
        raise fail("credentials-empty")
    return words


def _visible_text(text: str) -> str:
    return "".join(
        " " if char.isspace() else char
        for char in text
        if char.isspace() or unicodedata.category(char) not in _INVISIBLE_CATEGORIES
    )


def _find_secret(words: list[str]) -> str | None:
    secrets = _distinct(words, POSSIBLE_CLIENT_SECRET) or _labeled_secrets(words)
    if len(secrets) > 1:
        raise fail("credentials-two-secrets")
    if not secrets and _distinct(words, TOKEN):
        raise fail("credentials-token")
    return secrets[0] if secrets else None


def _labeled_secrets(words: list[str]) -> list[str]:
    """Secrets of an unknown form, recognized by their label."""
    return [
        word
        for label, word in pairwise(words)
        if _SECRET_LABEL.fullmatch(label)
        and LABELED_CLIENT_SECRET.fullmatch(word)
        and not (CLIENT_ID.fullmatch(word) or TOKEN.fullmatch(word))
    ]


def _distinct(words: list[str], pattern: re.Pattern[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if pattern.fullmatch(word)))


def _cleanup_notes(text: str, words: list[str], client_id: str, secret: str) -> tuple[str, ...]:
    stripped = text.strip()
    labels = [word for word in words if re.search(r"client|secret|id$", word, re.IGNORECASE)]
    json = stripped.startswith(("{", "["))
    checks = {
        "read from JSON": json,
        "read from lines of a .env file": bool(re.search(r"^\s*(export\s+)?\w+=", text, re.M)),
        "blanks and line breaks around them removed": stripped != text,
        "quotation marks removed": bool(re.search(r"[\"'“”‘’`]", text)) and not json,
        "invisible characters removed": _visible_text(text) != re.sub(r"\s", " ", text),
        "the two were swapped: put right": _is_swapped(words, labels, client_id, secret),
        "a token beside them was left out": bool(_distinct(words, TOKEN)),
    }
    return tuple(note for note, seen in checks.items() if seen)


def _is_swapped(words: list[str], labels: list[str], client_id: str, secret: str) -> bool:
    if not labels:
        return words.index(secret) < words.index(client_id)
    after = dict(pairwise(words))
    return any(_SECRET_LABEL.fullmatch(label) and after.get(label) == client_id for label in labels)
