"""JSON posted to the one address that the user named for notifications.

The rules of the transport hold: a connection of its own, one deadline, verified certificates, no
redirect followed. Only the table differs: it allows that address and nothing else. The address may
be a secret, so no failure holds more of it than its host.
"""

from dataclasses import replace
from urllib.parse import urlsplit

from wizard.errors import WizardError, fail
from wizard.model import Clock
from wizard.transport import TOTAL_TIMEOUT_SECONDS, Transport, is_loopback


class _NotificationHost:
    """A table that allows one address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def is_allowed_url(self, url: str) -> bool:
        return url == self._url


def is_url(text: str) -> bool:
    """Whether `text` is meant as an address, and not as a command."""
    return text.lower().startswith(("https://", "http://"))


def host_of(url: str) -> str:
    """The host of an address, which is all that is shown of it."""
    return urlsplit(url).hostname or ""


def usable(url: str) -> str:
    """The address as it is sent to.

    Raises ``notify-address`` if it is incomplete, ``notify-address-unencrypted`` if it is not
    encrypted on its way to another machine.
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
    """POST `body` to an address as application/json within `seconds`; return the HTTP status.

    Raises what `usable` raises, one of ``network-…``, ``unexpected-redirect``,
    ``answer-too-large``; none with the exchange, which would show the address.
    """
    import requests

    named = usable(url)
    try:
        with requests.Session() as session:
            wire = Transport(_NotificationHost(named), clock, total_timeout_seconds=seconds).attach(
                session
            )
            headers = {"Content-Type": "application/json"}
            session.post(named, data=body.encode(), headers=headers)
    except WizardError as error:
        raise WizardError(replace(error.failure, exchange=None)) from None
    return wire.last_response.status
