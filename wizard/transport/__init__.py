"""HTTP to Zoho: the one door to the network, and the only importer of requests and truststore.

Every request goes to an address of the table of data centres (`webhook`: to the one address that
the user named for notifications), over a connection of its own, within
one total deadline, and follows no redirect: a redirect is how a client secret leaks to a stranger.
What comes back is an `Answer`, or a `WizardError` whose failure says whether anything was sent.
Connections are not reused because only a fresh one tells with certainty that nothing was sent.

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
    """What the transport must know of the table of data centres."""

    def is_allowed_url(self, url: str) -> bool:
        """Whether ``url`` may be asked."""


class ZohoAuth:
    """Sends an access token as Zoho's products document it.

    A callable and not a bare header, because a user's ``.netrc`` replaces bare headers.
    """

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"Zoho-oauthtoken {self._access_token}"
        return request


class Transport:
    """Asks Zoho's servers, and nobody else."""

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
        """Make ``session`` (Authlib's is one) speak through this transport only; returns the wire
        that keeps its last answer. `known_secrets` are masked in the answers like those that a
        request carries.
        """
        from http.cookiejar import DefaultCookiePolicy

        from wizard.transport.adapter import TransportAdapter

        wire = TransportAdapter(self, known_secrets)
        session.adapters.clear()
        session.mount("http://", wire)
        session.mount("https://", wire)
        session.trust_env = False  # a .netrc would replace our credentials by its own
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.update({"User-Agent": "zoho-wizard", "Accept-Encoding": "identity"})
        return wire

    def get(
        self,
        url: str,
        auth: ZohoAuth,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        known_secrets: tuple[str, ...] = (),
    ) -> HttpResponse:
        """GET ``url``; `known_secrets` are masked in the answer.

        Raises ``host-not-in-table``, ``unexpected-redirect``, ``answer-too-large`` or one of
        ``network-…``; every HTTP status else is the caller's to judge.
        """
        import requests

        with requests.Session() as session:
            wire = self.attach(session, known_secrets)
            session.get(url, params=params, headers=headers, auth=auth)
        return wire.last_response


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
