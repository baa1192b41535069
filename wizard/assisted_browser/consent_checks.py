"""Check that a consent page requests what the wizard requested. Pure.

The URL decides what is granted, so it must be the wizard's, at a known accounts server. The text is
checked, too: it must not name a different account or client, or more than was requested.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import parse_qsl, urlsplit

from wizard.assisted_browser.page_snapshot import ListItem, PageSnapshot
from wizard.model import Organization
from wizard.zoho import Zoho, products

_EMAIL_ADDRESS = re.compile(r"(?<![^\s()<>\[\],;:])[^\s()<>\[\],;:@]{1,64}@[\w-]+(?:\.[\w-]+)+")
"""Anchored at its start, so that the end of ``x'anna@…`` isn't read as an address. RFC 5321 allows
64 characters before the @."""
_REQUEST_PHRASES = ("would like", "wants", "is requesting", "requests", "is asking", "asks")
"""Phrases that follow a client's name in a sentence."""


@dataclass(frozen=True)
class ExpectedConsent:
    """The consent that the wizard requested."""

    url: str
    """The authorization URL."""
    zoho: Zoho
    email: str
    """Who gave the previous consent; empty if not known."""
    client_names: frozenset[str]
    """The client's known names."""
    scope: tuple[str, ...]
    organizations: tuple[Organization, ...] = ()
    """What the previous grant reached, by product."""
    can_trust_browser: bool = False
    """The browser profile is kept, so Zoho may trust it."""


@dataclass(frozen=True)
class ConsentMismatch:
    """Why a page isn't the expected consent (`code`), and the value found (`actual`)."""

    code: str
    actual: str = ""


def find_url_mismatch(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentMismatch | None:
    """Compare the page's URL with the expected one, at any known data center."""
    base_url, _, _ = snapshot.url.partition("?")
    if base_url not in {each.authorization_endpoint for each in expected.zoho.data_centers}:
        return ConsentMismatch("elsewhere", displayed_host(snapshot.url))
    expected_query, actual_query = _query_parameters(expected.url), _query_parameters(snapshot.url)
    if any(actual_query.count(pair) != 1 for pair in expected_query):
        return ConsentMismatch("other-consent")
    repeated = [name for name, _ in actual_query if name in dict(expected_query)]
    return ConsentMismatch("other-consent") if len(repeated) > len(expected_query) else None


def find_account_mismatch(
    snapshot: PageSnapshot, expected: ExpectedConsent
) -> ConsentMismatch | None:
    """Compare the signed-in account with the expected one; a page that names none is a mismatch."""
    actual = {found.casefold() for found in _EMAIL_ADDRESS.findall(snapshot.text)}
    if not expected.email:
        return ConsentMismatch("account-new", ", ".join(sorted(actual)))
    if not actual:
        return ConsentMismatch("account-unseen")
    others = sorted(actual - {expected.email.casefold()})
    return ConsentMismatch("other-person", ", ".join(others)) if others else None


def find_client_mismatch(
    snapshot: PageSnapshot, expected: ExpectedConsent
) -> ConsentMismatch | None:
    """Check that the page names the client."""
    lines = [line.strip() for line in snapshot.text.splitlines()]
    for name in expected.client_names:
        sentences = tuple(f"{name} {verb}" for verb in _REQUEST_PHRASES)
        if any(line == name or line.startswith(sentences) for line in lines):
            return None
    return ConsentMismatch("other-client", next(iter(snapshot.headings), ""))


def find_scope_mismatch(
    snapshot: PageSnapshot, expected: ExpectedConsent
) -> ConsentMismatch | None:
    """Check that the page's text names no more than the requested scopes, as far as it is
    understood."""
    excess = [line for line in snapshot.list_items if _exceeds_scope(line, expected.scope)]
    if not excess and len(snapshot.list_items) > len(expected.scope):
        excess = list(snapshot.list_items[len(expected.scope) :])
    if not excess:
        return None
    return ConsentMismatch("wider", "; ".join(f"{each.heading}: {each.text}" for each in excess))


def displayed_host(url: str) -> str:
    """The host of a URL, as the address bar shows it."""
    return urlsplit(url).netloc or url.partition(":")[0]


def _query_parameters(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _exceeds_scope(item: ListItem, scope: Iterable[str]) -> bool:
    """Whether a line names a product, or an operation on it, that wasn't requested."""
    services = {_short_title(each.title): each.service.casefold() for each in products()}
    service = services.get(_short_title(item.heading))
    if service is None:
        return not _operations_in_text(item.text) <= _operations_in_scope(scope)
    product_scope = [each for each in scope if each.partition(".")[0].casefold() == service]
    return not product_scope or not _operations_in_text(item.text) <= _operations_in_scope(
        product_scope
    )


def _short_title(title: str) -> str:
    return title.casefold().removeprefix("zoho").strip()


def _operations_in_text(text: str) -> set[str]:
    """The operations that a line names, other than reading."""
    folded = text.casefold()
    operations = {
        operation
        for operation, verbs in _operation_verbs().items()
        if any(re.search(rf"\b{re.escape(verb)}\b", folded) for verb in verbs)
    }
    return operations | {"create", "update", "delete"} if "all" in operations else operations


def _operations_in_scope(scope: Iterable[str]) -> set[str]:
    """The operations that scopes allow."""
    operations: set[str] = set()
    for each in scope:
        operation = each.rpartition(".")[2].casefold()
        operations |= {"create", "update", "delete", "all"} if operation == "all" else {operation}
        operations |= {"create", "update"} if operation in ("write", "create-update") else set()
    return operations


@cache
def _operation_verbs() -> Mapping[str, list[str]]:
    text = (
        resources.files("wizard.assisted_browser")
        .joinpath("operation_verbs.toml")
        .read_text("utf-8")
    )
    return tomllib.loads(text)
