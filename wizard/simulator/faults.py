"""Faults laid out for the next requests: what goes wrong, where, and how often."""

import threading
from dataclasses import dataclass

FAULT_KINDS = {
    "slow": "the answer is held back for `seconds`",
    "html-page": "an HTML page where JSON should be",
    "truncated-json": "half of the JSON",
    "unexpected-json": "JSON that is neither a token nor an error",
    "connection-closed": "the connection ends before the answer does",
    "byte-by-byte": "one byte every `seconds`",
    "oversize": "an answer of a megabyte",
    "rate-limit": "too many requests, as the throttle says it",
    "api-rate-limit": "a product's own limit of calls: 429, in the product's words",
    "data-center-down": "a data centre in maintenance: 503 and HTML",
    "server-error": "general_error with HTTP 500",
    "redirect": "302 to somewhere else",
    "clock-skew": (
        "the Date header is `seconds` ahead, and tokens die that much sooner than promised"
    ),
}


@dataclass
class Fault:
    """One fault, for `times` requests.

    `location` and `endpoint` limit it to a data centre and to paths that contain `endpoint`
    (`oauth/v2/token`, `crm/v8`); empty means any. With `processed` the request is carried out
    first and only its answer suffers: the code is burnt, the token made, and nobody learns of it.
    `retry_after` is sent as the answer's Retry-After, in seconds or as a date.
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
            raise ValueError(f"a fault is one of {', '.join(FAULT_KINDS)}, not {self.kind!r}")

    def matches(self, location: str, path: str) -> bool:
        """Whether the fault is meant for this request."""
        return self.times > 0 and self.location in ("", location) and self.endpoint in path


class Faults:
    """The faults that still wait for their request."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []
        self._let_go = threading.Event()

    def inject(self, fault: Fault) -> None:
        """Add a fault."""
        self.pending.append(fault)

    def take(self, location: str, path: str) -> Fault | None:
        """Return the first fault meant for this request and count it down."""
        fault = next((each for each in self.pending if each.matches(location, path)), None)
        if fault:
            fault.times -= 1
            self.pending = [each for each in self.pending if each.times > 0]
        return fault

    def hold_back(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as the faults are taken back."""
        self._let_go.wait(seconds)

    def clear(self) -> None:
        """Take all faults back, and let go the answers that are held back."""
        self.pending.clear()
        let_go, self._let_go = self._let_go, threading.Event()
        let_go.set()
