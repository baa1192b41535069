"""HTTP to Zoho; the only package that imports requests and truststore.

A request goes only to a URL of the table of data centers (`webhook`: to the URL that the user chose
for notifications). It has its own connection and one total deadline. Redirects are not followed,
because a redirect could send a client secret to another host. The result is an `HttpResponse`, or a
`WizardError` whose failure says whether anything was sent. Connections are not reused: only with a
new one is it certain that nothing was sent.

requests and urllib3 are imported by the first request: most commands send none.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from wizard.model import Clock
from wizard.transport.redaction import CONTROL_CHARACTERS, mask_text, sanitize, sanitize_line
from wizard.transport.response import (
    HttpResponse,
    believable_date,
    bounded,
    http_date,
    parse_json,
    retry_at,
)

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


class UrlAllowlist(Protocol):
    """What the transport needs from the table of data centers."""

    def is_allowed_url(self, url: str) -> bool:
        """Whether a request may be sent to ``url``."""


class ZohoAuth:
    """Sends an access token as Zoho's products document it.

    It is a callable, because a user's ``.netrc`` replaces plain headers.
    """

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"Zoho-oauthtoken {self._access_token}"
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
    ) -> None:
        self.url_allowlist = url_allowlist
        self.clock = clock
        self.connect_timeout_seconds = connect_timeout_seconds
        self.total_timeout_seconds = total_timeout_seconds

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
        """GET ``url``; `known_secrets` are masked in the response.

        Raises ``host-not-in-table``, ``unexpected-redirect``, ``answer-too-large`` or one of
        ``network-…``. The caller judges any other HTTP status.
        """
        import requests

        with requests.Session() as session:
            adapter = self.attach(session, known_secrets)
            session.get(url, params=params, headers=headers, auth=auth)
        return adapter.last_response


def is_loopback(host: str) -> bool:
    """Whether a host is this computer."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
