"""POST JSON to the URL that the user chose for notifications.

The rules of the transport apply: a new connection, one deadline, verified certificates, no
redirects. Only this URL is allowed. It may contain a secret, so a failure shows only its host.
"""

from dataclasses import replace
from urllib.parse import urlsplit

from wizard.errors import WizardError, fail
from wizard.model import Clock
from wizard.transport import TOTAL_TIMEOUT_SECONDS, Transport, is_loopback


class _NotificationHost:
    """Allows one URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def is_allowed_url(self, url: str) -> bool:
        return url == self._url


def is_url(text: str) -> bool:
    """Whether `text` is a URL and not a command."""
    return text.lower().startswith(("https://", "http://"))


def host_of(url: str) -> str:
    """The host of a URL; nothing else of it is shown."""
    return urlsplit(url).hostname or ""


def normalize_url(url: str) -> str:
    """Normalize a URL.

    Raises ``notify-address`` if it is incomplete, ``notify-address-unencrypted`` if it leads to
    another computer without encryption.
    """
    import requests  # slow to import, and most messages go to a command

    try:
        host, port = host_of(url), urlsplit(url).port
        named = requests.Request("POST", url).prepare().url
    except (requests.RequestException, ValueError):
        raise fail("notify-address") from None
    if not (host and named) or port == 0 or any(each.isspace() for each in url):
        raise fail("notify-address")
    if not url.lower().startswith("https://") and not is_loopback(host):
        raise fail("notify-address-unencrypted", host=host)
    return named


def post_json(url: str, body: str, clock: Clock, seconds: float = TOTAL_TIMEOUT_SECONDS) -> int:
    """POST `body` as application/json within `seconds`; returns the HTTP status.

    Raises what `normalize_url` raises, one of ``network-…``, ``unexpected-redirect`` or
    ``answer-too-large``, always without the exchange, which would show the URL.
    """
    import requests

    target = normalize_url(url)
    try:
        with requests.Session() as session:
            adapter = Transport(
                _NotificationHost(target), clock, total_timeout_seconds=seconds
            ).attach(session)
            headers = {"Content-Type": "application/json"}
            session.post(target, data=body.encode(), headers=headers)
    except WizardError as error:
        raise WizardError(replace(error.failure, exchange=None)) from None
    return adapter.last_response.status
