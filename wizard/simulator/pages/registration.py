"""What a person writes into the form of a client, and what the console says to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from wizard.simulator.clients import Client

NAME_MISSING = "Enter a client name."
INVALID_NAME = "The client name can have no special characters except _ and &."
INVALID_HOMEPAGE = "Enter a valid homepage URL, such as https://www.example.com."
INVALID_REDIRECT_URIS = "Enter valid redirect URIs: full URLs that start with http:// or https://."

_NAME = re.compile(r"[\w& ]+")


@dataclass(frozen=True)
class Registration:
    """Name, homepage URL and redirect URIs of a client to be."""

    name: str = ""
    homepage: str = ""
    redirect_uris: tuple[str, ...] = ()

    @classmethod
    def read(cls, form: Mapping[str, str]) -> "Registration":
        """Return what the form says, blanks around each line removed."""
        return cls(
            name=form.get("name", "").strip(),
            homepage=form.get("homepage", "").strip(),
            redirect_uris=tuple(form.get("redirect_uris", "").split()),
        )

    @classmethod
    def of(cls, client: Client) -> "Registration":
        """Return what is registered already."""
        return cls(client.name, client.homepage, tuple(client.redirect_uris))

    def errors(self) -> dict[str, str]:
        """Return field name → what is wrong with it; empty when Zoho would take it."""
        errors = {}
        if not _NAME.fullmatch(self.name):
            errors["name"] = INVALID_NAME if self.name else NAME_MISSING
        if not _is_full_url(self.homepage):
            errors["homepage"] = INVALID_HOMEPAGE
        if not self.redirect_uris or not all(map(_is_redirect_uri, self.redirect_uris)):
            errors["redirect_uris"] = INVALID_REDIRECT_URIS
        return errors


def _is_full_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_redirect_uri(url: str) -> bool:
    """Whether Zoho takes it: `localhost` is fine, but 127.0.0.1 was refused in the field."""
    return _is_full_url(url) and urlsplit(url).hostname != "127.0.0.1" and "#" not in url
