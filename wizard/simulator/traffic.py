"""The requests to the simulated Zoho: the faults and stubbed responses that await the next ones,
and the journal of the past ones, which never contains a secret.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from wizard.simulator.errors import InvalidValueError

FAULT_KINDS = {
    "slow": "the response is delayed by `seconds`",
    "html-page": "an HTML page instead of JSON",
    "truncated-json": "half of the JSON",
    "unexpected-json": "JSON that is neither a token nor an error",
    "connection-closed": "the connection closes before the end of the response",
    "byte-by-byte": "one byte every `seconds`",
    "oversize": "a response of a megabyte",
    "rate-limit": "the accounts server’s rate limit: too many requests",
    "api-rate-limit": "a product’s own rate limit: 429 and the product’s error",
    "api-day-limit": "a product’s limit for the day: 429 and the product’s error",
    "edition-without-api": "an edition without this API: 403 and the product’s error",
    "data-center-down": "a data center in maintenance: 503 and HTML",
    "server-error": "general_error with HTTP 500",
    "redirect": "302 to somewhere else",
    "clock-skew": (
        "the Date header is `seconds` ahead, and tokens expire `seconds` before their expires_in"
    ),
}


@dataclass
class Fault:
    """One fault, for `times` requests.

    `location` and `endpoint` limit it to a data center and to paths that contain `endpoint`
    (`oauth/v2/token`, `crm/v8`); empty means any. With `processed`, the request is carried out and
    only the response is damaged: the code is used, the token issued, and the client doesn't get it.
    `retry_after` is the Retry-After header, in seconds or as a date.
    """

    kind: str
    location: str = ""
    endpoint: str = ""
    times: int = 1
    seconds: float = 1.0
    processed: bool = False
    retry_after: str = ""

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise InvalidValueError(f"A fault is one of {', '.join(FAULT_KINDS)}.")

    def matches(self, location: str, path: str) -> bool:
        """Whether the fault applies to this request."""
        return self.times > 0 and self.location in ("", location) and self.endpoint in path


class Faults:
    """The faults that no request has met yet."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []
        self._cleared = threading.Event()

    def inject(self, fault: Fault) -> None:
        """Add a fault."""
        self.pending.append(fault)

    def take(self, location: str, path: str) -> Fault | None:
        """Return the first fault that applies to this request, and count it."""
        fault = next((each for each in self.pending if each.matches(location, path)), None)
        if fault:
            fault.times -= 1
            self.pending = [each for each in self.pending if each.times > 0]
        return fault

    def delay(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as the faults are cleared."""
        self._cleared.wait(seconds)

    def clear(self) -> None:
        """Remove all faults, and end all delays."""
        self.pending.clear()
        cleared, self._cleared = self._cleared, threading.Event()
        cleared.set()


@dataclass
class StubbedResponse:
    """A response in place of Zoho's, to the next `times` requests of `method` to `path` at `host`.

    `location` limits it to a data center; empty means any.
    """

    method: str
    path: str
    host: str = "www"
    location: str = ""
    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


class StubbedResponses:
    """The stubbed responses that no request has got yet."""

    def __init__(self) -> None:
        self.pending: list[StubbedResponse] = []

    def take(self, method: str, location: str, host: str, path: str) -> StubbedResponse | None:
        """Return the first one for this request, and count it."""
        for each in self.pending:
            wanted = (each.method, each.location or location, each.host, each.path.rstrip("/"))
            if wanted == (method, location, host, path.rstrip("/")):
                each.times -= 1
                self.pending = [other for other in self.pending if other.times > 0]
                return each
        return None


MAX_ENTRIES = 2000
"""Older entries are dropped."""

_SCOPES = re.compile(r"[A-Za-z]+(\.[A-Za-z_-]+){0,3}([, ]+[A-Za-z]+(\.[A-Za-z_-]+){0,3})*")
_SECRET = re.compile(r"[0-9a-f]{32,}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z-]{0,23}")
_WORD = re.compile(r"[A-Za-z_]{1,24}|S256")
_HARMLESS_VALUES = {
    "client_id": re.compile(r"1000\.[A-Z0-9]{30}"),
    "grant_type": _WORD,
    "response_type": _WORD,
    "access_type": _WORD,
    "prompt": _WORD,
    "logout": _WORD,
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
    """The latest requests, oldest first. `on_entry` is called with each, one at a time."""

    def __init__(self) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=MAX_ENTRIES)
        self._lock = threading.Lock()
        self.on_entry: Callable[[JournalEntry], None] | None = None

    def begin(self) -> Callable[[JournalEntry], None]:
        """Return a function that adds the entry of a request that arrives now.

        It adds nothing if the journal has been cleared since: a late response belongs to what was
        removed.
        """
        entries = self._entries

        def add(entry: JournalEntry) -> None:
            with self._lock:
                entries.append(entry)
                if self.on_entry:
                    self.on_entry(entry)

        return add

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
        text = redact_text(value) if harmless else _length(value)
        shown.setdefault(redact_text(name)[:40], []).append(text)
    return shown


def redact_text(text: str) -> str:
    """Return a text, such as a path, without anything that looks like a token or a secret."""
    return _SECRET.sub("‹hidden›", text)


def redact_authorization(header: str) -> str | None:
    """Return the scheme of an Authorization header; None without one.

    Some programs send the token without a scheme: then it's hidden.
    """
    first = header.partition(" ")[0]
    if not first:
        return None
    return first if _SCHEME.fullmatch(first) else _length(first)


def _length(value: str) -> str:
    return f"‹{len(value)} characters›"
