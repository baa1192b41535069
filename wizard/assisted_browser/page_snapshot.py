"""What is visible on a page, read at once; never what was typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAX_TEXT_CHARACTERS = 20_000
"""Characters; a consent page has a few hundred."""


@dataclass(frozen=True)
class Button:
    """A visible button."""

    name: str
    is_enabled: bool


@dataclass(frozen=True)
class Field:
    """An input field, without its value."""

    kind: str
    """Its HTML type."""
    identifiers: str
    """Its ID, name and autocomplete attribute."""
    label: str


@dataclass(frozen=True)
class Choice:
    """One of several options."""

    group: str
    name: str


@dataclass(frozen=True)
class ListItem:
    """One item of a list, and its heading."""

    heading: str
    text: str


@dataclass(frozen=True)
class PageSnapshot:
    """A page at one moment. If it has fields, or is part of signing in, it has neither list items
    nor text."""

    url: str = "about:blank"
    headings: tuple[str, ...] = ()
    buttons: tuple[Button, ...] = ()
    links: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    choices: tuple[Choice, ...] = ()
    frames: tuple[str, ...] = ()
    list_items: tuple[ListItem, ...] = ()
    text: str = ""

    def has_button(self, name: str) -> bool:
        """Whether there is exactly one button of exactly that name, enabled or not."""
        return len([each for each in self.buttons if each.name == name]) == 1

    def has_enabled_button(self, name: str) -> bool:
        """Whether that button is enabled."""
        return self.has_button(name) and Button(name, True) in self.buttons

    @property
    def is_blank(self) -> bool:
        """Whether nothing is visible yet."""
        return not (self.headings or self.buttons or self.fields or self.text.strip())


def take_snapshot(page: "Page") -> PageSnapshot:
    """Take a snapshot of `page`; empty if the script reports another URL. Raises Playwright's
    ``Error`` while the page navigates, or if it is gone."""
    data = page.evaluate(_script())
    return _to_snapshot(data) if is_page_url(page, data["url"]) else PageSnapshot()


def is_page_url(page: "Page", url: str) -> bool:
    """Whether the browser confirms that the page is at `url`: the snapshot script runs among the
    page's scripts, which could fake its result."""
    return page.url.partition("#")[0] == url.partition("#")[0]


def _to_snapshot(data: Mapping[str, Any]) -> PageSnapshot:
    return PageSnapshot(
        url=data["url"],
        headings=tuple(data["headings"]),
        buttons=tuple(Button(*each) for each in data["buttons"]),
        links=tuple(data["links"]),
        fields=tuple(Field(*each) for each in data["fields"]),
        choices=tuple(Choice(*each) for each in data["choices"]),
        frames=tuple(data["frames"]),
        list_items=tuple(ListItem(*each) for each in data["list_items"]),
        text=data["text"][:MAX_TEXT_CHARACTERS],
    )


@cache
def _script() -> str:
    return (
        resources.files("wizard.assisted_browser").joinpath("page_snapshot.js").read_text("utf-8")
    )
