"""The product that a text is about, and its error: a known word, or what its message says. Pure.

Zoho's products return errors in a dozen forms. A word that isn't in the table is still an error of
a product if it is in one of these forms. Its message, then its HTTP status, show what it is about.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from wizard.diagnosis.pasted_text import sent_requests
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.token_formats import masked_line
from wizard.tables import read_table
from wizard.zoho import OtherProduct, Product, Zoho, error_codes, other_products

CODE_NAMES = ("code", "errorcode", "error_code", "id", "status_code")
_PRECISE_CODE = re.compile(r"[A-Z]{1,6}_?\d{3,5}")
"""A code that can't be anything else, such as ``SERR_157`` or ``F7003``; a number can."""


@dataclass(frozen=True)
class ProductError:
    """An error of a product."""

    code: str
    """The failure code."""
    word: str
    """The product's own word, or its message if it has none."""


def find_called_product(parsed: ParsedText, zoho: Zoho) -> Product | OtherProduct | None:
    """The product of the call, by its URL, else by a name that nothing else has."""
    urls = [url for _, url in reversed(parsed.requests)]
    urls += [each.geturl() for each in parsed.addresses]
    urls += [f"https://{host}/" for host in parsed.zoho_hosts]
    roots = dict.fromkeys("/".join(each.split("/", 4)[:4]) for each in urls)
    of_url = (each for root in roots for each in other_products() if each.has_url(root))
    return next(of_url, None) or sent_requests.find_product(parsed, zoho) or _named(parsed)


def _named(parsed: ParsedText) -> OtherProduct | None:
    """A product that is named by its title, its scopes, or its own codes."""
    services = {each.partition(".")[0].casefold() for each in parsed.scopes}
    has_zeptomail_code = any(each.startswith(("SERR_", "TM_")) for each in parsed.words)
    for each in other_products():
        is_named = each.title.casefold() in parsed.normalized
        is_zeptomails = each.id == "zeptomail" and has_zeptomail_code
        if is_named or is_zeptomails or each.service.casefold() in services:
            return each
    return None


def known_error(parsed: ParsedText, zoho: Zoho) -> ProductError | None:
    """A word or number of the table; a number only if it is called a code or is the whole text."""
    tables = error_codes()
    common = [word for word in parsed.words if word in tables["common"]]
    product = find_called_product(parsed, zoho)
    own = tables.get(product.id, {}) if product else _unambiguous_codes()
    precise = [word for word in parsed.words if word in own and _PRECISE_CODE.fullmatch(word)]
    if precise:
        word = max(precise, key=parsed.text.rfind)
        return ProductError(own[word], word)
    if common:
        word = max(common, key=parsed.text.rfind)
        return ProductError(tables["common"][word], word)
    candidates = [*parsed.values(*CODE_NAMES), *parsed.single_words]
    candidates += re.findall(r"(?i)(?<!\w)(?:error[ _-]?)?code\s{1,3}+(\w{2,6})(?!\w)", parsed.text)
    return next((ProductError(own[word], word) for word in candidates if word in own), None)


@cache
def _unambiguous_codes() -> dict[str, str]:
    """Words and numbers that mean the same in every product that has them."""
    meanings: dict[str, set[str]] = {}
    for product, table in error_codes().items():
        for word, code in table.items() if product != "common" else ():
            meanings.setdefault(word, set()).add(code)
    return {word: codes.pop() for word, codes in meanings.items() if len(codes) == 1}


def own_key_needed(parsed: ParsedText, zoho: Zoho) -> bool:
    """Whether the text is about the authorization of a product that doesn't use OAuth."""
    is_refused = {401, 403, 535} & {*parsed.statuses} or "authentication" in parsed.normalized
    if not (is_refused or parsed.has_authorization or parsed.token):
        return False
    called = find_called_product(parsed, zoho)
    return isinstance(called, OtherProduct) and not called.uses_oauth


# --- An unknown word in a known form --------------------------------------------------------------

_FOREIGN_WORD = re.compile(r"E[A-Z]{4,}|ERR_\w+|[a-z]+/[a-z-]+")
"""Words of HTTP clients, such as ``ENOTFOUND`` and ``ERR_BAD_REQUEST``."""
_CODE_BY_STATUS = {
    400: "call-refused",
    401: "call-unauthorized",
    403: "call-forbidden",
    404: "wrong-path",
    429: "product-throttled",
}


def envelope_error(parsed: ParsedText, zoho: Zoho) -> ProductError | None:
    """The error in a body with the form of a product's errors.

    What its message says decides, then the HTTP status; None if there is no such body.
    """
    for form in _table()["forms"]:
        if not all(_has_name(each, parsed) for each in form["names"]):
            continue
        words = [each for each in parsed.values(*form["words"]) if _is_word(each)]
        messages = [each for each in parsed.values(*form["messages"]) if " " in each]
        if not (words or messages) or "{" not in parsed.text:
            continue
        if not form.get("is_only_zohos") and find_called_product(parsed, zoho) is None:
            return None
        said = " ".join(messages[-form.get("depth", 1) :])
        word = words[-1] if words else said
        code = _code_of_message(said) or _code_by_status(parsed)
        return ProductError(code, masked_line(word, 60))
    return None


def _has_name(name: str, parsed: ParsedText) -> bool:
    """Whether the text has a pair with this name, whose value may be an object."""
    return name in parsed.names or any(f"{quote}{name}{quote}:" in parsed.text for quote in "\"'")


def _is_word(value: str) -> bool:
    """Whether this may be a product's word or number, and not an HTTP status or a program's."""
    is_status = re.fullmatch(r"[1-5]\d\d", value)
    return bool(re.fullmatch(r"\w{2,60}", value)) and not (
        is_status or _FOREIGN_WORD.fullmatch(value)
    )


def _code_of_message(message: str) -> str:
    """The failure code that a product's message suggests; empty if it suggests none."""
    plain = message[:500].casefold()
    rows = _table()["messages"]
    return next((code for pattern, code in rows if re.search(pattern, plain)), "")


def _code_by_status(parsed: ParsedText) -> str:
    status = parsed.statuses[-1] if parsed.statuses else 0
    return _CODE_BY_STATUS.get(status, "product-error")


@cache
def _table() -> dict[str, Any]:
    return read_table("diagnosis/pasted_text/product_errors.toml")
