"""Messages of HTTP clients about a failed response, and the program that wrote a text. Pure.

The forms are data in `http_messages.toml`. A form is searched only around its literal, at the
beginning and the end of a text, so that any text takes linear time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain

from wizard.tables import read_table

MAX_MESSAGES = 50
"""How many messages of one form are read, half of them from the end of a text."""
MAX_MESSAGE_CHARACTERS = 1500
"""Characters before and after the literal of a form, which may be parts of a URL."""


@dataclass(frozen=True)
class HttpMessage:
    """What a program says about one response."""

    offset: int
    """Where in the text it is."""
    status: int | None
    method: str = ""
    url: str = ""
    program: "Program | None" = None


@dataclass(frozen=True)
class Form:
    """One form of such messages."""

    near: str
    """A literal in the message."""
    pattern: str = ""
    """Its groups are ``status``, ``method``, ``url`` and ``path``."""
    status: int | None = None
    """The status, if the literal itself stands for one."""

    def find(self, text: str) -> Iterator[HttpMessage]:
        """The messages of this form in a text."""
        if not self.pattern:
            yield from (HttpMessage(offset, self.status) for offset in offsets(self.near, text))
            return
        for offset, found in search_near(self.near, self.pattern, text):
            groups = {name: value or "" for name, value in found.groupdict().items()}
            status = groups.get("status")
            url = groups.get("url", "") + groups.get("path", "")
            method = groups.get("method", "").upper()
            yield HttpMessage(offset, int(status) if status else None, method, url)


@dataclass(frozen=True)
class Program:
    """An HTTP client, a framework or a service that calls Zoho."""

    title: str
    """Empty if a form doesn't show the program."""
    command: str = ""
    """Prints the response body there; empty if its users can't."""
    signs: tuple[str, ...] = ()
    """Literals that show the program, if no form of it matches."""
    forms: tuple[Form, ...] = field(default=(), repr=False)


@cache
def programs() -> tuple[Program, ...]:
    """All programs, in the order of the table: a special one before a general one."""
    return tuple(
        Program(
            row["title"],
            row.get("command", ""),
            tuple(row.get("signs", ())),
            tuple(Form(**form) for form in row.get("forms", ())),
        )
        for row in read_table("diagnosis/pasted_text/http_messages.toml").values()
    )


def find_messages(text: str) -> tuple[HttpMessage, ...]:
    """The messages in a text, each once, in order."""
    found = {
        (each.offset, each.status, each.url): replace(each, program=program)
        for program in programs()
        for form in program.forms
        for each in form.find(text)
    }
    return tuple(sorted(found.values(), key=lambda each: each.offset))


def find_program(text: str, messages: tuple[HttpMessage, ...]) -> Program | None:
    """The program that wrote a text with these messages, or with its signs; None if nothing shows
    it."""
    wrote = (each.program for each in reversed(messages) if each.program and each.program.title)
    shown = (each for each in programs() if any(sign in text for sign in each.signs))
    return next(chain(wrote, shown), None)


def search_near(near: str, pattern: str, text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """The matches of a pattern around a literal, with their offsets."""
    for offset in offsets(near, text):
        start = max(0, offset - MAX_MESSAGE_CHARACTERS)
        window = text[start : offset + MAX_MESSAGE_CHARACTERS]
        for found in re.finditer(pattern, window):
            if found.start() <= offset - start < found.end():
                yield start + found.start(), found


def offsets(literal: str, text: str) -> Iterator[int]:
    """Where a literal is, at the beginning and the end of a text."""
    found = -1
    for _ in range(MAX_MESSAGES // 2):
        found = text.find(literal, found + 1)
        if found < 0:
            return
        yield found
    last = len(text)
    for _ in range(MAX_MESSAGES // 2):
        last = text.rfind(literal, found + 1, last)
        if last < 0:
            return
        yield last
