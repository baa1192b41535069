"""Parse the parts of a text by their form: pairs, words, URLs, statuses, HTTP requests. Pure.

JSON, a Python dictionary, a query, headers, a ``.env`` file and a curl command write pairs in
similar ways, so one lenient pattern reads them all. Patterns are possessive and bounded: they take
linear time for any text.
"""

import hashlib
import re
import tomllib
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from wizard.credential_formats import CLIENT_ID, TOKEN, TOKEN_PREFIX
from wizard.diagnosis.evidence import SentRequest, TokenFormat
from wizard.diagnosis.pasted_text.http_messages import (
    HttpMessage,
    Program,
    find_messages,
    find_program,
)
from wizard.diagnosis.pasted_text.token_formats import masked_line, token_format_of
from wizard.zoho import DataCenter, Product, Zoho, products

T = TypeVar("T")

MAX_PASTE_CHARACTERS = 1_000_000
"""How many characters are read: the end of a longer log, where the error is."""
MAX_MATCHES = 200
"""How many URLs and requests are read: the first and the last hundred."""
MAX_PAIRS = 20_000
"""How many pairs are read, half of them from the beginning."""
MAX_HEADER_DISTANCE = 100_000
"""Characters at the end of a text in which the last request's header is searched."""

_ESCAPES = (
    *(('\\"', '"'), ("\\/", "/"), ("\\u0026", "&")),
    *(
        ("&quot;", '"'),
        ("&#34;", '"'),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ),
)
"""A log contains JSON within JSON, and a page has quotes as entities."""

# Each begins with the characters that a match can begin with, which is fastest, and then
# looks behind for those that may not precede it.
_PAIR = re.compile(
    r"([A-Za-z_](?<![\w-].)[\w-]{0,40}+)\"?'?\]?\s{0,3}+(?:=>|[:=])\s{0,3}+(?!//)"
    r"(?:\"([^\"\n]{0,4096}+)\"|'([^'\n]{0,4096}+)'|([^\s\"'&,;?(){}<>]{1,4096}+))"
)
_ADDRESS = re.compile(r"[Hh](?<![A-Za-z].)(?i:ttps?://)[^\s\"'<>\\^`{|}]{1,8192}+")
_WORD = re.compile(
    r"[A-Za-z0-9](?:(?<=[A-Za-z])(?:[A-Za-z0-9_]{2,60}+|\d{1,5}+(?![\w.]))|(?<=\d)\d{0,4}+(?![\w.]))"
)
_STATUS = re.compile(
    r"[HhSsEeRr=→-](?<!\w.)(?i:(?<=h)ttp(?:/[\d.]{1,3}+\s|\s?)|(?<=s)tatus(?:[ _-]?code)?\W{1,3}"
    r"|(?<=e)rror\s|(?<=r)esponse\s|(?<=[-=])>|(?<=→))\s?+([1-5]\d\d)(?!\w)"
)
_REASON = re.compile(
    r"([45](?<!\w.)\d\d)\s(?i:bad request|unauthorized|forbidden|not found|too many requests"
    r"|internal server error|bad gateway|service unavailable|gateway time-?out)"
)
_STATUS_BEFORE_BODY = re.compile(r"([45](?<![\w.].)\d\d)[ :-]{1,3}[{<\[]")
_REASON_NAME = re.compile(
    r"[45](?<![\w.].)\d\d[ _](?:BAD_REQUEST|UNAUTHORIZED|FORBIDDEN|NOT_FOUND|TOO_MANY_REQUESTS)"
)
"""How some programs write the status line in capitals, as Zoho's own error words are."""
_ERROR_WORD = re.compile(
    r"error(?:(?<=[\"']error)[\"']\s{0,3}:\s{0,3}[\"']([^\"'\n]{1,200})"
    r"|(?<=[?&#]error)=([^&\s\"'<>]{1,200})|(?<=Bearer error)=\"([^\"\n]{1,200})"
    r"|(?<=[{,]\serror):\s?'([^'\n]{1,200})|(?<=\[error)\] => ([^\n]{1,200}))"
)
"""In JSON or its forms in programming languages, in a query string, or in a header."""
_SCOPES = re.compile(
    r"[GgSs](?<![?&\w].)(?i:(?<=g)ranted|(?<=s)copes?)[\"']?\]?\s{0,3}+(?:=>|[:=])\s{0,3}+"
    r"[\"'\[]{0,2}+((?:[A-Za-z]\w{1,40}(?:\.\w{1,60}){2,4}[ ,\"']{0,4}+){1,200})"
)
_SCOPE_NAME = re.compile(r"[\w.]+")
_ZOHO_HOST = re.compile(
    r"[a-z](?<![\w.-].)[a-z0-9-]{0,30}+(?:\.[a-z0-9-]{1,30}+){0,3}?"
    r"\.(?:zoho[a-z]{0,12}+)(?:\.[a-z]{2,4}+){1,2}+(?![\w-]|\.\w)"
)
_REQUEST_LINE = re.compile(
    r"([GPDH](?<![\w-].)(?:(?<=G)ET|(?<=P)(?:OST|UT|ATCH)|(?<=D)ELETE|(?<=H)EAD))"
    r"\s{1,3}+[\"']?((?:https?:/)?/[^\s\"']{0,8192}+)"
)
_CURL = re.compile(r"curl(?<!\S....)(?:\.exe)?\s")
_CURL_METHOD = re.compile(r"-(?<!\S.)(?:X|-request)[ =]?\s{0,2}+[\"']?([A-Z]{3,7})")
_CURL_BODY = re.compile(r"-(?<!\S.)(?:d|F|-data[\w-]{0,20}+|-form|-json)(?![\w-])")
_TAG = re.compile(r"<[^<>]{0,2048}+>")
_BLANKS = re.compile(r"\s++")
_HEADER = re.compile(r"(?i)(?:zoho-oauthtoken|bearer)[ \t]{1,3}+([^\r\n]{1,400})")
_TOKEN_START = re.compile(rf"[\"'`]?{TOKEN_PREFIX}[0-9A-Za-z]{{6}}")
_TOKEN_END = re.compile(r"[\"'`](?=\s|$|,|\))|\\n|\s(?=-|https?:|\\)")
_SINGLE_TOKEN = re.compile(rf"{TOKEN_PREFIX}[0-9a-f]{{8}}[^ ]{{0,400}}+$")
_DATE = re.compile(r"(?i)(?<![\w-])date: ([a-z]{3}, \d{2} [a-z]{3} \d{4} [\d:]{8} GMT)")
"""RFC 9110, section 6.6.1."""
_TITLE = re.compile(r"(?is)<title[^<>]{0,200}+>([^<]{0,300}+)")


@dataclass(frozen=True)
class ParsedText:
    """A parsed text. It may contain secrets and shows none in its ``repr``."""

    text: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "ParsedText":
        """Parse a pasted text."""
        text = text[-MAX_PASTE_CHARACTERS:].replace("\x00", "")
        plain = text.encode("utf-8", "replace").decode("utf-8")
        for written, meant in _ESCAPES:
            plain = plain.replace(written, meant)
        return cls(plain)

    @cached_property
    def normalized(self) -> str:
        """The text in lower case, without tags, with single spaces."""
        plain = _BLANKS.sub(" ", _TAG.sub(" ", self.text))
        return plain.replace("’", "'").casefold().strip()

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names in lower case and their values, in order."""
        return tuple(
            (name.lower(), unquote(value) if "%" in value else value)
            for name, *quoted in _first_and_last(_PAIR.findall(self.text), MAX_PAIRS)
            for value in ["".join(quoted)]
        )

    @cached_property
    def _pair_indexes(self) -> Mapping[str, Sequence[int]]:
        """The positions of each name among the pairs."""
        places: dict[str, list[int]] = {}
        for place, (name, _) in enumerate(self.pairs):
            places.setdefault(name, []).append(place)
        return places

    @property
    def names(self) -> frozenset[str]:
        """The names of the pairs, in lower case."""
        return frozenset(self._pair_indexes)

    def values(self, *names: str) -> list[str]:
        """The values of the pairs with these names, in order."""
        places = sorted(place for name in names for place in self._pair_indexes.get(name, ()))
        return [self.pairs[place][1] for place in places]

    @cached_property
    def token(self) -> str:
        """The value sent as a code or token, the last of several; empty if there is none. It is a
        secret."""
        named = self.values(*(each for each in self.names if each.endswith(("token", "code"))))
        headers: list[str] = _HEADER.findall(self.text[-MAX_HEADER_DISTANCE:])
        ended: list[str] = [_TOKEN_END.split(each)[0].rstrip() for each in headers]
        for sent in (*reversed(named), *reversed(ended)):
            if _TOKEN_START.match(sent):
                return sent
        alone = self.text.strip(" \t\r\n")
        return alone if _SINGLE_TOKEN.match(alone.strip("\"'`“”‘’")) else ""

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word that may be an error's name or number."""
        return frozenset(_WORD.findall(_REASON_NAME.sub(" ", self.text)))

    @cached_property
    def error_words(self) -> tuple[str, ...]:
        """The values of ``error`` in JSON, a query string or a header, in order. After ``Error:``
        in any other text, the words are a program's."""
        found = _first_and_last(_ERROR_WORD.findall(self.text))
        return tuple(unquote("".join(each)) for each in found)

    @cached_property
    def http_messages(self) -> tuple[HttpMessage, ...]:
        """What programs say about responses, in order."""
        return find_messages(self.text)

    @cached_property
    def program(self) -> Program | None:
        """The program that wrote the text; None if nothing shows it."""
        return find_program(self.text, self.http_messages)

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that the text names outside a URL: those of a token response, or of a list."""
        found = _first_and_last(_SCOPES.findall(self.text))
        return tuple(
            dict.fromkeys(each for names in found for each in re.findall(r"[\w.]+", names))
        )

    @cached_property
    def zoho_hosts(self) -> tuple[str, ...]:
        """Every host that looks like one of Zoho's, also one that doesn't exist."""
        return tuple(dict.fromkeys(_first_and_last(_ZOHO_HOST.findall(self.text))))

    @cached_property
    def addresses(self) -> tuple[SplitResult, ...]:
        """The URLs in the text, without duplicates, the first and the last hundred."""
        found = dict.fromkeys(_ADDRESS.findall(self.text))
        return tuple(_split_addresses(_first_and_last(list(found))))

    @cached_property
    def title(self) -> str:
        """The title of a page; empty if there is none."""
        found = _TITLE.search(self.text)
        return " ".join(found[1].split()) if found else ""

    @property
    def is_page(self) -> bool:
        """Whether this is HTML."""
        return bool(re.search(r"(?i)<(?:!doctype html|html|head|body)\b", self.text))

    @property
    def is_page_of_zoho(self) -> bool:
        """Whether a page shows that it is Zoho's own, in any language."""
        return self.is_page and any(sign in self.text for sign in _SIGNS_OF_ZOHO_PAGES)

    @cached_property
    def status_offsets(self) -> tuple[tuple[int, int], ...]:
        """Where in the text each HTTP status is, and the status, in order."""
        patterns = (_STATUS, _REASON, _STATUS_BEFORE_BODY)
        found = [(m.start(1), int(m[1])) for each in patterns for m in each.finditer(self.text)]
        found += [(each.offset, each.status) for each in self.http_messages if each.status]
        named = [each for each in self.values(*_STATUS_NAMES) if re.fullmatch(r"[1-5]\d\d", each)]
        found += [(self.text.rfind(each), int(each)) for each in _first_and_last(named)]
        return tuple(sorted(found))

    @cached_property
    def statuses(self) -> tuple[int, ...]:
        """HTTP statuses, in order."""
        return tuple(status for _, status in self.status_offsets)

    @property
    def answered_at(self) -> datetime | None:
        """The date of the last response; None if the text doesn't show one."""
        for given in reversed(_DATE.findall(self.text[-MAX_HEADER_DISTANCE:])):
            with suppress(ValueError):
                return parsedate_to_datetime(given)
        return None

    @cached_property
    def requests(self) -> tuple[tuple[str, str], ...]:
        """Methods with their URLs or paths, in order, as in a request line, a message of an HTTP
        client or a curl command. A method may be unknown and empty."""
        lines = [(m.start(), m[1], m[2]) for m in _REQUEST_LINE.finditer(self.text)]
        named = [(each.offset, each.method, each.url) for each in self.http_messages if each.url]
        ordered = sorted((*_first_and_last(lines), *named, *self._configured_request))
        if ordered or not self.is_curl:
            return tuple((method, url) for _, method, url in ordered)
        command = self.text[self._curl_offsets[-1] :]
        named, address = _CURL_METHOD.search(command), _ADDRESS.search(command)
        implied = "POST" if _CURL_BODY.search(command) else "GET"
        return ((named[1] if named else implied, address[0]),) if address else ()

    @property
    def _configured_request(self) -> tuple[tuple[int, str, str], ...]:
        """The offset, method and URL of a request as an object: ``{ url: '…', method: 'get' }``."""
        urls = [each for each in self.values("url", "uri") if each.startswith("http")]
        methods = [each for each in self.values("method") if re.fullmatch(r"[A-Za-z]{3,7}", each)]
        if not urls or not methods:
            return ()
        return ((self.text.rfind(urls[-1]), methods[-1].upper(), urls[-1]),)

    @cached_property
    def _curl_offsets(self) -> Sequence[int]:
        """Where curl commands begin."""
        return tuple(each.start() for each in _CURL.finditer(self.text))

    @property
    def is_curl(self) -> bool:
        """Whether this is a curl command."""
        return bool(self._curl_offsets)

    def query(self, address: SplitResult) -> dict[str, str]:
        """The parameters of a URL; the last one of a repeated name."""
        return dict(parse_qsl(address.query, keep_blank_values=True))


_SIGNS_OF_ZOHO_PAGES = ("zohocdn.com", "<title>Zoho", "zohoPuvi", "/iam/", "crmErrorPg")
_STATUS_NAMES = ("status", "status_code", "statuscode", "http_status", "httpstatus", "http_code")


def _first_and_last(matches: list[T], max_matches: int = MAX_MATCHES) -> list[T]:
    """All that was found, or its beginning and end."""
    half = max_matches // 2
    return matches if len(matches) <= max_matches else matches[:half] + matches[-half:]


def _split_addresses(addresses: Iterable[str]) -> Iterable[SplitResult]:
    for each in addresses:
        try:
            parts = urlsplit(each.rstrip(".,;:)]"))
            parts.port  # noqa: B018 raises if the port isn't a number
        except ValueError:
            continue
        yield parts


# --- HTTP requests --------------------------------------------------------------------------------

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
        is_url_alone=asks_token and bool(_SINGLE_URL.fullmatch(parsed.text[:10_000])),
        is_page_of_zoho=parsed.is_page_of_zoho,
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
    if parsed.token or parsed.names & _TOKEN_PARAMETERS or _HEADER.search(parsed.text):
        return False if parsed.token else None
    shown = parsed.is_curl or (parsed.requests and parsed.names & {"content-type", "accept"})
    return True if shown else None


_SINGLE_URL = re.compile(r"\s*https?://\S+\s*")


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
    """The existing host that was probably meant by one that doesn't exist: the same label at the
    data center with that top-level domain; empty if no data center has it."""
    label, _, domain = host.partition(".zoho")
    ending = domain.rpartition(".")[2]
    for each in zoho.data_centers:
        if ending in (each.location, each.domain_suffix.rpartition(".")[2]):
            is_api = domain.startswith("apis.")
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
    text = (
        resources.files("wizard.diagnosis.pasted_text")
        .joinpath("call_scopes.toml")
        .read_text("utf-8")
    )
    return tomllib.loads(text)


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


def single_word_of(parsed: ParsedText) -> Iterator[str]:
    """The only word of the text, if there is only one."""
    parts = parsed.text[:1000].split()
    if len(parts) == 1 and len(parsed.text) < 1000:
        yield parts[0].strip("\"'`“”‘’()[]{}.,;:")
