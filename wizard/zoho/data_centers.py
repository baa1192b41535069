"""Data centers: the addresses of Zoho's accounts servers, API domains, consoles and products.

Zoho has eleven separate data centers. A token works only in the one that issued it, which the
callback names by ``location`` and ``accounts-server``. These parameters decide where a client
secret is sent, so they are compared with this table and never used themselves.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from wizard.errors import fail
from wizard.tables import read_table
from wizard.zoho.products import products

LIVE = "live"
"""Identifies the real Zoho; a simulator is identified by its URL."""

_HOST_NAME = re.compile(r"[a-z0-9.-]+")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]|/\.\.?(?:/|$)")


@dataclass(frozen=True)
class DataCenter:
    """One data center and its addresses."""

    location: str
    """Zoho's lower-case code, as in the callback's ``location``: ``eu``."""
    name: str
    """In words: ``Europe``."""
    accounts_server: str
    """Exactly the callback's ``accounts-server``: ``https://accounts.zoho.eu``."""
    api_domain: str
    """As in a token response: ``https://www.zohoapis.eu``."""
    console_url: str
    """The API console, where clients are registered."""
    domain: str
    """The domain of Zoho's hosts there: ``zoho.eu``."""
    is_separate: bool = False
    """China: clients of other data centers can't be enabled there, nor the reverse."""

    @property
    def domain_suffix(self) -> str:
        """How most programs name a data center: ``com``, ``eu``, ``com.au``."""
        return self.domain.partition(".")[2]

    @property
    def authorization_endpoint(self) -> str:
        return f"{self.accounts_server}/oauth/v2/auth"

    @property
    def token_endpoint(self) -> str:
        return f"{self.accounts_server}/oauth/v2/token"

    @property
    def enhancement_endpoint(self) -> str:
        """Exchanges a refresh token for an enhancement token."""
        return f"{self.accounts_server}/oauth/v2/token/scopeenhance"

    @property
    def extra_scope_page(self) -> str:
        """Where a user with an enhancement token adds scopes to a refresh token."""
        return f"{self.accounts_server}/oauth/v2/token/addextrascope"

    @property
    def revocation_endpoint(self) -> str:
        """The newer endpoint, which authenticates the client by HTTP Basic."""
        return f"{self.accounts_server}/oauth/v2/revoke/token"

    @property
    def unauthenticated_revocation_endpoint(self) -> str:
        """The older endpoint, which Zoho still documents; it needs only the token."""
        return f"{self.accounts_server}/oauth/v2/token/revoke"

    @property
    def user_info_endpoint(self) -> str:
        """The account of a token; needs ``AaaServer.profile.READ``."""
        return f"{self.accounts_server}/oauth/user/info"

    @property
    def sign_out_url(self) -> str:
        return f"{self.accounts_server}/logout"

    @property
    def connected_apps_url(self) -> str:
        """The page where users see and remove connected apps."""
        return f"{self.accounts_server}/home#sessions/connectedapps"

    @property
    def console_add_url(self) -> str:
        """The console's page for a new client."""
        return f"{self.console_url}/add"

    def console_client_url(self, client_id: str) -> str:
        """The console's page of one client."""
        return f"{self.console_url}/client/{client_id}"

    def base_url_of(self, host_label: str) -> str:
        """The base URL of a host: ``www`` is the API domain; any other label replaces ``accounts``
        in the accounts server.
        """
        if host_label == "www":
            return self.api_domain
        return self.accounts_server.replace("accounts", host_label, 1)


@dataclass(frozen=True)
class Zoho:
    """The table of data centers: the real Zoho's or one simulator's, never both."""

    instance: str
    """`LIVE` or the simulator's URL; stored in the database, so that the two never mix."""
    data_centers: tuple[DataCenter, ...]
    allowed_base_urls: tuple[str, ...] = field(repr=False)
    """Requests are sent only to URLs below one of these."""

    @property
    def is_live(self) -> bool:
        return self.instance == LIVE

    def data_center(self, location: str) -> DataCenter:
        """The data center of ``location``; raises ``unknown-data-center``."""
        for data_center in self.data_centers:
            if data_center.location == location:
                return data_center
        known = ", ".join(each.location for each in self.data_centers)
        raise fail("unknown-data-center", value=location[:60], known=known)

    def find_data_center(self, text: str) -> DataCenter | None:
        """The data center that ``text`` names: a code, a name, or any Zoho URL or host
        (``crm.zoho.eu``, ``https://mail.zoho.com.au/x``). None for anything else, also for
        look-alikes such as ``zoho.eu.example``.
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
        """Whether a request may be sent to ``url``: it begins with a known base URL."""
        return not _UNSAFE_IN_URL.search(url) and any(
            _is_below(url, base) for base in self.allowed_base_urls
        )

    def accepts_callback(self, location: str, accounts_server: str) -> bool:
        """Whether a callback's ``location`` and ``accounts-server`` belong to one row of the table.
        Only an exact comparison rejects look-alike addresses.
        """
        return any(
            each.location == location and each.accounts_server == accounts_server
            for each in self.data_centers
        )


def load(simulator_url: str | None = None, *, has_real_host_names: bool = False) -> Zoho:
    """The real Zoho's table, or that of the simulator at ``simulator_url`` (``http://127.0.0.1:8730``),
    whose hosts are paths: ``/<location>/<host>/…``. The real table has no loopback address, the
    simulator's has no other, unless ``has_real_host_names``: then it has the same as the real one.
    """
    if simulator_url is None or has_real_host_names:
        return _build_table(
            simulator_url or LIVE,
            (_live_data_center(location, row) for location, row in _rows().items()),
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
    return read_table("zoho/data_centers.toml")


def _is_below(url: str, base: str) -> bool:
    return url == base or url.startswith(f"{base}/")


def _host(text: str) -> str:
    """The host of a URL, or a bare host; empty if it can't be trusted."""
    try:
        host = urlsplit(text if "://" in text else f"https://{text}").hostname or ""
    except ValueError:
        return ""
    return host if _HOST_NAME.fullmatch(host) else ""
