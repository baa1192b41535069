"""Faults for the next requests: what goes wrong, where and how often."""

import threading
from dataclasses import dataclass

FAULT_KINDS = {
    "slow": "the response is delayed by `seconds`",
    "html-page": "an HTML page instead of JSON",
    "truncated-json": "half of the JSON",
    "unexpected-json": "JSON that is neither a token nor an error",
    "connection-closed": "the connection closes before the end of the response",
    "byte-by-byte": "one byte every `seconds`",
    "oversize": "a response of a megabyte",
    "rate-limit": "the accounts server's rate limit: too many requests",
    "api-rate-limit": "a product's own rate limit: 429 and the product's error",
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
            raise ValueError(f"a fault is one of {', '.join(FAULT_KINDS)}, not {self.kind!r}")

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
