"""What a text says in words: Zoho's, its products', those of networks and of people. Pure."""

import re
from functools import cache

from wizard.diagnosis.evidence import Origin
from wizard.diagnosis.pasted_text import http_request
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.recognition import (
    RecognizedFailure,
    origin_of,
    recognition_table,
    status_details,
    translated_phrases,
)
from wizard.diagnosis.pasted_text.token_formats import masked_line
from wizard.errors import message_table
from wizard.zoho import Zoho, error_codes

MAX_CODE_DISTANCE = 20_000
"""Characters at the end of a text among which a finding of ours is looked for."""
MAX_PAGE_CHARACTERS = 20_000
"""Characters of a page of Zoho's at the most; a longer text is a log, and that of a program."""
MAX_SHORT_TEXT_CHARACTERS = 300
"""Characters; in a longer text a single word such as “captcha” says nothing of what failed."""


def own_code(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A code of this wizard's, alone or in brackets, as its findings end with."""
    ends = re.findall(
        r"(?m)\(([a-z]{2,30}(?:-[a-z]{1,30}){1,6})\)$", parsed.text[-MAX_CODE_DISTANCE:]
    )
    for word in (*http_request.single_word_of(parsed), *ends):
        if "-" in word and "title" in message_table().get(word, {}):
            return RecognizedFailure(word)
    return None


def callback_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The error of a callback, in its address or as a bare word."""
    candidates = [*parsed.values("error"), *http_request.single_word_of(parsed)]
    for word in reversed(candidates):
        if word in recognition_table("callback_errors"):
            return RecognizedFailure(
                recognition_table("callback_errors")[word], word, Origin.CALLBACK
            )
    return None


def oauth_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An error of the accounts server; of several the last, as a log ends with what matters."""
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
    """Zoho translates the words of its throttle; the frame around them stays."""
    described = "error_description" in parsed.names
    failure = "failure" in parsed.values("status")
    known = {*recognition_table("rate_limit")["error_texts"]}
    for word in parsed.values("error"):
        # A standard's word (RFC 6749) is no translation, whoever frames it so; other servers than
        # Zoho's describe their errors, too, in words of the plain alphabet.
        whole = described and (failure or 400 in parsed.statuses)
        framed = whole or ((described or failure or 400 in parsed.statuses) and not word.isascii())
        translated = framed and word and not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", word)
        if word.casefold() in known or translated:
            return RecognizedFailure("throttled", masked_line(word, 60))
    alone = parsed.normalized.strip("\"'`. ")
    return RecognizedFailure("throttled", masked_line(parsed.text, 60)) if alone in known else None


def product_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A product's word; numbers only where they are called a code, or stand alone."""
    dialects = error_codes()
    product = http_request.find_product(parsed, zoho)
    status = status_details(parsed)
    shared = dialects["common"]
    common = [word for word in parsed.words if word in shared]
    if common:
        word = max(common, key=parsed.text.rfind)
        return RecognizedFailure(shared[word], word, Origin.PRODUCT, status)
    own = dialects.get(product.id, {}) if product else _unambiguous_codes()
    candidates = [*parsed.values("code", "errorcode", "error_code", "id", "status_code")]
    candidates += http_request.single_word_of(parsed)
    candidates += re.findall(r"(?i)(?<!\w)(?:error[ _-]?)?code\s{1,3}+(\w{2,6})(?!\w)", parsed.text)
    for word in candidates:
        if word in own:
            return RecognizedFailure(own[word], word, Origin.PRODUCT, status)
    return None


def sentence(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A sentence of a page, a library or a person."""
    for text, code in recognition_table("phrases").items():
        if text in parsed.normalized:
            zoho_error = text if "{zoho_error}" in message_table()[code]["cause"] else ""
            return RecognizedFailure(
                code, zoho_error, origin_of(code, parsed), _network_details(code, parsed)
            )
    return None


def translated_sentence(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The same on a page of Zoho's in another language."""
    if len(parsed.normalized) > MAX_PAGE_CHARACTERS:
        return None
    for text, code in translated_phrases().items():
        if text in parsed.normalized:
            return RecognizedFailure(code, origin=origin_of(code, parsed))
    return None


def data_error(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A product's word for a call that it understood, and whose content it refuses."""
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
    """An error that names itself one, with a word that nobody knows."""
    for word in parsed.values("error"):
        if re.fullmatch(r"[A-Za-z][\w .-]{2,60}", word):
            return RecognizedFailure(
                "unknown-oauth-error", masked_line(word, 60), details=status_details(parsed)
            )
    return None


def _network_details(code: str, parsed: ParsedText) -> dict[str, str]:
    """What the words about the way to Zoho need: the host, and the certificate's reason."""
    if not code.startswith(("network-", "not-json")):
        return {}
    hosts = (*(each.hostname or "" for each in parsed.addresses), *parsed.values("host"))
    host = next(iter(hosts), "")
    named = masked_line(host, 100) if re.fullmatch(r"[a-z0-9.-]{3,100}", host) else "The host"
    reasons = ("certificate has expired", "not yet valid", "self signed", "self-signed")
    reason = next(
        (each for each in reasons if each in parsed.normalized), "it could not be verified"
    )
    return {"host": named, "reason": reason, **status_details(parsed)}


@cache
def _unambiguous_codes() -> dict[str, str]:
    """Words and numbers that mean one thing in every product that has them."""
    meanings: dict[str, set[str]] = {}
    for product, dialect in error_codes().items():
        for word, code in dialect.items() if product != "common" else ():
            meanings.setdefault(word, set()).add(code)
    return {word: codes.pop() for word, codes in meanings.items() if len(codes) == 1}
