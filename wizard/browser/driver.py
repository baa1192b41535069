"""The driver: given a page, it leads one consent to its end, and hands over what is the person's.

It looks, judges, and does one thing. It presses and chooses; it never types, and never looks at
what was typed. What it presses is what it has judged: where the page has changed between the two,
it judges anew. The address on which the consent ends never leaves the browser: its request is
stopped, and the address handed to the process that began. So neither a server nor a cookie is
needed, and whoever else listens on that port hears nothing.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from wizard.browser.consent import Wanted
from wizard.browser.judge import (
    SUBMIT,
    Choose,
    HandOver,
    Move,
    Press,
    Refused,
    Reopen,
    Wait,
    judge,
)
from wizard.browser.sight import Sight, look
from wizard.browser.tab import TURN, Tab
from wizard.errors import phrase

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle, Page

SETTLE = 1.0
"""Seconds that a page must stand as it is before it is called unknown: some are only passed by."""
STUCK = 20.0
"""Seconds that a page may be busy before the person is asked to look after it."""
TRIES = 2
"""How often one button is pressed, or an address opened, for one consent: a sign-in that ran out in
between takes a second time; more is going in circles."""
PATIENCE = 3_000
"""Milliseconds that a button may take to be pressed."""


@dataclass(frozen=True)
class Handed:
    """Something that only the person can do."""

    why: str
    """A key of the words' table of hand-overs."""
    words: str


@dataclass(frozen=True)
class Ended:
    """How a consent ended: one of `address` and `said` is set."""

    address: str = ""
    """Where the browser was sent back to, with all that it was given."""
    said: str = ""
    """The page of Zoho's own from which nobody comes back."""
    client: str = ""
    """The client's name as it stood on the page that the person accepted, where the house knows it
    by another."""


class Driver:
    """Leads the consents of one page, one after the other."""

    def __init__(
        self,
        page: "Page",
        tell: Callable[[Handed], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """`tell` is told, once each, what is the person's to do; `stopped` says whether to end."""
        self.page = page
        self._tell = tell
        self._tab = Tab(page, stopped)
        self._redirect_uri = ""
        self._ended: Ended | None = None
        self._handed: HandOver | None = None
        self._tries: Counter[Move] = Counter()
        self._seen: tuple[Sight, float] = (Sight(), 0.0)
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.on("Fetch.requestPaused", self._stop_at_the_end)
        # A page's own frame has the id of what is debugged.
        self._frame = self._devtools.send("Target.getTargetInfo")["targetInfo"]["targetId"]

    def consent(self, wanted: Wanted, redirect_uri: str) -> Ended:
        """Lead the page to `redirect_uri` by way of the wanted consent, or to what stands in its
        way.

        Raises ``window-closed`` where the page is gone, or its end was asked for.
        """
        self._begin(redirect_uri)
        self._tab.open(wanted.url)
        while self._ended is None:
            self._turn(wanted)
        return self._ended

    def say(self, words: str | None) -> None:
        """Show a sentence at the foot of the window, in the place of the one before; None: none."""
        self._tab.say(words)

    def attend(self) -> None:
        """Let the window be while nothing is asked of it. Raises ``window-closed``."""
        self._tab.attend()

    # one turn: look, judge, act

    def _turn(self, wanted: Wanted) -> None:
        move: Move = Wait()
        with self._tab.watched():
            sight = look(self.page)
            self._tab.note_alive()
            move = self._settled(sight, judge(sight, wanted))
            if not isinstance(move, HandOver):
                self._act(move, sight, wanted)
                self.page.wait_for_timeout(TURN)
        if isinstance(move, HandOver):
            self._hand_over(move, wanted)

    def _settled(self, sight: Sight, move: Move) -> Move:
        """`move`, or to wait where the page may still change by itself; but not for ever."""
        if sight != self._seen[0]:
            self._seen = sight, time.monotonic()
        since = time.monotonic() - self._seen[1]
        unsure = isinstance(move, Refused) or (isinstance(move, HandOver) and not move.surely)
        if unsure and since < SETTLE:
            return Wait()
        if self._tries[move] >= TRIES or (isinstance(move, Wait) and since > STUCK):
            return HandOver("stuck")
        return move

    def _act(self, move: Move, sight: Sight, wanted: Wanted) -> None:
        if self._handed is not None and not isinstance(move, Wait):
            self._handed = None
            self.say(None)
        if isinstance(move, Refused):
            self._ended = Ended(said=move.said)
        elif not isinstance(move, Wait):
            self._tries[move] += 1
            self._do(move, sight, wanted)

    def _do(self, move: Move, sight: Sight, wanted: Wanted) -> None:
        if isinstance(move, Press):
            self._press(move.name, sight)
        elif isinstance(move, Choose):
            for choice in move.choices:
                group = self.page.get_by_role("group", name=choice.group, exact=True)
                group.get_by_role("radio", name=choice.name, exact=True).check(timeout=PATIENCE)
            self._press(SUBMIT, sight)
        elif isinstance(move, Reopen):
            self._tab.open(wanted.url)

    def _press(self, name: str, seen: Sight) -> None:
        """Press a button, or follow a link, of the very page that was judged."""
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        found: ElementHandle = button.or_(link).element_handle(timeout=PATIENCE)
        if look(self.page) == seen:
            found.click(timeout=PATIENCE)

    def _hand_over(self, move: HandOver, wanted: Wanted) -> None:
        words = phrase("handovers", move.why, email=wanted.email, now=move.now)
        self.say(words)
        if move != self._handed:
            self._handed = move
            self._tell(Handed(move.why, words))
            self._tab.note_alive()
        self.attend()

    # the page

    def _begin(self, redirect_uri: str) -> None:
        """Forget the consent before, and have requests for `redirect_uri` stopped, whichever way
        they come about."""
        self._ended = self._handed = None
        self._tries.clear()
        self._redirect_uri = redirect_uri
        patterns = [{"urlPattern": f"{redirect_uri}*"}]
        self._devtools.send("Fetch.enable", {"patterns": patterns})

    def _stop_at_the_end(self, paused: dict[str, Any]) -> None:
        request, url = {"requestId": paused["requestId"]}, str(paused["request"]["url"])
        if url.partition("?")[0] != self._redirect_uri:
            self._devtools.send("Fetch.continueRequest", request)
            return
        self._devtools.send("Fetch.failRequest", {**request, "errorReason": "Aborted"})
        if paused["resourceType"] != "Document" or paused["frameId"] != self._frame:
            return  # some page's picture or frame, which ends nothing
        self._ended = self._ended or Ended(address=url, client=self._accepted_by_person(url))

    def _accepted_by_person(self, url: str) -> str:
        """The client's name that the house did not know: accepted, since there is a code."""
        handed, named = self._handed, {name for name, _ in parse_qsl(urlsplit(url).query)}
        unknown = handed is not None and handed.why == "other-client" and "code" in named
        return handed.now if handed is not None and unknown else ""
