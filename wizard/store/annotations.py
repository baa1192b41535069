"""The limits of what users write about a connection: owner, tags, note and expected account."""

import re
import unicodedata
from collections.abc import Collection

from wizard.credential_formats import SECRET_TOKEN
from wizard.errors import fail

MAX_OWNER_CHARACTERS = 100
MAX_EMAIL_CHARACTERS = 254
MAX_TAGS = 20
MAX_TAG_CHARACTERS = 32
MAX_NOTE_CHARACTERS = 1000

_EMAIL = re.compile(rf"(?=.{{3,{MAX_EMAIL_CHARACTERS}}}$)[^\s@]+@[^\s@]+")
_TAG = re.compile(rf"[^\W_][\w.-]{{0,{MAX_TAG_CHARACTERS - 1}}}")


def clean_owner(text: str) -> str:
    """The owner without surrounding spaces. Raises ``bad-owner``."""
    owner = unicodedata.normalize("NFC", text.strip())
    if len(owner) > MAX_OWNER_CHARACTERS or not owner.isprintable() or SECRET_TOKEN.search(owner):
        raise fail("bad-owner", limit=str(MAX_OWNER_CHARACTERS))
    return owner


def clean_email(text: str) -> str:
    """The email address without surrounding spaces; it may be empty. Raises ``bad-email``."""
    email = text.strip()
    if email and not _EMAIL.fullmatch(email):
        raise fail("bad-email", limit=str(MAX_EMAIL_CHARACTERS))
    return email


def clean_tag(text: str) -> str:
    """The tag in lower case. Raises ``bad-tag``."""
    tag = unicodedata.normalize("NFC", text.strip().lower())
    if not _TAG.fullmatch(tag):
        raise fail("bad-tag", tag=text.strip()[:MAX_TAG_CHARACTERS], limit=str(MAX_TAG_CHARACTERS))
    return tag


def clean_tags(texts: Collection[str]) -> tuple[str, ...]:
    """The tags in alphabetical order, each once. Raises ``bad-tag``, ``too-many-tags``."""
    tags = tuple(sorted({clean_tag(each) for each in texts}))
    if len(tags) > MAX_TAGS:
        raise fail("too-many-tags", limit=str(MAX_TAGS))
    return tags


def clean_note(text: str) -> str:
    """The note with ``\\n`` at the end of each line. Raises ``bad-note``."""
    note = unicodedata.normalize("NFC", "\n".join(text.strip().splitlines()))
    is_printable = all(line.isprintable() for line in note.replace("\t", " ").split("\n"))
    if len(note) > MAX_NOTE_CHARACTERS or not is_printable or SECRET_TOKEN.search(note):
        raise fail("bad-note", limit=str(MAX_NOTE_CHARACTERS))
    return note
