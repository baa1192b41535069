"""Values from outside, each in the alphabet that its type allows: the type is the proof.

Only a judge of something that came from outside (an answer, an import) makes one.
"""

import re
from typing import ClassVar, Self


class _Value(str):
    """Text that matches the shape of its type; anything else raises ValueError."""

    __slots__ = ()
    shape: ClassVar[re.Pattern[str]]

    def __new__(cls, text: str) -> Self:
        if not cls.shape.fullmatch(text):
            raise ValueError(f"this is no {cls.__name__}")  # without the text: it may be a secret
        return super().__new__(cls, text)

    @classmethod
    def of(cls, value: object) -> Self | None:
        """`value` as this type; None where it is not one."""
        fits = isinstance(value, str) and cls.shape.fullmatch(value)
        return cls(str(value)) if fits else None


class Token(_Value):
    """An access or refresh token, or a client secret: RFC 6750's ``b64token`` (section 2.1)."""

    __slots__ = ()
    shape = re.compile(r"[A-Za-z0-9._~+/-]+=*")

    def __repr__(self) -> str:
        return "Token(…)"


class Identifier(_Value):
    """What identifies an account, an organization or a client at Zoho. Most of them are numbers;
    this is what a header, a URL, a file and a shell all take as it is."""

    __slots__ = ()
    shape = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
