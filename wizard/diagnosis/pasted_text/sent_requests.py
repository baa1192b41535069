"""The request that failed, as far as a text shows it: URL, data center, product, parameters. Pure.

It never contains a secret.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Any
from urllib.parse import SplitResult

from wizard.credential_formats import CLIENT_ID, TOKEN, TOKEN_PREFIX
from wizard.diagnosis.evidence import SentRequest, TokenFormat
from wizard.diagnosis.pasted_text.parsed_text import MAX_HEADER_DISTANCE, ParsedText
from wizard.diagnosis.pasted_text.token_formats import masked_line, token_format_of
from wizard.tables import read_table
from wizard.zoho import DataCenter, Product, Zoho, products

_CODE = re.compile(TOKEN_PREFIX)
"""How every code of Zoho begins; products have numbers called codes, too."""


def with_authorization_request(
    sent_request: SentRequest, parsed: ParsedText, authorization_url: SplitResult | None
) -> SentRequest:
    """Add to `sent_request` what an authorization URL asked for."""
    if authorization_url is None:
        return sent_request
    asked = parsed.query(authorization_url)
    return replace(
        sent_request,
        is_offline=asked.get("access_type") == "offline",
        has_consent_prompt=asked.get("prompt") == "consent",
    )


def with_code_origin(
    sent_request: SentRequest, parsed: ParsedText, zoho: Zoho, authorization_url: SplitResult | None
) -> SentRequest:
    """Add to `sent_request`, a token request with a code, where that code came from."""
    codes = [value for value in parsed.values("code") if _CODE.match(value)]
    if not codes or sent_request.grant_type == "refresh_token":
        return sent_request
    named = (*parsed.values("accounts-server"), *parsed.values("location"))
    place = next((found for each in named if (found := zoho.find_data_center(each))), None)
    asked = parsed.query(authorization_url) if authorization_url else {}
    asked_for = asked.get("client_id", "")
    return replace(
        sent_request,
        code_location=place.location if place else "",
        code_client_id=asked_for if CLIENT_ID.fullmatch(asked_for) else "",
        is_code_repeated=_is_sent_again(codes, has_callback=place is not None),
        has_code_challenge="code_challenge" in asked if authorization_url else None,
        is_verifier_valid=_is_verifier_valid(asked, parsed.values("code_verifier")),
    )


def _is_sent_again(codes: list[str], *, has_callback: bool) -> bool:
    """Whether the last code was sent twice; a callback in the text contains it once more."""
    return codes.count(codes[-1]) > (2 if has_callback else 1)


def _is_verifier_valid(parameters: dict[str, str], verifiers: list[str]) -> bool | None:
    """Whether the verifier belongs to the challenge (RFC 7636, section 4.6)."""
    challenge = parameters.get("code_challenge", "")
    if not challenge or not verifiers:
        return None
    shown = verifiers[-1]
    if parameters.get("code_challenge_method", "plain").upper() == "S256":
        digest = hashlib.sha256(shown.encode()).digest()
        shown = urlsafe_b64encode(digest).rstrip(b"=").decode()
    return shown == challenge


_TOKEN_PATH = re.compile(r"/oauth/v\d/token(?![/\w])")
_AUTHORIZATION_PATH = re.compile(r"/oauth/v\d/auth/?$")
_BODY_FILE = re.compile(r"-(?<!\S.)(?:d|-data[\w-]{0,20}+)[ =]?[\"']?@")
_WHITESPACE = re.compile(r"\s|\\[nr]|%0[AD]|%20|\+$")
_GRANT_TYPE = re.compile(r"[A-Za-z_:.-]{1,60}")
_OAUTH_NAMES = frozenset(
    (
        *("grant_type", "client_id", "client_secret", "redirect_uri", "code", "refresh_token"),
        *("code_verifier", "scope", "soid"),
    )
)
OPERATION_BY_METHOD = {
    "GET": "READ",
    "POST": "CREATE",
    "PUT": "UPDATE",
    "PATCH": "UPDATE",
    "DELETE": "DELETE",
}


def parse_sent_request(parsed: ParsedText, zoho: Zoho) -> SentRequest:
    """What the text says about the rejected request; never a secret."""
    place = find_data_center(parsed, zoho)
    token = parsed.token
    asks_token = bool(token_requests(parsed))
    is_call = not is_token_request_last(parsed)
    names = parsed.names & _OAUTH_NAMES
    hidden = _BODY_FILE.search(parsed.text) if parsed.is_curl else None
    grants = [each for each in parsed.values("grant_type") if _GRANT_TYPE.fullmatch(each)]
    method = parsed.requests[-1][0] if parsed.requests else ""
    content_type = next(iter(parsed.values("content-type")), "") if asks_token else ""
    sent = SentRequest(
        location=place.location if place else "",
        method=method,
        content_type=masked_line(content_type, 60),
        grant_type=masked_line(grants[-1], 60) if grants else "",
        client_id=next(iter(client_ids(parsed)), ""),
        has_whitespace_in_client_id=any(
            map(_is_client_id_with_whitespace, parsed.values("client_id"))
        ),
        redirect_uri=next(iter(redirect_uris(parsed)), ""),
        parameters=names if asks_token and not hidden and (names or parsed.is_curl) else None,
        token_format=token_format_of(token) if token else None,
        secret_format=_secret_format(parsed),
        required_scope=required_scope(parsed, zoho),
        granted_scopes=parsed.scopes,
        token_location=_token_location(parsed, zoho) if is_call else "",
        is_token_missing=_is_token_missing(parsed) if is_call else None,
        is_url_alone=asks_token and bool(_SINGLE_URL.match(parsed.text[:10_000])),
        is_page_of_zoho=parsed.is_page_of_zoho,
        is_code_as_refresh_token=_is_code_as_refresh_token(parsed),
        has_scope_on_refresh=_has_scope_on_refresh(parsed),
        has_revocation=bool(_REVOCATION.search(parsed.text)),
    )
    consent = authorization_url(parsed)
    sent = with_authorization_request(sent, parsed, consent)
    return with_code_origin(sent, parsed, zoho, consent) if asks_token else sent


def token_requests(parsed: ParsedText) -> tuple[str, ...]:
    """The URLs and paths of token endpoints in the text."""
    addresses = [each.path for each in parsed.addresses]
    paths = [path.partition("?")[0] for _, path in parsed.requests]
    return tuple(each for each in (*addresses, *paths) if _TOKEN_PATH.search(each))


def is_token_request_last(parsed: ParsedText) -> bool:
    """Whether the last request in the text, which failed, asks for a token."""
    urls = [url for _, url in parsed.requests] or [each.geturl() for each in parsed.addresses]
    return bool(urls) and bool(_TOKEN_PATH.search(urls[-1].partition("?")[0]))


def _token_location(parsed: ParsedText, zoho: Zoho) -> str:
    """The data center of the token response in the text; empty if there is none."""
    if "access_token" not in parsed.names:
        return ""
    named = (*reversed(parsed.values("api_domain")), *token_requests(parsed))
    place = next((found for each in named if (found := zoho.find_data_center(each))), None)
    return place.location if place else ""


_MISSING_TOKEN = re.compile(
    r"(?i)(?:zoho-oauthtoken|bearer)(?:[ \t]{1,3}+(?:undefined|null|none|nil|nan|false|\[object)\b"
    r"|[ \t]{1,3}+[\"'](?![\w$<{]))"
)
_TOKEN_PARAMETERS = frozenset(("authorization", "authtoken", "access_token", "zapikey"))


def _is_token_missing(parsed: ParsedText) -> bool | None:
    """Whether the call was sent without an access token; None if its headers aren't shown."""
    if _MISSING_TOKEN.search(parsed.text[-MAX_HEADER_DISTANCE:]):
        return True
    if parsed.token or parsed.names & _TOKEN_PARAMETERS or parsed.has_authorization:
        return False if parsed.token else None
    shown = parsed.is_curl or (parsed.requests and parsed.names & {"content-type", "accept"})
    return True if shown else None


_REVOCATION = re.compile(r"/oauth/v\d/(?:token/revoke|revoke/token)(?![/\w])")
_REFRESH = re.compile(r"grant_type[\"']?\s{0,3}(?:=>|[:=])\s{0,3}[\"']?refresh_token")
_SCOPE = re.compile(r"(?<![\w-])scope[\"']?\s{0,3}(?:=>|[:=])")
_END_OF_REQUEST = re.compile(r"access_token|\n\s*\n|HTTP/\d|\berror\b")
MAX_REQUEST_CHARACTERS = 1000
"""How far the parameters of a refresh are from its grant type, in each direction."""


def _has_scope_on_refresh(parsed: ParsedText) -> bool:
    """Whether the last refresh in the text named scopes; its response may name some, too."""
    found = [each.span() for each in _REFRESH.finditer(parsed.text)][-1:]
    for start, end in found:
        before = parsed.text[max(0, start - MAX_REQUEST_CHARACTERS) : start]
        after = parsed.text[end : end + MAX_REQUEST_CHARACTERS]
        parameters = _END_OF_REQUEST.split(before)[-1] + _END_OF_REQUEST.split(after)[0]
        return bool(_SCOPE.search(parameters))
    return False


def _is_code_as_refresh_token(parsed: ParsedText) -> bool:
    """Whether one value is both an authorization code and a refresh token."""
    codes = parsed.values("code", "auth_code", "authorization_code", "grant_token")
    return any(TOKEN.fullmatch(each) for each in {*codes} & {*parsed.values("refresh_token")})


_SINGLE_URL = re.compile(r"\s{0,9}https?://\S++\s{0,99}+(?:<|$)")


def authorization_url(parsed: ParsedText) -> SplitResult | None:
    """The last authorization URL in the text; None if there is none."""
    found = [each for each in parsed.addresses if _AUTHORIZATION_PATH.search(each.path)]
    return found[-1] if found else None


def client_ids(parsed: ParsedText) -> tuple[str, ...]:
    """The client ids in the text, once each: first that of the last request, which failed."""
    named = [each.strip() for each in reversed(parsed.values("client_id"))]
    given = (each for each in named if CLIENT_ID.fullmatch(each))
    return tuple(dict.fromkeys((*given, *(each[0] for each in CLIENT_ID.finditer(parsed.text)))))


def redirect_uris(parsed: ParsedText) -> tuple[str, ...]:
    """The redirect URIs that the text names, without their query, which may contain a code."""
    named = [v for v in parsed.values("redirect_uri", "redirect_url", "redirecturl") if "://" in v]
    consent = authorization_url(parsed)
    if consent is not None:
        named.insert(0, parsed.query(consent).get("redirect_uri", ""))
    plain = (each.partition("?")[0].partition("#")[0] for each in named)
    return tuple(dict.fromkeys(masked_line(each, 300) for each in plain if each))


def other_addresses(parsed: ParsedText, zoho: Zoho) -> tuple[str, ...]:
    """The URLs in the text that aren't Zoho's: they may be redirect URIs."""
    found = (each for each in parsed.addresses if zoho.find_data_center(each.geturl()) is None)
    return tuple(masked_line(each.geturl().partition("?")[0], 300) for each in found)


def nearest_host(host: str, zoho: Zoho) -> str:
    """The existing host that was probably meant by one that may not exist: the same label at the
    data center with that top-level domain, or the most similar label at the same data center; empty
    if none is similar or the host exists."""
    label, _, domain = host.partition(".zoho")
    place, is_api = zoho.find_data_center(host), domain.startswith("apis.")
    if place is not None:
        labels = [
            "accounts",
            "api-console",
            *(each.host for each in products() if each.host != "www"),
        ]
        if (label in labels and not is_api) or label == "www":
            return ""
        if is_api and label not in labels:
            return f"www.zohoapis.{place.domain_suffix}"
        near = get_close_matches(label, labels, n=1, cutoff=0.8)
        return f"{near[0]}.{place.domain}" if near else ""
    endings = [each for each in domain.split(".")[1:] if each not in ("com", "co")] or ["com"]
    for each in zoho.data_centers:
        if endings[-1] in (each.location, each.domain_suffix.rpartition(".")[2]):
            return f"{label}.zohoapis.{each.domain_suffix}" if is_api else f"{label}.{each.domain}"
    return ""


def find_data_center(parsed: ParsedText, zoho: Zoho) -> DataCenter | None:
    """The data center of the request, by its URLs, the host header or ``location``."""
    hosts = parsed.values("host", "accounts-server", "accounts_server", "api_domain")
    requested = [url for url, _ in _requested_urls(parsed)]
    asked = [each for each in _all_urls(parsed) if each not in hosts]
    token_endpoints = (each for each in asked if _TOKEN_PATH.search(each.partition("?")[0]))
    named = (*hosts, *parsed.values("location"), *parsed.zoho_hosts)
    for each in (*requested[:1], *token_endpoints, *asked, *named):
        if place := zoho.find_data_center(each):
            return place
    return None


def find_product(parsed: ParsedText, zoho: Zoho) -> Product | None:
    """The product of the call, by its URL, or by its name if only one is named."""
    for url in _all_urls(parsed):
        if found := _product_of_url(url, zoho):
            return found[0]
    paths = [path for _, path in parsed.requests if path.startswith("/")]
    for each in products():
        if each.host == "www" and any(path.startswith(f"/{_path_root(each)}/") for path in paths):
            return each
    spoken = {word.lower() for word in parsed.words}
    named = [each for each in products() if {each.id, each.service.lower()} & spoken]
    return named[0] if len(named) == 1 else None


def required_scope(parsed: ParsedText, zoho: Zoho) -> str:
    """The scope that the call needs, according to its URL; empty if unknown."""
    methods = dict(_requested_urls(parsed))
    for url in _all_urls(parsed):
        if found := _product_of_url(url, zoho):
            return _scope_of(*found, methods.get(url, "GET"))
    return ""


def _requested_urls(parsed: ParsedText) -> tuple[tuple[str, str], ...]:
    """URLs of requests with their methods, the last first. A path is completed by its ``Host``
    header (RFC 9112, section 3.2.1)."""
    host = next(iter(parsed.values("host")), "")
    return tuple(
        (url if "://" in url else f"https://{host}{url}", method)
        for method, url in reversed(parsed.requests)
        if "://" in url or host
    )


def _all_urls(parsed: ParsedText) -> tuple[str, ...]:
    """The URLs in the text, those of requests first."""
    requested = (url for url, _ in _requested_urls(parsed))
    return tuple(dict.fromkeys((*requested, *(each.geturl() for each in parsed.addresses))))


def _product_of_url(url: str, zoho: Zoho) -> tuple[Product, str] | None:
    """The product at a URL, and what follows its version."""
    place = zoho.find_data_center(url)
    if place is None:
        return None
    for each in products():
        root = _path_root(each)
        bases = (f"{place.base_url_of(each.host)}/{root}/", *_live_bases(each, place, root))
        for base in bases:
            if url.startswith(base):
                rest = url.removeprefix(base).partition("?")[0]
                return each, re.sub(r"^(?:api/)?(?:v[\d.]+/)?", "", rest)
    return None


def _live_bases(product: Product, place: DataCenter, root: str) -> Iterator[str]:
    """The base URLs of a product at the real Zoho, also older ones: a text may be about it while
    the wizard uses a simulator."""
    if product.host == "www":
        yield f"https://www.zohoapis.{place.domain_suffix}/{root}/"
    for label in dict.fromkeys((product.host, product.id, f"{product.id}api")):
        if label != "www":
            yield f"https://{label}.{place.domain}/api/"
            yield f"https://{label}.{place.domain}/restapi/"


def _path_root(product: Product) -> str:
    """The first part of each path of a product: ``crm`` of ``/crm/v8/org``."""
    return product.probes[0].path.split("/")[1]


def _scope_of(product: Product, path: str, method: str) -> str:
    """``ZohoCRM.modules.leads.READ`` for a GET of ``Leads`` in CRM."""
    families = _call_scopes().get(product.id)
    names = [name for name in path.split("/") if re.fullmatch(r"[A-Za-z_]{2,40}", name)]
    if families is None or not names:
        return ""
    if families.get("by_last_name"):
        names = names[-1:]
    first = names[0].lower()
    family = families["scopes"].get(first, families["default"])
    if family is None or family == "":
        return ""
    if "." in family and family.count(".") == 2:
        return str(family)
    second = names[1].lower() if len(names) > 1 else "all"
    operation = OPERATION_BY_METHOD.get(method, "READ")
    return f"{product.service}.{family.format(first, second)}.{operation}"


@cache
def _call_scopes() -> dict[str, dict[str, Any]]:
    return read_table("diagnosis/pasted_text/call_scopes.toml")


def _secret_format(parsed: ParsedText) -> TokenFormat | None:
    """The form of the value sent as client secret; None unless it is clearly wrong."""
    for value in parsed.values("client_secret"):
        if CLIENT_ID.fullmatch(value):
            return TokenFormat.CLIENT_ID
        if _has_whitespace(value):
            return TokenFormat.WITH_WHITESPACE
        if TOKEN.fullmatch(value):
            return TokenFormat.OTHER
    return None


def _is_client_id_with_whitespace(value: str) -> bool:
    """Whether this is a client id except for spaces or line ends."""
    return _has_whitespace(value) and bool(CLIENT_ID.fullmatch(_WHITESPACE.sub("", value)))


def _has_whitespace(value: str) -> bool:
    """Whether a space or line end was sent with a value; a form encodes a space as a plus."""
    return bool(_WHITESPACE.search(value))
