"""The request that a text shows: where it went, how, and with what. Pure."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import SplitResult

from wizard.diagnosis.evidence import Sent, Shape
from wizard.diagnosis.reading.clues import Clues
from wizard.diagnosis.reading.consent import with_consent, with_origin
from wizard.diagnosis.reading.shapes import CLIENT_ID, WHOLE_TOKEN, foreign, shape_of
from wizard.zoho import DataCentre, Product, Zoho, products

_TOKEN_PATH = re.compile(r"/oauth/v\d/token(?![/\w])")
_AUTHORIZATION_PATH = re.compile(r"/oauth/v\d/auth/?$")
_BODY_FROM_FILE = re.compile(r"-(?<!\S.)(?:d|-data[\w-]{0,20}+)[ =]?[\"']?@")
_BLANK = re.compile(r"\s|\\[nr]|%0[AD]|%20|\+$")
_GRANT_TYPE = re.compile(r"[A-Za-z_:.-]{1,60}")
_OAUTH_NAMES = frozenset(
    (
        *("grant_type", "client_id", "client_secret", "redirect_uri", "code", "refresh_token"),
        *("code_verifier", "scope", "soid"),
    )
)
OPERATIONS = {
    "GET": "READ",
    "POST": "CREATE",
    "PUT": "UPDATE",
    "PATCH": "UPDATE",
    "DELETE": "DELETE",
}


def sent_in(clues: Clues, zoho: Zoho) -> Sent:
    """What the text tells of the request that was refused; never a secret."""
    place = place_in(clues, zoho)
    token = clues.token
    asks_token = bool(token_requests(clues))
    names = clues.names & _OAUTH_NAMES
    hidden = _BODY_FROM_FILE.search(clues.text) if clues.is_curl else None
    grants = [each for each in clues.values("grant_type") if _GRANT_TYPE.fullmatch(each)]
    method = clues.requests[-1][0] if clues.requests else ""
    content_type = next(iter(clues.values("content-type")), "") if asks_token else ""
    if asks_token and not method and _opened(clues):
        method = "GET"
    sent = Sent(
        location=place.location if place else "",
        method=method,
        content_type=foreign(content_type, 60),
        grant_type=foreign(grants[-1], 60) if grants else "",
        client_id=next(iter(client_ids(clues)), ""),
        client_id_blank=any(map(_id_with_blank, clues.values("client_id"))),
        redirect_uri=next(iter(redirect_uris(clues)), ""),
        parameters=names if asks_token and not hidden and (names or clues.is_curl) else None,
        token_shape=shape_of(token) if token else None,
        secret_shape=_secret_shape(clues),
        scope_needed=scope_needed(clues, zoho),
    )
    consent = authorization_url(clues)
    sent = with_consent(sent, clues, consent)
    return with_origin(sent, clues, zoho, consent) if asks_token else sent


def token_requests(clues: Clues) -> tuple[str, ...]:
    """The addresses and paths of token endpoints in the text."""
    addresses = [each.path for each in clues.addresses]
    paths = [path.partition("?")[0] for _, path in clues.requests]
    return tuple(each for each in (*addresses, *paths) if _TOKEN_PATH.search(each))


def authorization_url(clues: Clues) -> SplitResult | None:
    """The address of a consent in the text, the last one."""
    found = [each for each in clues.addresses if _AUTHORIZATION_PATH.search(each.path)]
    return found[-1] if found else None


def client_ids(clues: Clues) -> tuple[str, ...]:
    """The client ids in the text, each once: first that of the last request, which failed."""
    named = [each.strip() for each in reversed(clues.values("client_id"))]
    given = (each for each in named if CLIENT_ID.fullmatch(each))
    return tuple(dict.fromkeys((*given, *(each[0] for each in CLIENT_ID.finditer(clues.text)))))


def redirect_uris(clues: Clues) -> tuple[str, ...]:
    """The redirect URIs that the text names as such, without a query, which may hold a code."""
    named = [v for v in clues.values("redirect_uri", "redirect_url", "redirecturl") if "://" in v]
    consent = authorization_url(clues)
    if consent is not None:
        named.insert(0, clues.query(consent).get("redirect_uri", ""))
    plain = (each.partition("?")[0].partition("#")[0] for each in named)
    return tuple(dict.fromkeys(foreign(each, 300) for each in plain if each))


def other_addresses(clues: Clues, zoho: Zoho) -> tuple[str, ...]:
    """The addresses in the text that are not Zoho's: they may be redirect URIs."""
    found = (each for each in clues.addresses if zoho.find(each.geturl()) is None)
    return tuple(foreign(each.geturl().partition("?")[0], 300) for each in found)


def place_in(clues: Clues, zoho: Zoho) -> DataCentre | None:
    """The data centre that was asked, by the addresses, the host header or ``location``."""
    hosts = clues.values("host", "accounts-server", "accounts_server", "api_domain")
    asked = _asked(clues)
    token_endpoints = (each for each in asked if _TOKEN_PATH.search(each.partition("?")[0]))
    for each in (*token_endpoints, *asked, *hosts, *clues.values("location")):
        if place := zoho.find(each):
            return place
    return None


def product_in(clues: Clues, zoho: Zoho) -> Product | None:
    """The product that was called, by its address, else by its name where only one is named."""
    for url in _asked(clues):
        if found := _called(url, zoho):
            return found[0]
    paths = [path for _, path in clues.requests if path.startswith("/")]
    for each in products():
        if each.host == "www" and any(path.startswith(f"/{_root(each)}/") for path in paths):
            return each
    spoken = {word.lower() for word in clues.words}
    named = [each for each in products() if {each.id, each.service.lower()} & spoken]
    return named[0] if len(named) == 1 else None


def scope_needed(clues: Clues, zoho: Zoho) -> str:
    """The scope that the call wants, as far as its address tells; empty where it does not."""
    methods = dict(_requested(clues))
    for url in _asked(clues):
        if found := _called(url, zoho):
            return _scope_of(*found, methods.get(url, "GET"))
    return ""


def _requested(clues: Clues) -> tuple[tuple[str, str], ...]:
    """Addresses of requests with their methods, the last first; a path is completed by the
    ``Host`` header that goes with it (RFC 9112, section 3.2.1)."""
    host = next(iter(clues.values("host")), "")
    return tuple(
        (url if "://" in url else f"https://{host}{url}", method)
        for method, url in reversed(clues.requests)
        if "://" in url or host
    )


def _asked(clues: Clues) -> tuple[str, ...]:
    """The addresses in the text, those of requests before the others."""
    requested = (url for url, _ in _requested(clues))
    return tuple(dict.fromkeys((*requested, *(each.geturl() for each in clues.addresses))))


def _called(url: str, zoho: Zoho) -> tuple[Product, str] | None:
    """The product that answers at an address, and what stands behind its version."""
    place = zoho.find(url)
    for each in products() if place else ():
        base = place.host(each.host) if place else ""
        root = _root(each)
        if url.startswith(f"{base}/{root}/"):
            rest = url.removeprefix(f"{base}/{root}/").partition("?")[0]
            return each, re.sub(r"^(?:api/)?(?:v[\d.]+/)?", "", rest)
    return None


def _root(product: Product) -> str:
    """The first part of every path of a product: ``crm`` of ``/crm/v8/org``."""
    return product.probes[0].path.split("/")[1]


def _scope_of(product: Product, path: str, method: str) -> str:
    """``ZohoCRM.modules.leads.READ`` for a GET of ``Leads`` in CRM."""
    families = _calls().get(product.id)
    names = [name for name in path.split("/") if re.fullmatch(r"[A-Za-z_]{2,40}", name)]
    if families is None or not names:
        return ""
    first = names[0].lower()
    family = families["calls"].get(first, families["otherwise"])
    if family is None or family == "":
        return ""
    if "." in family and family.count(".") == 2:
        return str(family)
    second = names[1].lower() if len(names) > 1 else "all"
    return f"{product.service}.{family.format(first, second)}.{OPERATIONS.get(method, 'READ')}"


@cache
def _calls() -> dict[str, dict[str, Any]]:
    text = resources.files("wizard.diagnosis.reading").joinpath("calls.toml").read_text("utf-8")
    return tomllib.loads(text)


def _secret_shape(clues: Clues) -> Shape | None:
    """What was sent as client secret looks like; only an unmistakable fault is named."""
    for value in clues.values("client_secret"):
        if CLIENT_ID.fullmatch(value):
            return Shape.CLIENT_ID
        if _with_blank(value):
            return Shape.BLANK
        if WHOLE_TOKEN.fullmatch(value):
            return Shape.OTHER
    return None


def _id_with_blank(value: str) -> bool:
    """Whether this is a client id but for a blank or line end in it or at its ends."""
    return _with_blank(value) and bool(CLIENT_ID.fullmatch(_BLANK.sub("", value)))


def _with_blank(value: str) -> bool:
    """Whether a blank or line end was sent with a value; a form writes a blank as a plus."""
    return bool(_BLANK.search(value))


def _opened(clues: Clues) -> bool:
    """Whether a token address stands there as copied from a browser: alone, or with what a program
    would have posted in it."""
    alone = re.fullmatch(r"\s*https?://\S+\s*", clues.text[:10_000])
    asked = (each for each in clues.addresses if _TOKEN_PATH.search(each.path))
    return bool(alone) or any("grant_type" in clues.query(each) for each in asked)


def text_is_one_word(clues: Clues) -> Iterator[str]:
    """The only word of the text, if it has one only."""
    parts = clues.text[:1000].split()
    if len(parts) == 1 and len(clues.text) < 1000:
        yield parts[0].strip("\"'`“”‘’()[]{}.,;:")
