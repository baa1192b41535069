"""The console's co-pilot: given a page, it leads to the form of a new client and fills it in.

The person signs in, looks the form over and presses CREATE; nothing here creates, and nothing here
types but the three texts that the form asks for. Only the console of one data centre is filled in,
and only fields that are called as known. At the first surprise it ends, and says which. That the
live console is called so follows from descriptions: it was never tried there.
"""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from wizard.browser.consent import host_of
from wizard.browser.driver import PATIENCE, SETTLE, STUCK, TRIES, Handed
from wizard.browser.judge import HandOver, Press, Reopen, Wait
from wizard.browser.sight import is_its_own
from wizard.browser.tab import TURN, Tab
from wizard.errors import fail, phrase
from wizard.zoho import DataCentre, Zoho

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

LEFT = 600.0
"""Seconds without anything new in the window, after which whoever sat there has left."""

CARDS = ("Server-based Applications", "Server-based")
CREATE_NOW, CREATE = "CREATE NOW", "CREATE"
STARTS = ("ADD CLIENT", "GET STARTED")
SHOWN = ("Client ID", "Client Secret")
NAME, HOMEPAGE, REDIRECT_URIS = "Client Name", "Homepage URL", "Authorized Redirect URIs"
SPELLINGS = {
    NAME: (NAME,),
    HOMEPAGE: (HOMEPAGE,),
    REDIRECT_URIS: (REDIRECT_URIS, "Authorized Redirect URI"),
}
"""Each field of the form, and how it was seen to be called."""
KNOWN = [each.casefold() for each in (*CARDS, CREATE_NOW, CREATE, *STARTS, *SHOWN)]
TYPES = ("text", "url", "textarea")


@dataclass(frozen=True)
class Form:
    """What the form of a new client is given."""

    name: str
    homepage: str
    redirect_uri: str


@dataclass(frozen=True)
class Seen:
    """A page at one moment: which of the known words stand there, and how its fields are called."""

    url: str = "about:blank"
    blank: bool = True
    words: frozenset[str] = frozenset()
    fields: tuple[tuple[str, str], ...] = ()
    """Of each field that is seen its type, and what it is called, in small letters."""

    def shows(self, *words: str) -> bool:
        """Whether all these words stand there."""
        return all(each.casefold() in self.words for each in words)

    def asks(self, field: str) -> bool:
        """Whether exactly one field asks for this."""
        names = [each.casefold() for each in SPELLINGS[field]]
        return len([1 for kind, called in self.fields if called in names and kind in TYPES]) == 1


@dataclass(frozen=True)
class Open:
    """Press CREATE NOW of the card for server-based applications."""


@dataclass(frozen=True)
class Fill:
    """Fill in the form, and leave the button to the person."""


@dataclass(frozen=True)
class Created:
    """The page shows the id and the secret of the client that was made."""


@dataclass(frozen=True)
class Surprise:
    """The page is not as it is known. `code` is a key of the words' table of surprises."""

    code: str
    now: str = ""


Move = Wait | Press | Open | Reopen | HandOver | Fill | Created | Surprise


def judge(seen: Seen, place: DataCentre, zoho: Zoho, *, filled: bool) -> Move:
    """What to do on a page so that a client is registered at `place`; `filled`: the form was."""
    if seen.url.startswith("chrome-error:"):
        return HandOver("unreachable", surely=False)
    if seen.blank:
        return Wait()
    if _at(seen.url, place.console):
        return _in_console(seen, filled=filled)
    for other in zoho.data_centres:
        if _at(seen.url, other.console):
            return Surprise("moved", other.name)
        if _at(seen.url, other.accounts_server):
            return _signing_in(seen, other)
    return HandOver("elsewhere", host_of(seen.url), surely=False)


def _signing_in(seen: Seen, place: DataCentre) -> Move:
    """An announcement, or the account's own page, leads on where the console is opened again."""
    path = seen.url.partition("?")[0].removeprefix(place.accounts_server)
    passed_by = path == "/home" or path.startswith(("/announcement/", "/preannouncement/"))
    return Reopen() if passed_by else HandOver("console-sign-in")


def _in_console(seen: Seen, *, filled: bool) -> Move:
    missing = [each for each in SPELLINGS if not seen.asks(each)]
    if not missing:
        return Fill() if seen.shows(CREATE) else Surprise("create")
    if filled:
        return Created() if seen.shows(*SHOWN) else Surprise("secret")
    if seen.fields:
        return Surprise("form", missing[0])
    if seen.shows(CREATE_NOW) and any(seen.shows(each) for each in CARDS):
        return Open()
    start = next((each for each in STARTS if seen.shows(each)), None)
    return Press(start) if start else Surprise("page")


class Console:
    """Leads one page through the API console of a data centre."""

    def __init__(
        self,
        page: "Page",
        zoho: Zoho,
        tell: Callable[[Handed], None],
        stopped: Callable[[], bool] = lambda: False,
        left: float = LEFT,
    ) -> None:
        """`tell` is told, once each, what is the person's to do; `stopped` says whether to end."""
        self._page = page
        self._zoho = zoho
        self._tell = tell
        self._left = left
        self._tab = Tab(page, stopped)
        self._handed: Handed | None = None
        self._told: Handed | None = None
        self._tries: Counter[Move] = Counter()
        self._seen: tuple[Seen, float] = (Seen(), time.monotonic())
        self._filled = False

    def register(self, place: DataCentre, form: Form) -> None:
        """Lead the person to a new client at `place`; return when its id and secret are shown.

        Raises ``console-surprise`` at the first thing that is not as it is known, and
        ``window-closed``.
        """
        self._tab.open(place.console_add)
        move: Move = Wait()
        while not isinstance(move, Created):
            with self._tab.watched():
                seen = _look(self._page)
                self._tab.note_alive()
                move = self._settled(seen, judge(seen, place, self._zoho, filled=self._filled))
                self._act(move, seen, place, form)
                self._page.wait_for_timeout(TURN)
            self._tell_what_is_new()

    def pick_up(self, place: DataCentre) -> str:
        """The text of the part of the page that shows id and secret; empty where there is none.
        To be called only after the person has said yes. Raises ``window-closed``."""
        picked = ""
        with self._tab.watched():
            if _at(self._page.url, place.console):
                labels = [each.casefold() for each in SHOWN]
                picked = str(self._page.evaluate(_script("console_picked.js"), labels))
        return picked

    def say(self, words: str | None) -> None:
        """Show a sentence at the foot of the window; None: none."""
        self._tab.say(words)

    # one turn

    def _settled(self, seen: Seen, move: Move) -> Move:
        """`move`, or to wait where the page may still change by itself; but not for ever."""
        if seen != self._seen[0]:
            self._seen = seen, time.monotonic()
        since = time.monotonic() - self._seen[1]
        unsure = isinstance(move, Surprise) or (isinstance(move, HandOver) and not move.surely)
        if unsure and since < SETTLE:
            return Wait()
        if isinstance(move, HandOver | Fill) and since > self._left:
            return Surprise("nobody")
        if self._tries[move] >= TRIES or (isinstance(move, Wait) and since > STUCK):
            return Surprise("stuck")
        return move

    def _act(self, move: Move, seen: Seen, place: DataCentre, form: Form) -> None:
        if isinstance(move, Surprise):
            raise _surprised(move, place)
        if isinstance(move, Fill):
            self._fill(place, form)
            self._hand_over(HandOver("console-create"))
        elif isinstance(move, HandOver):
            self._hand_over(move)
        elif not isinstance(move, Wait):
            self._handed = self._told = None
            self.say(None)
            self._tries[move] += 1
            self._go_on(move, seen, place)

    def _go_on(self, move: Move, seen: Seen, place: DataCentre) -> None:
        if isinstance(move, Reopen):
            self._tab.open(place.console_add)
        elif isinstance(move, Press):
            self._press(_called(self._page, move.name), seen)
        elif isinstance(move, Open):
            card = _card(self._page)
            card.hover(timeout=PATIENCE)  # some consoles show the button only then
            self._press(_called(card, CREATE_NOW), seen)

    def _press(self, target: "Locator", seen: Seen) -> None:
        """Press what stands on the very page that was judged."""
        found = target.element_handle(timeout=PATIENCE)
        if _look(self._page) == seen:
            found.click(timeout=PATIENCE)

    def _fill(self, place: DataCentre, form: Form) -> None:
        """Fill what is still empty: what the person has changed is theirs."""
        texts = {NAME: form.name, HOMEPAGE: form.homepage, REDIRECT_URIS: form.redirect_uri}
        for field, text in texts.items():
            box = self._page.get_by_label(_spelt(*SPELLINGS[field]))
            if _at(self._page.url, place.console) and not box.input_value(timeout=PATIENCE):
                box.fill(text, timeout=PATIENCE)
        self._filled = True

    def _hand_over(self, move: HandOver) -> None:
        self._handed = Handed(move.why, phrase("handovers", move.why, now=move.now))
        self.say(self._handed.words)

    def _tell_what_is_new(self) -> None:
        if self._handed is not None and self._handed != self._told:
            self._told = self._handed
            self._tell(self._handed)


def _surprised(move: Surprise, place: DataCentre) -> Exception:
    what = phrase("surprises", move.code, now=move.now, data_centre=place.name)
    return fail("console-surprise", what=what)


def _at(url: str, base: str) -> bool:
    return url == base or url.startswith(f"{base}/")


def _card(page: "Page") -> "Locator":
    """The smallest part of the page that holds the card's name and one button for it."""
    name = page.get_by_text(_spelt(*CARDS))
    holding = page.locator("*").filter(has=name).filter(has=_called(page, CREATE_NOW))
    return holding.last


def _called(within: "Page | Locator", name: str) -> "Locator":
    """The button or the link of that name."""
    spelt = _spelt(name)
    return within.get_by_role("button", name=spelt).or_(within.get_by_role("link", name=spelt))


def _spelt(*names: str) -> re.Pattern[str]:
    """Exactly one of these names, in letters of any size, with the star of a required field."""
    either = "|".join(re.escape(each) for each in names)
    return re.compile(rf"^\s*(?:{either})\s*[*:]?\s*$", re.IGNORECASE)


def _look(page: "Page") -> Seen:
    seen = page.evaluate(_script("console.js"), KNOWN)
    if not is_its_own(page, seen["url"]):
        return Seen()
    return Seen(
        url=seen["url"],
        blank=seen["blank"],
        words=frozenset(seen["words"]),
        fields=tuple((kind, called) for kind, called in seen["fields"]),
    )


@cache
def _script(name: str) -> str:
    return resources.files("wizard.browser").joinpath(name).read_text("utf-8")
