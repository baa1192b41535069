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
"""The mark of the real Zoho; the mark of a simulator is its URL."""

_HOST_NAME = re.compile(r"[a-z0-9.-]+")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]|/\.\.?(?:/|$)")


@dataclass(frozen=True)
class DataCenter:
    """One data centre and the addresses of everything in it."""

    location: str
    """Zoho's lower-case code, as in the callback's ``location``: ``eu``."""
    name: str
    """For people: ``Europe``."""
    accounts_server: str
    """Byte for byte what the callback's ``accounts-server`` reads: ``https://accounts.zoho.eu``."""
    api_domain: str
    """As in a token response: ``https://www.zohoapis.eu``."""
    console_url: str
    """The API console, where clients are registered."""
    domain: str
    """The name that Zoho's hosts there end in: ``zoho.eu``."""
    is_separate: bool = False
    """Run apart (China): clients of other data centres cannot be enabled there, nor the reverse."""

    @property
    def domain_suffix(self) -> str:
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
    def unauthenticated_revocation_endpoint(self) -> str:
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
    def console_add_url(self) -> str:
        """The console's page for a new client."""
        return f"{self.console_url}/add"

    def console_client_url(self, client_id: str) -> str:
        """The console's page of one client."""
        return f"{self.console_url}/client/{client_id}"

    def base_url_of(self, host_label: str) -> str:
        """The base URL of a host here: ``www`` is the API domain; any other takes the place of
        ``accounts`` in the accounts server, a rule that fits every product of Zoho.
        """
        if host_label == "www":
            return self.api_domain
        return self.accounts_server.replace("accounts", host_label, 1)


@dataclass(frozen=True)
class Zoho:
    """The table of data centres: either the real Zoho's or one simulator's, never both."""

    instance: str
    """`LIVE` or the simulator's URL; written into the database so that the two never mix."""
    data_centers: tuple[DataCenter, ...]
    allowed_base_urls: tuple[str, ...] = field(repr=False)
    """Every base URL that may be asked; nothing outside of them ever is."""

    @property
    def is_live(self) -> bool:
        return self.instance == LIVE

    def data_center(self, location: str) -> DataCenter:
        """The data centre of ``location``; raises ``unknown-data-centre``."""
        for data_center in self.data_centers:
            if data_center.location == location:
                return data_center
        known = ", ".join(each.location for each in self.data_centers)
        raise fail("unknown-data-centre", value=location[:60], known=known)

    def find_data_center(self, text: str) -> DataCenter | None:
        """The data centre that ``text`` speaks of: a code, a name, or any Zoho URL or host
        (``crm.zoho.eu``, ``https://mail.zoho.com.au/x``). None for everything else, look-alikes
        such as ``zoho.eu.example`` included.
        """
        wanted = text.strip().lower()
        for data_center in self.data_centers:
            if wanted in (data_center.location, data_center.name.lower()):
                return data_center
            if _is_below(wanted, data_center.accounts_server.removesuffix("/accounts")):
                return data_center
        host = _host(wanted)
        for data_center in self.data_centers:
            domains = (data_center.domain, f"zohoapis.{data_center.domain_suffix}")
            if any(host == domain or host.endswith(f".{domain}") for domain in domains):
                return data_center
        return None

    def is_allowed_url(self, url: str) -> bool:
        """Whether ``url`` may be asked: it stands, character by character, below a known base."""
        return not _UNSAFE_IN_URL.search(url) and any(
            _is_below(url, base) for base in self.allowed_base_urls
        )

    def accepts_callback(self, location: str, accounts_server: str) -> bool:
        """Whether a callback's ``location`` and ``accounts-server`` name one row of the table,
        the second byte for byte. Only exact comparison withstands look-alike addresses.
        """
        return any(
            each.location == location and each.accounts_server == accounts_server
            for each in self.data_centers
        )


def load(simulator_url: str | None = None) -> Zoho:
    """The real Zoho's table, or that of the simulator at ``simulator_url`` (``http://127.0.0.1:8730``),
    whose hosts are paths: ``/<data centre>/<host>/…``. The real table holds no loopback address,
    the simulator's nothing else.
    """
    if simulator_url is None:
        return _build_table(
            LIVE, (_live_data_center(location, row) for location, row in _rows().items())
        )
    url = simulator_url.rstrip("/")
    return _build_table(
        url, (_simulated_data_center(url, location, row) for location, row in _rows().items())
    )


def _build_table(instance: str, rows: Iterable[DataCenter]) -> Zoho:
    data_centers = tuple(rows)
    labels = ("accounts", *dict.fromkeys(product.host for product in products()))
    bases = tuple(each.base_url_of(label) for each in data_centers for label in labels)
    return Zoho(instance=instance, data_centers=data_centers, allowed_base_urls=bases)


def _live_data_center(location: str, row: dict[str, Any]) -> DataCenter:
    return DataCenter(
        location=location,
        accounts_server=f"https://accounts.{row['domain']}",
        console_url=f"https://api-console.{row['domain']}",
        **row,
    )


def _simulated_data_center(url: str, location: str, row: dict[str, Any]) -> DataCenter:
    return DataCenter(
        location=location,
        accounts_server=f"{url}/{location}/accounts",
        console_url=f"{url}/{location}/api-console",
        **{**row, "api_domain": f"{url}/{location}/www"},
    )


@cache
def _rows() -> dict[str, dict[str, Any]]:
    text = resources.files("wizard.zoho").joinpath("data_centers.toml").read_text("utf-8")
    return tomllib.loads(text)


def _is_below(url: str, base: str) -> bool:
    return url == base or url.startswith(f"{base}/")


def _host(text: str) -> str:
    """The host name in a URL or a bare host; empty where there is none to trust."""
    try:
        host = urlsplit(text if "://" in text else f"https://{text}").hostname or ""
    except ValueError:
        return ""
    return host if _HOST_NAME.fullmatch(host) else ""
