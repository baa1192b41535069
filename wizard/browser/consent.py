"""Whether a page of consent asks for what the house has asked for: a pure judge.

What is granted is decided by the page's own address, which must be the one that the house made, at
an accounts server of its table. What the page says in words is a second witness: it may not speak
of another person, another client, or more than was asked for.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import parse_qsl, urlsplit

from wizard.browser.sight import Line, Sight
from wizard.model import Organization
from wizard.zoho import Zoho, products

_ADDRESS = re.compile(r"(?<![^\s()<>\[\],;:])[^\s()<>\[\],;:@]{1,64}@[\w-]+(?:\.[\w-]+)+")
"""From its very beginning: what is left of ``x'anna@…`` without it is another's. RFC 5321 has 64
characters before the @."""
_INTRODUCES = ("would like", "wants", "is requesting", "requests", "is asking", "asks")
"""What follows a client's name where a page speaks of it in a sentence."""


@dataclass(frozen=True)
class Wanted:
    """The consent that is to be given, as the house asks for it."""

    url: str
    """The authorization URL that the house has made."""
    zoho: Zoho
    email: str
    """Who gave it before and is to give it again; empty where nobody knows."""
    clients: frozenset[str]
    """The names under which the client is known."""
    scope: tuple[str, ...]
    organizations: tuple[Organization, ...] = ()
    """What the grant before reached, product by product."""
    trusts: bool = False
    """The browser's profile is kept, so that Zoho may be told to trust it."""


@dataclass(frozen=True)
class Doubt:
    """Why a page is not the consent that is wanted, and what tells who or what came."""

    code: str
    now: str = ""


def doubt_of_address(sight: Sight, wanted: Wanted) -> Doubt | None:
    """What speaks against the address of a page on which something is granted: it must be the one
    that was made, at whichever data centre of the table Zoho has moved to."""
    bare, _, _ = sight.url.partition("?")
    if bare not in {each.authorization_endpoint for each in wanted.zoho.data_centres}:
        return Doubt("elsewhere", host_of(sight.url))
    asked, shown = _query(wanted.url), _query(sight.url)
    if any(shown.count(pair) != 1 for pair in asked):
        return Doubt("other-consent")
    doubled = [name for name, _ in shown if name in dict(asked)]
    return Doubt("other-consent") if len(doubled) > len(asked) else None


def doubt_of_account(sight: Sight, wanted: Wanted) -> Doubt | None:
    """What speaks against the person who is signed in: an address other than the expected one, or
    none at all."""
    shown = {found.casefold() for found in _ADDRESS.findall(sight.text)}
    if not wanted.email:
        return Doubt("account-new", ", ".join(sorted(shown)))
    if not shown:
        return Doubt("account-unseen")
    others = sorted(shown - {wanted.email.casefold()})
    return Doubt("other-person", ", ".join(others)) if others else None


def doubt_of_client(sight: Sight, wanted: Wanted) -> Doubt | None:
    """What speaks against the client that is named."""
    lines = [line.strip() for line in sight.text.splitlines()]
    for name in wanted.clients:
        sentences = tuple(f"{name} {verb}" for verb in _INTRODUCES)
        if any(line == name or line.startswith(sentences) for line in lines):
            return None
    return Doubt("other-client", next(iter(sight.headings), ""))


def doubt_of_scope(sight: Sight, wanted: Wanted) -> Doubt | None:
    """What the page says in words beyond the scopes that were asked for, as far as it is
    understood."""
    more = [line for line in sight.lines if _exceeds(line, wanted.scope)]
    if not more and len(sight.lines) > len(wanted.scope):
        more = list(sight.lines[len(wanted.scope) :])
    if not more:
        return None
    return Doubt("wider", "; ".join(f"{each.heading}: {each.text}" for each in more))


def host_of(url: str) -> str:
    """The host of a page, as its address bar shows it."""
    return urlsplit(url).netloc or url.partition(":")[0]


def _query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _exceeds(line: Line, scope: Iterable[str]) -> bool:
    """Whether a line speaks of a product, or of an operation in it, that nobody asked for."""
    known = {_short(each.title): each.service.casefold() for each in products()}
    service = known.get(_short(line.heading))
    if service is None:
        return not _said(line.text) <= _asked(scope)
    own = [each for each in scope if each.partition(".")[0].casefold() == service]
    return not own or not _said(line.text) <= _asked(own)


def _short(title: str) -> str:
    return title.casefold().removeprefix("zoho").strip()


def _said(text: str) -> set[str]:
    """The operations that a line speaks of; reading is what everybody may."""
    folded = text.casefold()
    said = {
        operation
        for operation, verbs in _verbs().items()
        if any(re.search(rf"\b{re.escape(verb)}\b", folded) for verb in verbs)
    }
    return said | {"create", "update", "delete"} if "all" in said else said


def _asked(scope: Iterable[str]) -> set[str]:
    """The operations that scopes allow."""
    asked: set[str] = set()
    for each in scope:
        operation = each.rpartition(".")[2].casefold()
        asked |= {"create", "update", "delete", "all"} if operation == "all" else {operation}
        asked |= {"create", "update"} if operation in ("write", "create-update") else set()
    return asked


@cache
def _verbs() -> Mapping[str, list[str]]:
    text = resources.files("wizard.browser").joinpath("consent.toml").read_text("utf-8")
    return tomllib.loads(text)
