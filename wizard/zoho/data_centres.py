"""Data centres: where Zoho's accounts servers, API domains, consoles and products stand.

Zoho runs apart in eleven data centres. A token lives in the one that issued it, and the callback
names that one by ``location`` and ``accounts-server``. Because those parameters decide where a
client secret is sent, they are looked up and compared with this table and never used themselves.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from wizard.errors import fail
from wizard.zoho.products import products

LIVE = "live"
"""The mark of the real Zoho; the mark of a sandbox is its URL."""

_HOST_NAME = re.compile(r"[a-z0-9.-]+")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]|/\.\.?(?:/|$)")


@dataclass(frozen=True)
class DataCentre:
    """One data centre and the addresses of everything in it."""

    location: str
    """Zoho's lower-case code, as in the callback's ``location``: ``eu``."""
    name: str
    """For people: ``Europe``."""
    accounts_server: str
    """Byte for byte what the callback's ``accounts-server`` reads: ``https://accounts.zoho.eu``."""
    api_domain: str
    """As in a token response: ``https://www.zohoapis.eu``."""
    console: str
    """The API console, where clients are registered."""
    domain: str
    """The name that Zoho's hosts there end in: ``zoho.eu``."""
    separate: bool = False
    """Run apart (China): clients of other data centres cannot be enabled there, nor the reverse."""

    @property
    def suffix(self) -> str:
        """How most programs name a data centre: ``com``, ``eu``, ``com.au``."""
        return self.domain.partition(".")[2]

    @property
    def authorization_endpoint(self) -> str:
        return f"{self.accounts_server}/oauth/v2/auth"

    @property
    def token_endpoint(self) -> str:
        return f"{self.accounts_server}/oauth/v2/token"

    @property
    def revocation_endpoint(self) -> str:
        """The newer form, which authenticates the client by HTTP Basic."""
        return f"{self.accounts_server}/oauth/v2/revoke/token"

    @property
    def plain_revocation_endpoint(self) -> str:
        """The older form, which Zoho still documents: whoever has a token may end it."""
        return f"{self.accounts_server}/oauth/v2/token/revoke"

    @property
    def user_info_endpoint(self) -> str:
        """Who am I; needs ``AaaServer.profile.READ``."""
        return f"{self.accounts_server}/oauth/user/info"

    @property
    def sign_out_url(self) -> str:
        return f"{self.accounts_server}/logout"

    @property
    def connected_apps_url(self) -> str:
        """Where a person sees and revokes the applications they have let in."""
        return f"{self.accounts_server}/home#sessions/connectedapps"

    @property
    def console_add(self) -> str:
        """The console's page for a new client."""
        return f"{self.console}/add"

    def console_client(self, client_id: str) -> str:
        """The console's page of one client."""
        return f"{self.console}/client/{client_id}"

    def host(self, label: str) -> str:
        """The base URL of a host here: ``www`` is the API domain; any other takes the place of
        ``accounts`` in the accounts server, a rule that fits every product of Zoho.
        """
        if label == "www":
            return self.api_domain
        return self.accounts_server.replace("accounts", label, 1)


@dataclass(frozen=True)
class Zoho:
    """The table of data centres: either the real Zoho's or one sandbox's, never both."""

    mark: str
    """`LIVE` or the sandbox's URL; written into the database so that the two never mix."""
    data_centres: tuple[DataCentre, ...]
    bases: tuple[str, ...] = field(repr=False)
    """Every base URL that may be asked; nothing outside of them ever is."""

    @property
    def live(self) -> bool:
        return self.mark == LIVE

    def data_centre(self, location: str) -> DataCentre:
        """The data centre of ``location``; raises ``unknown-data-centre``."""
        for data_centre in self.data_centres:
            if data_centre.location == location:
                return data_centre
        known = ", ".join(each.location for each in self.data_centres)
        raise fail("unknown-data-centre", given=location[:60], known=known)

    def find(self, text: str) -> DataCentre | None:
        """The data centre that ``text`` speaks of: a code, a name, or any Zoho URL or host
        (``crm.zoho.eu``, ``https://mail.zoho.com.au/x``). None for everything else, look-alikes
        such as ``zoho.eu.example`` included.
        """
        wanted = text.strip().lower()
        for data_centre in self.data_centres:
            if wanted in (data_centre.location, data_centre.name.lower()):
                return data_centre
            if _within(wanted, data_centre.accounts_server.removesuffix("/accounts")):
                return data_centre
        host = _host(wanted)
        for data_centre in self.data_centres:
            domains = (data_centre.domain, f"zohoapis.{data_centre.suffix}")
            if any(host == domain or host.endswith(f".{domain}") for domain in domains):
                return data_centre
        return None

    def allows(self, url: str) -> bool:
        """Whether ``url`` may be asked: it stands, character by character, below a known base."""
        return not _UNSAFE_IN_URL.search(url) and any(_within(url, base) for base in self.bases)

    def accepts_callback(self, location: str, accounts_server: str) -> bool:
        """Whether a callback's ``location`` and ``accounts-server`` name one row of the table,
        the second byte for byte. Only exact comparison withstands look-alike addresses.
        """
        return any(
            each.location == location and each.accounts_server == accounts_server
            for each in self.data_centres
        )


def load(sandbox_url: str | None = None) -> Zoho:
    """The real Zoho's table, or that of the sandbox at ``sandbox_url`` (``http://127.0.0.1:8730``),
    whose hosts are paths: ``/<data centre>/<host>/…``. The real table holds no loopback address,
    the sandbox's nothing else.
    """
    if sandbox_url is None:
        return _table(LIVE, (_live(location, row) for location, row in _rows().items()))
    url = sandbox_url.rstrip("/")
    return _table(url, (_simulated(url, location, row) for location, row in _rows().items()))


def _table(mark: str, rows: Iterable[DataCentre]) -> Zoho:
    data_centres = tuple(rows)
    labels = ("accounts", *dict.fromkeys(product.host for product in products()))
    bases = tuple(each.host(label) for each in data_centres for label in labels)
    return Zoho(mark=mark, data_centres=data_centres, bases=bases)


def _live(location: str, row: dict[str, Any]) -> DataCentre:
    return DataCentre(
        location=location,
        accounts_server=f"https://accounts.{row['domain']}",
        console=f"https://api-console.{row['domain']}",
        **row,
    )


def _simulated(url: str, location: str, row: dict[str, Any]) -> DataCentre:
    return DataCentre(
        location=location,
        accounts_server=f"{url}/{location}/accounts",
        console=f"{url}/{location}/api-console",
        **{**row, "api_domain": f"{url}/{location}/www"},
    )


@cache
def _rows() -> dict[str, dict[str, Any]]:
    text = resources.files("wizard.zoho").joinpath("data_centres.toml").read_text("utf-8")
    return tomllib.loads(text)


def _within(url: str, base: str) -> bool:
    return url == base or url.startswith(f"{base}/")


def _host(text: str) -> str:
    """The host name in a URL or a bare host; empty where there is none to trust."""
    try:
        host = urlsplit(text if "://" in text else f"https://{text}").hostname or ""
    except ValueError:
        return ""
    return host if _HOST_NAME.fullmatch(host) else ""
