"""What a text says in words: Zoho's, its products', those of networks and of people. Pure."""

import re
from functools import cache

from wizard.diagnosis.evidence import Met
from wizard.diagnosis.reading import request
from wizard.diagnosis.reading.clues import Clues
from wizard.diagnosis.reading.meaning import Meaning, foreign_phrases, met_of, status_of, table
from wizard.diagnosis.reading.shapes import foreign
from wizard.errors import words
from wizard.zoho import Zoho, error_words

LAST = 20_000
"""Characters at the end of a text among which a finding of ours is looked for."""
PAGE = 20_000
"""Characters of a page of Zoho's at the most; a longer text is a log, and that of a program."""
SHORT = 300
"""Characters; in a longer text a single word such as “captcha” says nothing of what failed."""


def own_code(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A code of this wizard's, alone or in brackets, as its findings end with."""
    ends = re.findall(r"(?m)\(([a-z]{2,30}(?:-[a-z]{1,30}){1,6})\)$", clues.text[-LAST:])
    for word in (*request.text_is_one_word(clues), *ends):
        if "-" in word and "title" in words().get(word, {}):
            return Meaning(word)
    return None


def callback_error(clues: Clues, zoho: Zoho) -> Meaning | None:
    """The error of a callback, in its address or as a bare word."""
    said = [*clues.values("error"), *request.text_is_one_word(clues)]
    for word in reversed(said):
        if word in table("callback"):
            return Meaning(table("callback")[word], word, Met.CALLBACK)
    return None


def oauth_error(clues: Clues, zoho: Zoho) -> Meaning | None:
    """An error of the accounts server; of several the last, as a log ends with what matters."""
    known = table("oauth")
    said = clues.values("error", "errorcode", "error_code", "code", "type")
    found = [word for word in said if word.lower() in known]
    found = found or [word for word in clues.words if word.lower() in known and "_" in word]
    if not found:
        return None
    word = max(found, key=clues.text.rfind)
    code = known[word.lower()]
    return Meaning(code, word, met_of(code, clues))


def throttle(clues: Clues, zoho: Zoho) -> Meaning | None:
    """Zoho translates the words of its throttle; the frame around them stays."""
    described = "error_description" in clues.names
    failure = "failure" in clues.values("status")
    known = {*table("throttle")["words"]}
    for word in clues.values("error"):
        # A standard's word (RFC 6749) is no translation, whoever frames it so; other servers than
        # Zoho's describe their errors, too, in words of the plain alphabet.
        whole = described and (failure or 400 in clues.statuses)
        framed = whole or ((described or failure or 400 in clues.statuses) and not word.isascii())
        translated = framed and word and not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", word)
        if word.casefold() in known or translated:
            return Meaning("throttled", foreign(word, 60))
    alone = clues.folded.strip("\"'`. ")
    return Meaning("throttled", foreign(clues.text, 60)) if alone in known else None


def product_error(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A product's word; numbers only where they are called a code, or stand alone."""
    dialects = error_words()
    product = request.product_in(clues, zoho)
    status = status_of(clues)
    shared = dialects["common"]
    common = [word for word in clues.words if word in shared]
    if common:
        word = max(common, key=clues.text.rfind)
        return Meaning(shared[word], word, Met.PRODUCT, status)
    own = dialects.get(product.id, {}) if product else _unanimous()
    said = [*clues.values("code", "errorcode", "error_code", "id", "status_code")]
    said += request.text_is_one_word(clues)
    said += re.findall(r"(?i)(?<!\w)(?:error[ _-]?)?code\s{1,3}+(\w{2,6})(?!\w)", clues.text)
    for word in said:
        if word in own:
            return Meaning(own[word], word, Met.PRODUCT, status)
    return None


def sentence(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A sentence of a page, a library or a person."""
    for text, code in table("phrases").items():
        if text in clues.folded:
            said = text if "{zoho_word}" in words()[code]["cause"] else ""
            return Meaning(code, said, met_of(code, clues), _network_details(code, clues))
    return None


def foreign_sentence(clues: Clues, zoho: Zoho) -> Meaning | None:
    """The same on a page of Zoho's in another language."""
    if len(clues.folded) > PAGE:
        return None
    for text, code in foreign_phrases().items():
        if text in clues.folded:
            return Meaning(code, met=met_of(code, clues))
    return None


def data_error(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A product's word for a call that it understood, and whose content it refuses."""
    known = table("data")
    said = [word for word in clues.words if word in known]
    if not said:
        return None
    word = max(said, key=clues.text.rfind)
    return Meaning(known[word], word, Met.PRODUCT, status_of(clues))


def hint(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A telling word in a text of a sentence or two."""
    if len(clues.folded) > SHORT:
        return None
    for text, code in table("short").items():
        if re.search(rf"(?<!\w){re.escape(text)}", clues.folded) and not clues.statuses:
            return Meaning(code, met=met_of(code, clues), details=_network_details(code, clues))
    return None


def unknown_word(clues: Clues, zoho: Zoho) -> Meaning | None:
    """An error that names itself one, with a word that nobody knows."""
    for word in clues.values("error"):
        if re.fullmatch(r"[A-Za-z][\w .-]{2,60}", word):
            return Meaning("unknown-oauth-error", foreign(word, 60), details=status_of(clues))
    return None


def _network_details(code: str, clues: Clues) -> dict[str, str]:
    """What the words about the way to Zoho need: the host, and the certificate's reason."""
    if not code.startswith(("network-", "not-json")):
        return {}
    hosts = (*(each.hostname or "" for each in clues.addresses), *clues.values("host"))
    host = next(iter(hosts), "")
    named = foreign(host, 100) if re.fullmatch(r"[a-z0-9.-]{3,100}", host) else "The host"
    reasons = ("certificate has expired", "not yet valid", "self signed", "self-signed")
    reason = next((each for each in reasons if each in clues.folded), "it could not be verified")
    return {"host": named, "reason": reason, **status_of(clues)}


@cache
def _unanimous() -> dict[str, str]:
    """Words and numbers that mean one thing in every product that has them."""
    meanings: dict[str, set[str]] = {}
    for product, dialect in error_words().items():
        for word, code in dialect.items() if product != "common" else ():
            meanings.setdefault(word, set()).add(code)
    return {word: codes.pop() for word, codes in meanings.items() if len(codes) == 1}
