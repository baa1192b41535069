"""The search for secrets in what a run leaves behind."""

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

WHITESPACE = re.compile(rb"[\s\x00]+")


def encodings_of(secret: str) -> Iterator[bytes]:
    """The encodings in which a secret may appear."""
    raw = secret.encode()
    yield from (raw, raw[::-1], raw.swapcase(), raw.hex().encode(), raw.hex().upper().encode())
    for before in range(3):  # base64 depends on the position: three bytes become four characters
        coded = base64.b64encode(bytes(before) + raw)
        own = coded[4 if before else 0 : (before + len(raw)) // 3 * 4]
        yield from (own, own.translate(bytes.maketrans(b"+/", b"-_")))
    yield from ("".join(f"%{byte:{case}}" for byte in raw).encode() for case in ("02x", "02X"))
    yield quote(secret, safe="").encode()
    yield "".join(f"\\u{ord(each):04x}" for each in secret).encode()
    yield "".join(f"&#{ord(each)};" for each in secret).encode()


def find_secrets(content: bytes, canaries: Mapping[str, str]) -> list[str]:
    """The names of the secrets in `content`, also if lines, blanks or UTF-16 split them."""
    contents = (content, WHITESPACE.sub(b"", content))
    return [
        name
        for name, secret in canaries.items()
        if any(shape in each for each in contents for shape in encodings_of(secret))
    ]
