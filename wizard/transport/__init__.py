"""HTTP to Zoho; the only package that imports requests and truststore.

A request goes only to a URL of the table of data centers (`webhook`: to the URL that the user chose
for notifications). It has its own connection and one total deadline. Redirects are not followed,
because a redirect could send a client secret to another host. The result is an `HttpResponse`, or a
`WizardError` whose failure says whether anything was sent. Connections are not reused: only with a
new one is it certain that nothing was sent.

requests and urllib3 are imported by the first request: most commands send none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from wizard.model import Clock, HttpExchange, SimulatorProxy
from wizard.transport.redaction import (
    CONTROL_CHARACTERS,
    mask_json,
    mask_text,
    sanitize,
    sanitize_line,
)
from wizard.zoho import limits

if TYPE_CHECKING:
    import requests

    from wizard.transport.adapter import TransportAdapter

__all__ = [
    "CONTROL_CHARACTERS",
    "HttpResponse",
    "Transport",
    "ZohoAuth",
    "believable_date",
    "bounded",
    "http_date",
    "is_loopback",
    "mask_text",
    "parse_json",
    "retry_at",
    "sanitize",
    "sanitize_line",
]

CONNECT_TIMEOUT_SECONDS = 5.0
TOTAL_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP response, read completely."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)
    exchange: HttpExchange
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The secrets of the request, and others of the same connection."""

    @property
    def json(self) -> Any:
        """The body as JSON with all secrets masked; None if it isn't unambiguous JSON.

        A server may repeat a secret in what becomes a message, a name or a detail.
        """
        try:
            return mask_json(parse_json(self.body), self.secrets)
        except RecursionError:
            return None

    def issued(self, name: str) -> Any:
        """The member `name` of the JSON object, not masked. Only for parsing a token response."""
        body = parse_json(self.body)
        return body.get(name) if isinstance(body, dict) else None

    def issued_values(self, name: str) -> tuple[Any, ...]:
        """All values of `name` in the JSON object, not masked. Only for finding a refresh token,
        which counts even in an ambiguous response."""
        try:
            body = json.loads(self.body, object_pairs_hook=_Members)
        except (ValueError, RecursionError):
            return ()
        return tuple(value for key, value in body if key == name) if type(body) is _Members else ()

    @property
    def date(self) -> datetime | None:
        """The server's time, from its ``Date`` header."""
        return http_date(self.headers.get("date", ""))


def http_date(text: str) -> datetime | None:
    """Parse an HTTP date (RFC 9110, section 5.6.7), in UTC; None if it isn't one."""
    try:
        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def parse_json(body: bytes) -> Any:
    """Parse JSON; None if it isn't valid. A repeated name or a NaN makes it invalid, because it
    is ambiguous.
    """
    try:
        return json.loads(body, object_pairs_hook=_unique_names, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return None


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in order, repeated names included."""


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a repeated name")
    return found


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


MAX_RETRY_AFTER = timedelta(seconds=limits().max_retry_after_seconds)
MAX_DATE_OFFSET = timedelta(seconds=limits().max_date_offset_seconds)
_MAX_DIGITS = 9
"""A longer number of seconds means decades."""


def retry_at(answer: HttpResponse, at: datetime) -> datetime | None:
    """When the server allows the next request: its ``Retry-After``, in seconds or as a date (RFC
    9110, section 10.2.3), at most `MAX_RETRY_AFTER` after `at`. None if it names no future time.

    A date is compared with the server's own clock if that is plausible.
    """
    named = answer.headers.get("retry-after", "")
    if named.isascii() and named.isdigit():
        wait = timedelta(seconds=int(named)) if len(named) <= _MAX_DIGITS else MAX_RETRY_AFTER
    elif until := http_date(named):
        wait = until - (believable_date(answer, at) or at)
    else:
        return None
    return _within(wait, at)


def believable_date(answer: HttpResponse, at: datetime) -> datetime | None:
    """The server's time; None if it sends none, or one that differs from ours by more than
    `MAX_DATE_OFFSET`."""
    there = answer.date
    return there if there is not None and abs(there - at) <= MAX_DATE_OFFSET else None


def bounded(until: datetime | None, said_at: datetime) -> datetime | None:
    """A stored `until`, limited by the same rule: an older version may have stored it."""
    return None if until is None else _within(until - said_at, said_at)


def _within(wait: timedelta, at: datetime) -> datetime | None:
    return at + min(wait, MAX_RETRY_AFTER) if wait > timedelta(0) else None


class UrlAllowlist(Protocol):
    """What the transport needs from the table of data centers."""

    def is_allowed_url(self, url: str) -> bool:
        """Whether a request may be sent to ``url``."""


class ZohoAuth:
    """Sends an access token as Zoho's products document it.

    It is a callable, because a user's ``.netrc`` replaces plain headers.
    """

    def __init__(self, access_token: str, scheme: str = "Zoho-oauthtoken") -> None:
        self._access_token = access_token
        self._scheme = scheme

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"{self._scheme} {self._access_token}"
        return request


class Transport:
    """Sends requests to Zoho's servers only."""

    def __init__(
        self,
        url_allowlist: UrlAllowlist,
        clock: Clock,
        *,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        total_timeout_seconds: float = TOTAL_TIMEOUT_SECONDS,
        simulator_proxy: SimulatorProxy | None = None,
    ) -> None:
        """With `simulator_proxy`, every request goes through it, and its authority is the only one
        that is trusted."""
        self.url_allowlist = url_allowlist
        self.clock = clock
        self.connect_timeout_seconds = connect_timeout_seconds
        self.total_timeout_seconds = total_timeout_seconds
        self.simulator_proxy = simulator_proxy

    def attach(
        self, session: "requests.Session", known_secrets: tuple[str, ...] = ()
    ) -> "TransportAdapter":
        """Make ``session``, such as Authlib's, use this transport only. Returns the adapter, which
        has the last response. `known_secrets` are masked in responses, like the request's own.
        """
        from http.cookiejar import DefaultCookiePolicy

        from wizard.transport.adapter import TransportAdapter

        adapter = TransportAdapter(self, known_secrets)
        session.adapters.clear()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.trust_env = False  # a .netrc would replace our credentials
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.update({"User-Agent": "zoho-wizard", "Accept-Encoding": "identity"})
        return adapter

    def get(
        self,
        url: str,
        auth: ZohoAuth,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        known_secrets: tuple[str, ...] = (),
    ) -> HttpResponse:
        """GET ``url``, as `send` does."""
        content = {"params": params, "headers": headers, "auth": auth}
        return self.send("GET", url, known_secrets=known_secrets, **content)

    def send(
        self, method: str, url: str, *, known_secrets: tuple[str, ...] = (), **content: Any
    ) -> HttpResponse:
        """Send a request; `known_secrets` are masked in the response. `content` are arguments of
        `requests.request`, such as ``params``, ``data`` and ``auth``.

        Raises ``host-not-in-table``, ``unexpected-redirect``, ``answer-too-large`` or one of
        ``network-…``. The caller judges any other HTTP status.
        """
        import requests

        with requests.Session() as session:
            adapter = self.attach(session, known_secrets)
            session.request(method, url, **content)
        return adapter.last_response


def is_loopback(host: str) -> bool:
    """Whether a host is this computer."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
