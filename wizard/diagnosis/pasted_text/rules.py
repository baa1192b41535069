"""Rules that recognize a failure in a text by its form or its wording. Pure.

The first match decides, so Zoho's own words come before those of others, what failed before what
succeeded, and what the text contains before what it lacks. The facts around it, such as a second
URL, its scopes or a page, are read for every rule (`sent_requests`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from wizard.credential_formats import CLIENT_ID, CLIENT_SECRET
from wizard.diagnosis.evidence import Origin, TokenFormat
from wizard.diagnosis.pasted_text import product_errors, sent_requests
from wizard.diagnosis.pasted_text.http_messages import search_near
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.token_formats import masked_line, token_format_of
from wizard.errors import WizardError
from wizard.model.failure import codes_with, is_failure_code
from wizard.tables import read_table
from wizard.zoho import ACCOUNT_SCOPE, Zoho, parse_scope


@dataclass(frozen=True)
class RecognizedFailure:
    """A failure recognized in a text."""

    code: str
    zoho_error: str = ""
    """Zoho's own word."""
    origin: Origin = Origin.UNKNOWN
    details: Mapping[str, str] = field(default_factory=dict)


Rule = Callable[[ParsedText, Zoho], RecognizedFailure | None]
"""Recognizes one kind of failure; None: it isn't in the text."""


def origin_of(code: str, parsed: ParsedText) -> Origin:
    """Where a failure occurred, as far as the text says."""
    if code.startswith("zoho-page-"):
        return Origin.CONSENT
    if code.startswith(("sign-in-", "sign-up-")):
        return Origin.SIGN_IN
    if code.startswith("network-"):
        return Origin.NETWORK
    if code != "invalid-code":
        return Origin.CLIENT if code.startswith("invalid-client") else Origin.UNKNOWN
    names = parsed.names
    kinds = {*parsed.values("grant_type")} & {"authorization_code", "refresh_token"}
    if kinds == {"authorization_code"} or (not kinds and "code_verifier" in names):
        return Origin.EXCHANGE
    if kinds == {"refresh_token"} or (not kinds and "refresh_token" in names):
        return Origin.REFRESH
    return Origin.UNKNOWN


def status_details(parsed: ParsedText) -> dict[str, str]:
    """The HTTP status of the response, for the messages that name it."""
    return {"status": str(parsed.statuses[-1])} if parsed.statuses else {}


@cache
def recognition_table(name: str) -> dict[str, Any]:
    """One table of `recognized_texts.toml`."""
    return dict(read_table("diagnosis/pasted_text/recognized_texts.toml")[name])


@cache
def translated_phrases() -> dict[str, str]:
    """Phrases of Zoho's pages in other languages, and their failure codes."""
    languages = read_table("diagnosis/pasted_text/languages.toml").values()
    phrases = (
        of_one[how] for how in ("observed", "assumed") for of_one in languages if how in of_one
    )
    return {text.casefold(): code for each in phrases for text, code in each.items()}


MAX_LIFETIME_SECONDS = 86_400
"""No access token is valid for a day, so a greater number is in another unit."""
HEADER_CHARACTERS = 40
"""Characters of ``Authorization: Zoho-oauthtoken`` and quotes around a token."""
MAX_ADDRESS_CHARACTERS = 8_000
"""Browsers and servers cut off longer URLs."""

_CODE_BY_STATUS = {
    400: "call-refused",
    401: "call-unauthorized",
    403: "call-forbidden",
    404: "wrong-path",
    407: "network-proxy",
    429: "product-throttled",
}


def authorization_url(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An authorization URL, and what is wrong with it."""
    address = sent_requests.authorization_url(parsed)
    if address is None or token_response(parsed, zoho):
        return None
    asked = parsed.query(address)
    if not asked.get("client_id") or asked.get("response_type") != "code":
        return RecognizedFailure("zoho-page-invalid-response-type", origin=Origin.CONSENT)
    if not CLIENT_ID.fullmatch(asked["client_id"]):
        return RecognizedFailure("zoho-page-invalid-client", origin=Origin.CONSENT)
    try:
        parse_scope(asked.get("scope", ""))
    except WizardError as error:
        return RecognizedFailure(
            error.failure.code, origin=Origin.CONSENT, details=_masked_details(error)
        )
    if asked.get("access_type") != "offline":
        return RecognizedFailure("authorization-url-online", origin=Origin.CONSENT)
    silent = asked.get("prompt") != "consent"
    return RecognizedFailure("authorization-url-silent" if silent else "authorization-url-sound")


def callback(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A callback URL with a code."""
    for address in parsed.addresses:
        given = parsed.query(address)
        if "code" in given and ("accounts-server" in given or "location" in given):
            place = zoho.find_data_center(given.get("location", ""))
            named = place.name if place else ""
            return RecognizedFailure(
                "callback-pasted", origin=Origin.CALLBACK, details={"data_center": named}
            )
    return None


def lifetime(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A lifetime that a program reads wrongly, whatever fails later because of it."""
    if "access_token" not in parsed.names:
        return None
    lifetimes = [int(v) for v in parsed.values("expires_in") if re.fullmatch(r"\d{1,12}", v)]
    if any(lifetime > MAX_LIFETIME_SECONDS for lifetime in lifetimes):
        return RecognizedFailure("expiry-in-milliseconds", details={"value": str(max(lifetimes))})
    is_zero = lifetimes and any(zero in parsed.text for zero in ("0001-01-01", "1970-01-01"))
    return RecognizedFailure("expiry-arithmetic") if is_zero else None


def token_response(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token endpoint's response without an error."""
    names = parsed.names
    if "access_token" not in names or "expires_in" not in names:
        return None
    if "refresh_token" not in names or {"client_credentials", "refresh_token"} & {
        *parsed.values("grant_type")
    }:
        return refresh_token_missing(parsed)
    return RecognizedFailure("answer-good")


def refresh_token_missing(parsed: ParsedText) -> RecognizedFailure:
    """A response without a refresh token: whether it should have one depends on the grant type."""
    grant_types = parsed.values("grant_type")
    if "client_credentials" in grant_types:
        return RecognizedFailure("answer-of-client-credentials")
    if "refresh_token" in grant_types:
        return RecognizedFailure("answer-of-a-refresh")
    return RecognizedFailure("no-refresh-token", origin=Origin.EXCHANGE)


def token_request(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token request that Zoho can't have accepted: by GET, as JSON, or incomplete."""
    if not sent_requests.is_token_request_last(parsed) or token_response(parsed, zoho):
        return None
    sent = sent_requests.parse_sent_request(parsed, zoho)
    incomplete = sent.parameters is not None and "grant_type" not in sent.parameters
    is_bare = sent.is_url_alone and not parsed.statuses
    if sent.method == "GET" or "json" in sent.content_type.lower() or incomplete or is_bare:
        return RecognizedFailure("token-request-refused", origin=Origin.CLIENT)
    if 400 not in parsed.statuses:
        return None
    if parsed.is_page:
        return RecognizedFailure("token-request-refused", origin=Origin.CLIENT)
    return RecognizedFailure("token-request-unexplained", "400", Origin.CLIENT, {"status": "400"})


def missing_field(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A program that didn't find a field in a response."""
    for near, pattern in _missing_field_forms():
        for _, found in search_near(near, pattern, parsed.text):
            name = (found.groupdict().get("field") or "access_token").lower()
            if name in _ACCOUNT_FIELDS:
                details = {"needed": ACCOUNT_SCOPE, "scope_needed": ACCOUNT_SCOPE}
                return RecognizedFailure("account-unreadable", details=details)
            if name == "refresh_token":
                return refresh_token_missing(parsed)
            return RecognizedFailure("error-answer-ignored", details={"field": name})
    return None


_ACCOUNT_FIELDS = ("email", "zuid", "display_name")


@cache
def _missing_field_forms() -> tuple[tuple[str, str], ...]:
    """The literals and patterns of `missing_fields.toml`."""
    table = read_table("diagnosis/pasted_text/missing_fields.toml")
    return tuple(
        (near, pattern.replace("{field}", f"(?P<field>{table['field']})"))
        for near, pattern in table["forms"]
    )


def host(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A host that looks like one of Zoho's and doesn't exist."""
    named = {each: sent_requests.nearest_host(each, zoho) for each in parsed.zoho_hosts}
    failed = sentence(parsed, zoho) if any(named.values()) else None
    is_missing = failed is not None and failed.code == "network-dns"
    for each, nearest in named.items():
        is_certain = each.startswith(_CERTAIN_HOSTS) and zoho.find_data_center(each) is None
        if nearest and (is_missing or is_certain):
            details = {"host": each, "nearest": nearest}
            return RecognizedFailure("host-does-not-exist", "", Origin.NETWORK, details)
    return None


_CERTAIN_HOSTS = ("accounts.", "www.zohoapis.", "api-console.")
"""Hosts that every data center has; for others, only a failed look-up shows that one is missing."""


def page_of_zoho(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """Zoho's own page in place of JSON, which names no error in a known language."""
    if not parsed.is_page_of_zoho:
        return None
    paths = [urlsplit(url).path for _, url in parsed.requests]
    paths += [each.path for each in parsed.addresses]
    if any(path.rstrip("/").endswith("/oauth/v2/userinfo") for path in paths):
        return RecognizedFailure("userinfo-needs-openid", details=status_details(parsed))
    return None


def malformed_request(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The envelope of Zoho MCP and Catalyst, with an error that is about the request's form."""
    words = {each.upper() for each in parsed.values("error_code", "errorcode")}
    if "failure" in parsed.values("status") and words & _MALFORMED_REQUEST_WORDS:
        [word, *_] = sorted(words & _MALFORMED_REQUEST_WORDS)
        return RecognizedFailure("request-malformed", word, Origin.CLIENT, status_details(parsed))
    return None


_MALFORMED_REQUEST_WORDS = frozenset(("INVALID_INPUT", "INVALID_REQUEST", "MALFORMED_REQUEST"))


def token_not_sent(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A call without a token, whose response isn't shown."""
    sent = sent_requests.parse_sent_request(parsed, zoho)
    is_shown = "undefined" in parsed.normalized or "null" in parsed.normalized
    if sent.is_token_missing and is_shown and not parsed.is_curl:
        return RecognizedFailure("token-invalid", origin=Origin.PRODUCT)
    return None


def single_word(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token, an id or a secret by itself."""
    for word in parsed.single_words:
        if CLIENT_ID.fullmatch(word):
            return RecognizedFailure("client-id-alone")
        if CLIENT_SECRET.fullmatch(word):
            return RecognizedFailure("secret-alone")
    token = parsed.token
    bare = parsed.text.strip("\"'`“”‘’ \t\r\n")
    shape = token_format_of(token) if token else None
    if shape is not None and shape is not TokenFormat.COMPLETE:
        return RecognizedFailure("token-not-whole", details={"format": shape.value})
    return (
        RecognizedFailure("token-alone")
        if token and len(bare) <= len(token) + HEADER_CHARACTERS
        else None
    )


def page(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """HTML that no other rule recognizes: not a response of Zoho's API."""
    if not parsed.is_page:
        return None
    return RecognizedFailure("not-json", origin=Origin.NETWORK, details=status_details(parsed))


def http_status(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An HTTP status by itself."""
    alone = [int(word) for word in parsed.single_words if re.fullmatch("[45]\\d\\d", word)]
    answered = parsed.text.rfind("access_token") if token_response(parsed, zoho) else -1
    later = [status for offset, status in parsed.status_offsets if offset > answered]
    for status in reversed([*alone, *later]):
        code = _code_of_status(status, parsed, zoho)
        if code:
            needed = sent_requests.required_scope(parsed, zoho)
            details = {"status": str(status), "scope_needed": needed}
            return RecognizedFailure(code, str(status), Origin.PRODUCT, details)
    return None


def _code_of_status(status: int, parsed: ParsedText, zoho: Zoho) -> str | None:
    urls = (*parsed.zoho_hosts, *(each.geturl() for each in parsed.addresses))
    is_zoho = any(zoho.find_data_center(each) for each in urls)
    if status >= 500:
        return "data-center-down" if is_zoho else "server-failed"
    if status in (400, 401) and not is_zoho and token_request_failed(parsed, zoho):
        return "token-request-unexplained" if status == 400 else "token-request-failed"
    if status == 429 and sent_requests.is_token_request_last(parsed):
        return "throttled"
    return _CODE_BY_STATUS.get(status)


def token_request_failed(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A program's own sentence that it got no token, without the response."""
    failed = _NO_TOKEN.search(parsed.normalized[-MAX_PAGE_CHARACTERS:])
    return RecognizedFailure("token-request-failed") if failed else None


_NO_TOKEN = re.compile(
    r"(?:fail\w{0,6}|unable|could not|couldn't|cannot|can't|error)[ :]{1,2}(?:to |in |while )?"
    r"(?:refresh|get|obtain|exchang|fetch|retriev|generat|renew|acquir|request)\w{0,4}"
    r"(?: the| an| a| new| your| zoho| oauth| access| refresh| code| for){0,5}[ _]tokens?\b"
    r"|tokens? (?:refresh|exchange|request|generation|renewal) (?:has )?failed"
)


def address(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A Zoho URL by itself, which names a data center."""
    place = (
        zoho.find_data_center(parsed.text)
        if len(parsed.text) < MAX_ADDRESS_CHARACTERS and "." in parsed.text
        else None
    )
    if place is None:
        return None
    return RecognizedFailure(
        "zoho-address", details={"data_center": place.name, "location": place.location}
    )


def any_token(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token in a text that names no failure."""
    return RecognizedFailure("token-alone") if parsed.token else None


def _masked_details(error: WizardError) -> dict[str, str]:
    return {name: masked_line(text) for name, text in error.failure.details.items()}


MAX_CODE_DISTANCE = 20_000
"""Characters at the end of a text in which one of the wizard's own codes is searched."""
MAX_PAGE_CHARACTERS = 20_000
"""The longest page of Zoho's; a longer text is the log of a program."""
MAX_SHORT_TEXT_CHARACTERS = 300
"""In a longer text, a single word such as “captcha” says nothing about what failed."""


def own_code(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A code of this wizard, by itself or in brackets, as at the end of its explanations."""
    ends = re.findall(
        r"(?m)\(([a-z]{2,30}(?:-[a-z]{1,30}){1,6})\)$", parsed.text[-MAX_CODE_DISTANCE:]
    )
    for word in (*parsed.single_words, *ends):
        if "-" in word and is_failure_code(word):
            return RecognizedFailure(word)
    return None


def callback_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The error of a callback, in its URL or as a bare word."""
    candidates = [*parsed.values("error"), *parsed.single_words]
    for word in reversed(candidates):
        if word in recognition_table("callback_errors"):
            return RecognizedFailure(
                recognition_table("callback_errors")[word], word, Origin.CALLBACK
            )
    return None


def oauth_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An error of the accounts server; the last of several, as a log ends with what matters."""
    known = recognition_table("oauth_errors")
    candidates = parsed.values("error", "errorcode", "error_code", "code", "type")
    found = [word for word in candidates if word.lower() in known]
    found = found or [word for word in parsed.words if word.lower() in known and "_" in word]
    if not found:
        return None
    word = max(found, key=parsed.text.rfind)
    code = known[word.lower()]
    if (
        code == "invalid-scope"
        and sent_requests.parse_sent_request(parsed, zoho).has_scope_on_refresh
    ):
        return RecognizedFailure("scope-sent-on-refresh", word, Origin.REFRESH)
    organization = [masked_line(each, 60) for each in parsed.values("soid") if each]
    details = {"soid": organization[-1]} if organization and code == "missing-org-info" else {}
    return RecognizedFailure(code, word, origin_of(code, parsed), details)


def rate_limit(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """Zoho's rate limit. Zoho translates its words, but not the frame around them."""
    described = "error_description" in parsed.names
    failure = "failure" in parsed.values("status")
    known = {*recognition_table("rate_limit")["error_texts"]}
    for word in parsed.error_words:
        # A word of RFC 6749 isn't a translation. Other servers also describe their errors, but with
        # ASCII words.
        whole = described and (failure or 400 in parsed.statuses)
        framed = whole or ((described or failure or 400 in parsed.statuses) and not word.isascii())
        translated = framed and word and not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", word)
        if word.casefold() in known or translated:
            return RecognizedFailure("throttled", masked_line(word, 60))
    alone = parsed.normalized.strip("\"'`. ")
    return RecognizedFailure("throttled", masked_line(parsed.text, 60)) if alone in known else None


def product_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A product's error that the table has."""
    found = product_errors.known_error(parsed, zoho)
    if found is None:
        return None
    return RecognizedFailure(found.code, found.word, Origin.PRODUCT, status_details(parsed))


def envelope_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A product's error with an unknown word, by what its message says."""
    found = product_errors.envelope_error(parsed, zoho)
    if found is None:
        return None
    return RecognizedFailure(found.code, found.word, Origin.PRODUCT, status_details(parsed))


def own_key(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A product that doesn't use OAuth."""
    if not product_errors.own_key_needed(parsed, zoho):
        return None
    return RecognizedFailure("product-without-oauth", "", Origin.PRODUCT, status_details(parsed))


def sentence(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A sentence of a page, a library or a person."""
    for text, code in recognition_table("phrases").items():
        if text in parsed.normalized:
            if code == "no-refresh-token":
                return refresh_token_missing(parsed)
            if code == "zoho-page-invalid-scope" and (parsed.statuses or "message" in parsed.names):
                code = "scope-missing"  # an API's response, not a page
            zoho_error = text if code in codes_with("answered_in_words") else ""
            return RecognizedFailure(
                code, zoho_error, origin_of(code, parsed), _network_details(code, parsed)
            )
    return None


def translated_sentence(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A sentence of one of Zoho's pages in another language."""
    if len(parsed.normalized) > MAX_PAGE_CHARACTERS:
        return None
    for text, code in translated_phrases().items():
        if text in parsed.normalized:
            if code == "throttled" and sent_requests.find_product(parsed, zoho):
                return RecognizedFailure("product-throttled", "", Origin.PRODUCT)
            return RecognizedFailure(code, origin=origin_of(code, parsed))
    return None


def foreign_page(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The page that ends an authorization, in a language without known phrases: the terms of OAuth
    are the same in all of them."""
    said = re.sub(r"https?://\S+", " ", parsed.normalized[:MAX_PAGE_CHARACTERS])
    is_foreign = parsed.is_page_of_zoho or not said.isascii()
    is_response = bool(parsed.names & _RESPONSE_NAMES)
    if not is_foreign or is_response or sent_requests.authorization_url(parsed) is None:
        return None
    for terms, code in _TERMS_OF_PAGES.items():
        if re.search(rf"(?<![a-z-])(?:{terms})(?![a-z-])", said):
            return RecognizedFailure(code, origin=Origin.CONSENT)
    return None


_TERMS_OF_PAGES = {
    "uri": "zoho-page-invalid-redirect-uri",
    "oauth|scopes?": "zoho-page-invalid-scope",
    "client|id": "zoho-page-invalid-client",
}
_RESPONSE_NAMES = frozenset(("access_token", "error", "code", "message", "errorcode"))


def data_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An error for a call that the product understood, but whose data it rejects."""
    known = recognition_table("data_errors")
    candidates = [word for word in parsed.words if word in known]
    if not candidates:
        return None
    word = max(candidates, key=parsed.text.rfind)
    return RecognizedFailure(known[word], word, Origin.PRODUCT, status_details(parsed))


def short_phrase(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A telling word in a text of a sentence or two."""
    if len(parsed.normalized) > MAX_SHORT_TEXT_CHARACTERS:
        return None
    for text, code in recognition_table("short_phrases").items():
        if re.search(rf"(?<!\w){re.escape(text)}", parsed.normalized) and not parsed.statuses:
            return RecognizedFailure(
                code, origin=origin_of(code, parsed), details=_network_details(code, parsed)
            )
    return None


def unknown_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An error with an unknown word."""
    for word in parsed.error_words:
        is_reason = word.casefold() in _REASON_PHRASES
        if re.fullmatch(r"[A-Za-z][\w .-]{2,60}", word) and not is_reason:
            return RecognizedFailure(
                "unknown-oauth-error", masked_line(word, 60), details=status_details(parsed)
            )
    return None


_REASON_PHRASES = frozenset(each.phrase.casefold() for each in HTTPStatus)
"""Words of HTTP, which a server's own error page has as well."""


def _network_details(code: str, parsed: ParsedText) -> dict[str, str]:
    """Values of the messages about the network: the host, and why the certificate was rejected."""
    if not code.startswith(("network-", "not-json")):
        return {}
    hosts = (*(each.hostname or "" for each in parsed.addresses), *parsed.values("host"))
    loopback = [
        each[0] for each in _LOOPBACK_HOST.finditer(parsed.normalized[-MAX_PAGE_CHARACTERS:])
    ]
    name = next(iter((*hosts, *parsed.zoho_hosts, *loopback)), "")
    named = masked_line(name, 100) if re.fullmatch(r"[a-z0-9.-]{3,100}", name) else ""
    reasons = ("certificate has expired", "not yet valid", "self signed", "self-signed")
    reason = next(
        (each for each in reasons if each in parsed.normalized), "certificate-not-verified"
    )
    return {"host": named, "reason": reason, **status_details(parsed)}


_LOOPBACK_HOST = re.compile(r"(?<![\w.-])(?:127\.0\.0\.1|localhost)(?=:\d)")


RULES: tuple[Rule, ...] = (
    own_code,
    callback_error,
    lifetime,
    oauth_error,
    rate_limit,
    product_error,
    own_key,
    malformed_request,
    missing_field,
    host,
    sentence,
    translated_sentence,
    data_error,
    envelope_error,
    page_of_zoho,
    foreign_page,
    authorization_url,
    token_request,
    single_word,
    unknown_error,
    http_status,
    page,
    token_not_sent,
    token_response,
    callback,
    short_phrase,
    token_request_failed,
    address,
    any_token,
)
"""Zoho's words before those of others; what failed before what succeeded; what is there before what
is missing."""


def recognize_failure(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure:
    """The failure in the text; ``not-understood`` if no rule recognizes one."""
    for rule in RULES:
        if found := rule(parsed, zoho):
            return found
    return RecognizedFailure("not-understood")
