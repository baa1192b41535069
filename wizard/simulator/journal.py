"""The journal of requests to the simulated Zoho. It never contains a secret."""

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

MAX_ENTRIES = 2000
"""Older entries are dropped."""

_SCOPES = re.compile(r"[A-Za-z]+(\.[A-Za-z_-]+){0,3}([, ]+[A-Za-z]+(\.[A-Za-z_-]+){0,3})*")
_SECRET = re.compile(r"[0-9a-f]{32,}")
_WORD = re.compile(r"[A-Za-z_]{1,24}|S256")
_HARMLESS_VALUES = {
    "client_id": re.compile(r"1000\.[A-Z0-9]{30}"),
    "grant_type": _WORD,
    "response_type": _WORD,
    "access_type": _WORD,
    "prompt": _WORD,
    "token_type": _WORD,
    "code_challenge_method": _WORD,
    "type": _WORD,
    "module": _WORD,
    "resfmt": _WORD,
    "scope": _SCOPES,
    "redirect_uri": re.compile(r"https?://[^?#@\s]+"),
    "organization_id": re.compile(r"\d{1,20}"),
    "soid": re.compile(r"[A-Za-z]+\.\d{1,20}"),
}


@dataclass(frozen=True)
class JournalEntry:
    """One request and its outcome.

    `parameters` maps each name to its values; a value that might be secret is replaced by its
    length. `outcome` is Zoho's error code, or `ok`.
    """

    at: datetime
    method: str
    location: str
    host: str
    path: str
    parameters: dict[str, list[str]]
    client_id: str | None
    status: int
    outcome: str
    authorization: str | None = None
    user_agent: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Journal:
    """The latest requests, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=MAX_ENTRIES)

    def begin(self) -> Callable[[JournalEntry], None]:
        """Return a function that adds the entry of a request that arrives now.

        It adds nothing if the journal has been cleared since: a late response belongs to what was
        removed.
        """
        entries = self._entries
        return entries.append

    def entries(self) -> list[JournalEntry]:
        """Return the entries, oldest first."""
        return list(self._entries)

    def clear(self) -> None:
        """Remove all entries, those of requests without a response included."""
        self._entries = deque(maxlen=MAX_ENTRIES)


def redact_parameters(parameters: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return name → values, of which only harmless ones are shown.

    A value is harmless if its name is known and its format fits: a secret in client_id is hidden.
    """
    shown: dict[str, list[str]] = {}
    for name, value in parameters:
        shape = _HARMLESS_VALUES.get(name)
        harmless = shape is not None and shape.fullmatch(value)
        shown.setdefault(name[:40], []).append(value if harmless else f"‹{len(value)} characters›")
    return shown


def redact_path(path: str) -> str:
    """Return a path without anything that looks like a token or a secret."""
    return _SECRET.sub("‹hidden›", path)
