"""Parse the parts of a text by their form: pairs, words, URLs, statuses, HTTP requests. Pure.

JSON, a Python dictionary, a query, headers, a ``.env`` file and a curl command write pairs in
similar ways, so one lenient pattern reads them all. Patterns are possessive and bounded: they take
linear time for any text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from wizard.credential_formats import TOKEN_PREFIX
from wizard.diagnosis.pasted_text.http_messages import (
    HttpMessage,
    Program,
    find_messages,
    find_program,
)

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
    r"|(?<=e)rror\s|(?<=r)e(?:sponse|turned)(?:[ _](?:code|status|error))?\W{1,3}"
    r"|(?<=[-=])>|(?<=→))\s?+([1-5]\d\d)(?!\w)"
)
_REASON = re.compile(
    r"([45](?<!\w.)\d\d)[\s:-]{1,3}(?i:bad request|unauthorized|forbidden|not found"
    r"|too many requests|internal server error|bad gateway|service unavailable|gateway time-?out)"
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
    def single_words(self) -> tuple[str, ...]:
        """The only word of the text; empty if there are several."""
        parts = self.text[:1000].split()
        is_single = len(parts) == 1 and len(self.text) < 1000
        return (parts[0].strip("\"'`“”‘’()[]{}.,;:"),) if is_single else ()

    @property
    def has_authorization(self) -> bool:
        """Whether a header of Zoho's authorization schemes is shown, also with a placeholder."""
        return bool(_HEADER.search(self.text))

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
        lines = [(m.start(), m[1], m[2].rstrip(",;`")) for m in _REQUEST_LINE.finditer(self.text)]
        named = [(each.offset, each.method, each.url) for each in self.http_messages if each.url]
        ordered = sorted((*_first_and_last(lines), *named, *self._configured_request))
        if ordered or not self.is_curl:
            return tuple((method, url) for _, method, url in ordered)
        command = self.text[self._curl_offsets[-1] :]
        method, address = _CURL_METHOD.search(command), _ADDRESS.search(command)
        implied = "POST" if _CURL_BODY.search(command) else "GET"
        return ((method[1] if method else implied, address[0]),) if address else ()

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
