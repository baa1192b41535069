"""Rules that recognize a failure in a text by its form or its wording. Pure.

The first match decides, so Zoho's own words come before those of others, and what the text contains
before what it lacks.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from wizard.credential_formats import CLIENT_ID, CLIENT_SECRET
from wizard.diagnosis.evidence import Origin, TokenFormat
from wizard.diagnosis.pasted_text import parsed_text
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.token_formats import masked_line, token_format_of
from wizard.errors import WizardError
from wizard.model.failure import codes_with, is_failure_code
from wizard.zoho import Zoho, error_codes, parse_scope


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
    return dict(_read_toml("recognized_texts.toml")[name])


@cache
def translated_phrases() -> dict[str, str]:
    """Phrases of Zoho's pages in other languages, and their failure codes."""
    languages = _read_toml("languages.toml").values()
    phrases = (
        of_one[how] for how in ("observed", "assumed") for of_one in languages if how in of_one
    )
    return {text.casefold(): code for each in phrases for text, code in each.items()}


def _read_toml(name: str) -> dict[str, Any]:
    text = resources.files("wizard.diagnosis.pasted_text").joinpath(name).read_text("utf-8")
    return tomllib.loads(text)


MAX_LIFETIME_SECONDS = 86_400
"""No access token is valid for a day, so a greater number is in another unit."""
HEADER_CHARACTERS = 40
"""Characters of ``Authorization: Zoho-oauthtoken`` and quotes around a token."""
MAX_ADDRESS_CHARACTERS = 8_000
"""Browsers and servers cut off longer URLs."""

_CODE_BY_STATUS = {
    401: "token-invalid",
    403: "no-permission",
    404: "wrong-path",
    407: "network-proxy",
    429: "product-throttled",
}


def authorization_url(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An authorization URL, and what is wrong with it."""
    address = parsed_text.authorization_url(parsed)
    if address is None:
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


def token_response(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token endpoint's response without an error."""
    names = parsed.names
    if "access_token" not in names or "expires_in" not in names:
        return None
    lifetimes = [int(v) for v in parsed.values("expires_in") if re.fullmatch(r"\d{1,12}", v)]
    if any(lifetime > MAX_LIFETIME_SECONDS for lifetime in lifetimes):
        return RecognizedFailure("expiry-in-milliseconds", details={"value": str(max(lifetimes))})
    if "refresh_token" in parsed.values("grant_type"):
        return RecognizedFailure("answer-of-a-refresh")
    if "refresh_token" not in names:
        return RecognizedFailure("no-refresh-token", origin=Origin.EXCHANGE)
    return RecognizedFailure("answer-good")


def token_request(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token request that Zoho can't have accepted: by GET, as JSON, or incomplete."""
    if not parsed_text.token_requests(parsed):
        return None
    sent = parsed_text.parse_sent_request(parsed, zoho)
    incomplete = sent.parameters is not None and "grant_type" not in sent.parameters
    if sent.method == "GET" or "json" in sent.content_type.lower() or incomplete:
        return RecognizedFailure("token-request-refused", origin=Origin.CLIENT)
    return (
        None
        if 400 not in parsed.statuses
        else RecognizedFailure("token-request-refused", origin=Origin.CLIENT)
    )


def single_word(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token, an id or a secret by itself."""
    for word in parsed_text.single_word_of(parsed):
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
    alone = [
        int(word) for word in parsed_text.single_word_of(parsed) if re.fullmatch("[45]\\d\\d", word)
    ]
    for status in reversed([*alone, *parsed.statuses]):
        code = "data-centre-down" if status >= 500 else _CODE_BY_STATUS.get(status)
        if code:
            return RecognizedFailure(code, str(status), Origin.PRODUCT, {"status": str(status)})
    return None


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
    for word in (*parsed_text.single_word_of(parsed), *ends):
        if "-" in word and is_failure_code(word):
            return RecognizedFailure(word)
    return None


def callback_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The error of a callback, in its URL or as a bare word."""
    candidates = [*parsed.values("error"), *parsed_text.single_word_of(parsed)]
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
    return RecognizedFailure(code, word, origin_of(code, parsed))


def rate_limit(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """Zoho's rate limit. Zoho translates its words, but not the frame around them."""
    described = "error_description" in parsed.names
    failure = "failure" in parsed.values("status")
    known = {*recognition_table("rate_limit")["error_texts"]}
    for word in parsed.values("error"):
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
    """A product's error; a number only if it is called a code or stands by itself."""
    dialects = error_codes()
    product = parsed_text.find_product(parsed, zoho)
    status = status_details(parsed)
    shared = dialects["common"]
    common = [word for word in parsed.words if word in shared]
    if common:
        word = max(common, key=parsed.text.rfind)
        return RecognizedFailure(shared[word], word, Origin.PRODUCT, status)
    own = dialects.get(product.id, {}) if product else _unambiguous_codes()
    candidates = [*parsed.values("code", "errorcode", "error_code", "id", "status_code")]
    candidates += parsed_text.single_word_of(parsed)
    candidates += re.findall(r"(?i)(?<!\w)(?:error[ _-]?)?code\s{1,3}+(\w{2,6})(?!\w)", parsed.text)
    for word in candidates:
        if word in own:
            return RecognizedFailure(own[word], word, Origin.PRODUCT, status)
    return None


def sentence(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A sentence of a page, a library or a person."""
    for text, code in recognition_table("phrases").items():
        if text in parsed.normalized:
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
            return RecognizedFailure(code, origin=origin_of(code, parsed))
    return None


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
    for word in parsed.values("error"):
        if re.fullmatch(r"[A-Za-z][\w .-]{2,60}", word):
            return RecognizedFailure(
                "unknown-oauth-error", masked_line(word, 60), details=status_details(parsed)
            )
    return None


def _network_details(code: str, parsed: ParsedText) -> dict[str, str]:
    """Values of the messages about the network: the host, and why the certificate was rejected."""
    if not code.startswith(("network-", "not-json")):
        return {}
    hosts = (*(each.hostname or "" for each in parsed.addresses), *parsed.values("host"))
    host = next(iter(hosts), "")
    named = masked_line(host, 100) if re.fullmatch(r"[a-z0-9.-]{3,100}", host) else ""
    reasons = ("certificate has expired", "not yet valid", "self signed", "self-signed")
    reason = next(
        (each for each in reasons if each in parsed.normalized), "certificate-not-verified"
    )
    return {"host": named, "reason": reason, **status_details(parsed)}


@cache
def _unambiguous_codes() -> dict[str, str]:
    """Words and numbers that mean the same in every product that has them."""
    meanings: dict[str, set[str]] = {}
    for product, dialect in error_codes().items():
        for word, code in dialect.items() if product != "common" else ():
            meanings.setdefault(word, set()).add(code)
    return {word: codes.pop() for word, codes in meanings.items() if len(codes) == 1}


RULES: tuple[Rule, ...] = (
    own_code,
    callback_error,
    oauth_error,
    rate_limit,
    product_error,
    callback,
    token_response,
    sentence,
    translated_sentence,
    data_error,
    authorization_url,
    token_request,
    single_word,
    page,
    http_status,
    short_phrase,
    address,
    unknown_error,
    any_token,
)
"""Zoho's words before those of others; what is there before what is missing."""


def recognize_failure(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure:
    """The failure in the text; ``not-understood`` if no rule recognizes one."""
    for rule in RULES:
        if found := rule(parsed, zoho):
            return found
    return RecognizedFailure("not-understood")
