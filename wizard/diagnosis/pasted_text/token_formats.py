"""The form of a pasted credential, and masking of secrets in a text. Pure.

Every pattern is possessive or bounded, so that it takes linear time, and begins with the characters
that a match can begin with, which is fastest.
"""

import re
from collections.abc import Callable

from wizard.credential_formats import (
    CLIENT_ID,
    CLIENT_SECRET,
    MASK,
    SECRET_TOKEN,
    TOKEN,
    TOKEN_START,
)
from wizard.diagnosis.evidence import TokenFormat
from wizard.transport import sanitize_line

_LABELED_SECRET = re.compile(
    r"([A-Za-z_パ密](?<![\w-].)[\w-]{0,60}+"
    r"(?i:(?<=token)|(?<=secret)|(?<=password)|(?<=passwd)|(?<=passphrase)|(?<=pwd)|(?<=apikey)"
    r"|(?<=[_-]key)|(?<=code_verifier)|(?<=code)(?<![a-z]code)|(?<=state)(?<![a-z]state)"
    r"|(?<=passwort)|(?<=kennwort)|(?<=passe)|(?<=contraseña)|(?<=senha)|(?<=wachtwoord)"
    r"|(?<=パスワード)|(?<=密码)))"
    r"([\"']\r?\n\r?\n|\\?[\"']?\s{0,3}+(?:[:=]>?|>|：|%3[Dd])\s{0,3}+)"
    r"(\\?\"[^\"\n]{1,4096}+|\\?'[^'\n]{1,4096}+|[^\s\"'&,;{}\\<>]{4,}+)"
)
"""The name of a secret, in the languages of Zoho's pages, and its value."""
_PLAIN_VALUE = re.compile(r"[A-Za-z_]{1,60}|\d{1,6}")
"""The value of ``code`` or ``state`` if these belong to an error or a form and not to OAuth."""
_SECRET_HEADER = re.compile(
    r"([AaCcSs](?<![\w-].)(?i:(?<=a)uthorization|(?<=c)ookie|(?<=s)et-cookie))"
    r"(\\?[\"']?\s{0,3}+[:=])[^\r\n]++"
)
_AUTHORIZATION_SCHEME = re.compile(
    r"([ZzBb](?<!\w.)(?i:(?<=z)oho-oauthtoken|(?<=b)earer|(?<=b)asic))"
    r"(\s{1,3}+|%20|\+)(?:\\?[\"'])?[^\s\"',]{4,}+"
)
_LONG_WORD = re.compile(r"[A-Za-z0-9+/_.~-](?<![A-Za-z0-9+/_.~-].)[A-Za-z0-9+/_.~-]{23,}+={0,2}+")
_USER_IN_URL = re.compile(r"(://)(?:[^\s/@\"'<>]{0,256}+@){1,4}+")
_CURL_USER = re.compile(r"(-(?<!\S.)(?:u|-(?:proxy-)?user)[ =]?[\"']?[^\s\"':]{1,200}+:)[^\s\"']++")
_CURL_COOKIE = re.compile(r"(-(?<!\S.)(?:b|-cookie)[ =])(?:\"[^\"\n]++|'[^'\n]++|[^\s\"']++)")


def token_format_of(value: str) -> TokenFormat | None:
    """The form of `value`, sent as a token; None for a placeholder (``<token>``, ``$TOKEN``,
    ``1000.…``), which people write before they share a text."""
    bare = value.strip("\"'`“”‘’ \t\r\n")
    if TOKEN.match(bare) and re.match(r"[&?]|%26", bare[70:]):
        return TokenFormat.WITH_QUERY
    if re.search(r"[*…<>$(){}\[\]%]|\.\.\.|xxx|token|masked|redacted|your", bare, re.IGNORECASE):
        return None
    squeezed = "".join(bare.split())
    if CLIENT_ID.fullmatch(bare):
        return TokenFormat.CLIENT_ID
    if CLIENT_SECRET.fullmatch(bare):
        return TokenFormat.CLIENT_SECRET
    if TOKEN.fullmatch(bare):
        quoted = value.strip() != bare
        return (
            TokenFormat.QUOTED
            if quoted
            else TokenFormat.COMPLETE
            if value == bare
            else TokenFormat.WITH_WHITESPACE
        )
    if TOKEN.fullmatch(squeezed):
        return TokenFormat.WITH_WHITESPACE
    return TokenFormat.TRUNCATED if TOKEN_START.fullmatch(bare) else TokenFormat.OTHER


def mask_secrets(text: str) -> str:
    """Mask tokens, secrets, passwords and anything that may be one: a long word of letters and
    digits that isn't a client id."""
    for pattern, hidden in _MASK_RULES:
        text = pattern.sub(hidden, text)
    return text


def has_secret(text: str) -> bool:
    """Whether anything in `text` is masked."""
    return any(
        hidden(found) != found[0]
        for pattern, hidden in _MASK_RULES
        for found in pattern.finditer(text)
    )


def masked_line(text: str, max_length: int = 120) -> str:
    """Foreign text that is safe in a sentence: one line, masked and short."""
    # Masked again: invisible characters may have hidden a secret.
    return " ".join(mask_secrets(sanitize_line(mask_secrets(text[:8192]))).split())[:max_length]


def _mask_labeled(found: re.Match[str]) -> str:
    key, joint, value = found.groups()
    bare = value.lstrip("\\\"'")
    if key.lower().endswith(("code", "state")) and _PLAIN_VALUE.fullmatch(bare.rstrip("\\")):
        return found[0]
    return f"{key}{joint}{value[: len(value) - len(bare)]}{MASK}"


def _mask_long_word(found: re.Match[str]) -> str:
    """Mask a long word if it looks random; URLs and names may be shown."""
    word = found[0]
    longest = max(re.split(r"[/.~]", word), key=len)
    if CLIENT_ID.fullmatch(word) or len(longest) < 20:
        return word
    mixed = re.search(r"\d", longest) and re.search(r"[A-Za-z]", longest)
    return MASK if mixed else word


_MASK_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_SECRET_HEADER, lambda found: f"{found[1]}{found[2]} {MASK}"),
    (_AUTHORIZATION_SCHEME, lambda found: f"{found[1]}{found[2]}{MASK}"),
    (SECRET_TOKEN, lambda _: MASK),
    (_LABELED_SECRET, _mask_labeled),
    (_USER_IN_URL, lambda found: f"{found[1]}{MASK}@"),
    (_CURL_USER, lambda found: f"{found[1]}{MASK}"),
    (_CURL_COOKIE, lambda found: f"{found[1]}{MASK}"),
    (_LONG_WORD, _mask_long_word),
)
"""Patterns and their replacements, applied in this order."""
