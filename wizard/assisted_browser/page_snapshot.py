"""What stands on a page, as a person sees it: asked in one look, and never what was typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAX_TEXT_CHARACTERS = 20_000
"""Characters; a page of consent has some hundred."""


@dataclass(frozen=True)
class Button:
    """A button that is seen."""

    name: str
    is_enabled: bool


@dataclass(frozen=True)
class Field:
    """A field that asks for something. What was typed into it is not known here."""

    kind: str
    """Its type, in HTML's words."""
    identifiers: str
    """Its id, its name and what it lets a browser complete."""
    label: str


@dataclass(frozen=True)
class Choice:
    """One of several to choose from."""

    group: str
    name: str


@dataclass(frozen=True)
class ListItem:
    """One line of a list, and the heading it stands under."""

    heading: str
    text: str


@dataclass(frozen=True)
class PageSnapshot:
    """A page at one moment. Where it has fields, or somebody signs in, it has neither lines nor
    text."""

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
        """Whether there is one button of exactly that name, ready or not; of two, nobody knows
        which is meant."""
        return len([each for each in self.buttons if each.name == name]) == 1

    def has_enabled_button(self, name: str) -> bool:
        """Whether that one button can be pressed."""
        return self.has_button(name) and Button(name, True) in self.buttons

    @property
    def is_blank(self) -> bool:
        """Whether nothing is there (yet)."""
        return not (self.headings or self.buttons or self.fields or self.text.strip())


def take_snapshot(page: "Page") -> PageSnapshot:
    """What is visible on `page`; nothing where it names an address that is not its own. Raises
    Playwright's ``Error`` while it navigates away, or when it is gone."""
    data = page.evaluate(_script())
    return _to_snapshot(data) if is_page_url(page, data["url"]) else PageSnapshot()


def is_page_url(page: "Page", url: str) -> bool:
    """Whether the browser, too, says that the page stands at `url`. What looks at a page runs
    among the page's own scripts, which may have it answer whatever they like."""
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
