"""Make text safe to show, store or log: mask secrets, remove control characters. Pure."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from wizard.credential_formats import MASK, SECRET_TOKEN

CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, delete, C1
    "\xad\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f"  # invisible characters
    "\u061c\u180e\u200e\u200f\u2028-\u202e\u2066-\u206f"  # text direction and line breaks
    "\ufff9-\ufffb\ud800-\udfff]"  # annotations; halves of characters, which can't be printed
)
"""Characters that control a terminal or can't be seen. The joiners (U+200C, U+200D) are
allowed: Persian needs one."""

_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colors, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC: titles, clipboard, links
    r"|\x1b.?",
    re.DOTALL,
)


def sanitize(text: str) -> str:
    """Remove escape sequences and control characters from `text`; keep its lines."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROL_CHARACTERS.sub("", _ESCAPE_SEQUENCE.sub("", text))


def sanitize_line(text: str, max_length: int | None = None) -> str:
    """Sanitize `text` as one line without tabs, of at most `max_length` characters."""
    return re.sub(r"[\t\n]", " ", sanitize(text))[:max_length]


_SECRET_PARAMETERS = frozenset(
    ("client_secret", "code", "code_verifier", "refresh_token", "access_token", "token", "id_token")
)
_ISSUED = frozenset(("access_token", "refresh_token", "id_token", "client_secret"))
"""Members of a response whose values are secrets. ``code`` is mostly an error code."""
_JSON_SECRET = re.compile(rf'("(?:{"|".join(sorted(_ISSUED))})"\s*:\s*")(?:\\.|[^"\\])*')
_MAX_BODY_CHARACTERS = 2000
_MIN_SECRET_CHARACTERS = 8
"""Anything shorter isn't a secret, and may be part of any word."""
_MASKED_START_CHARACTERS = 12
"""The shortest start of a secret that is masked, as in a truncated text."""
_URL_SAFE = str.maketrans("+/", "-_")
_MARKS = ("\\", "%", "&#")
"""Every text with escaped characters contains one of these."""


def mask_parameters(parameters: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Mask the secret parameters. Returns all parameters, and the secret values."""
    secrets = tuple(
        value for name, value in parameters.items() if name in _SECRET_PARAMETERS and value
    )
    shown = {
        name: MASK if name in _SECRET_PARAMETERS else SECRET_TOKEN.sub(MASK, value)
        for name, value in parameters.items()
    }
    return shown, secrets


def secrets_of(authorization: str) -> tuple[str, ...]:
    """The secrets in an ``Authorization`` header: a token, or a client secret in plain text and as
    in Basic authentication (RFC 7617).
    """
    scheme, _, carried = authorization.partition(" ")
    if scheme.lower() != "basic":
        return (carried,)
    with suppress(ValueError):
        return carried, base64.b64decode(carried).decode().partition(":")[2]
    return (carried,)


def _issued_in(document: Any) -> Iterator[str]:
    """The secrets in a response's JSON, at any depth."""
    waiting = [document]  # no recursion: a response may be nested deeply
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield from (value for name, value in each.items() if _is_secret(name, value))
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _is_secret(name: str, value: Any) -> bool:
    return name in _ISSUED and isinstance(value, str)


def mask_json(document: Any, secrets: Iterable[str]) -> Any:
    """A JSON value with the `secrets` masked, and those that it contains itself."""
    return _masked(document, _prepare((*secrets, *_issued_in(document))))


def _masked(value: Any, secrets: Sequence["_Secret"]) -> Any:
    if isinstance(value, str):
        masked = _mask_text(value, secrets)
        return masked if masked != sanitize(value) else value  # its characters are checked later
    if isinstance(value, list):
        return [_masked(each, secrets) for each in value]
    if isinstance(value, dict):
        return {
            _mask_text(name, secrets): MASK if _is_secret(name, each) else _masked(each, secrets)
            for name, each in value.items()
        }
    return value


def mask_response(body: bytes, document: Any, secrets: Iterable[str] = ()) -> str:
    """The start of a response's text, at most 2,000 characters, with tokens and `secrets` masked:
    a malicious server may repeat them. `document` is the body as JSON, or None.
    """
    text = body.decode("utf-8", "replace")
    masked = mask_text(text, (*secrets, *_issued_in(document)))
    return _JSON_SECRET.sub(rf"\g<1>{MASK}", masked)[:_MAX_BODY_CHARACTERS]


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Sanitize `text` and mask tokens and `secrets` in it, however they are encoded."""
    return _mask_text(text, _prepare(secrets))


@dataclass(frozen=True)
class _Secret:
    """A secret, prepared to be masked in many texts."""

    text: str = field(repr=False)
    writings: tuple[tuple[str, str], ...] = field(repr=False)
    """The encodings to find as they are, each in lower case and unchanged."""

    @property
    def start(self) -> str:
        """The shortest start that is masked; empty if the secret isn't longer."""
        is_longer = len(self.text) > _MASKED_START_CHARACTERS
        return self.text[:_MASKED_START_CHARACTERS] if is_longer else ""


def _prepare(secrets: Iterable[str]) -> list[_Secret]:
    return [
        _Secret(each, tuple((way.lower(), way) for way in (*writings(each), sanitize(each))))
        for each in dict.fromkeys(secrets)
        if len(each) >= _MIN_SECRET_CHARACTERS
    ]


def _mask_text(text: str, secrets: Sequence[_Secret]) -> str:
    text = sanitize(text)
    if len(text) < _MIN_SECRET_CHARACTERS:
        return text
    for secret in secrets:
        folded = text.lower()
        for lower_case, written in secret.writings:
            if lower_case in folded:
                text = re.sub(re.escape(written), MASK, text, flags=re.IGNORECASE)
        if any(mark in text for mark in _MARKS):
            text = re.sub(_escaped(secret.text), MASK, text, flags=re.IGNORECASE)
        text = _without_starts(text, secret)
    return SECRET_TOKEN.sub(MASK, text)


def _without_starts(text: str, secret: _Secret) -> str:
    """Mask every start of a secret, however long."""
    start = secret.start
    if not start:
        return text
    is_plain = not any(mark in text for mark in _MARKS)
    if is_plain and (text + start).isascii() and start.lower() not in text.lower():
        return text  # most texts, and much faster than a search without case
    kept, end = [], 0
    head = re.escape(start) if is_plain else _escaped(start)
    for found in re.finditer(head, text, re.IGNORECASE):
        if found.start() < end:
            continue
        kept += [text[end : found.start()], MASK]
        end = found.end()
        for each in secret.text[_MASKED_START_CHARACTERS:]:
            more = re.compile(_escaped_character(each), re.IGNORECASE).match(text, end)
            if more is None:
                break
            end = more.end()
    return "".join((*kept, text[end:]))


def writings(secret: str) -> Iterator[str]:
    """The secret in plain text, in hex, and in base64 at any offset: three bytes become four
    characters, so there are three variants, without the characters shared with their neighbors."""
    plain = secret.encode()
    yield secret
    yield plain.hex()
    for before in range(3):
        coded = base64.b64encode(bytes(before) + plain).decode()
        own = coded[4 if before else 0 : (before + len(plain)) // 3 * 4]
        if own:
            yield own
            yield own.translate(_URL_SAFE)


def _escaped(secret: str) -> str:
    """A pattern for the secret in which each character may be escaped as in JSON, a URL or HTML."""
    return "".join(_escaped_character(each) for each in secret)


def _escaped_character(each: str) -> str:
    code = f"{ord(each):x}"
    ways = (
        rf"\\*{re.escape(each)}",
        rf"\\+u{code:0>4}",
        "".join(f"%(?:25)*{byte:02x}" for byte in each.encode()),
        f"&#0*{ord(each)};",
        f"&#x0*{code};",
    )
    return f"(?:{'|'.join(ways)})"
