"""One page of a window: opened, spoken in, and watched for its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from wizard.errors import fail

if TYPE_CHECKING:
    from playwright.sync_api import Page

TURN = 50
"""Milliseconds between two looks; shorter than a person notices."""
LOST = 5.0
"""Seconds without any sight of the page after which its browser is given up."""


class Tab:
    """A page that may at any moment be on its way to another, or gone."""

    def __init__(self, page: "Page", stopped: Callable[[], bool] = lambda: False) -> None:
        """`stopped` says whether to end."""
        self.page = page
        self._stopped = stopped
        self._crashed = False
        self._alive = time.monotonic()
        page.on("crash", self._note_crash)

    def open(self, url: str) -> None:
        """Go to `url`; whether it could be reached is seen by looking."""
        from playwright.sync_api import Error

        self.note_alive()
        with suppress(Error):
            self.page.goto(url, wait_until="commit")

    def say(self, words: str | None) -> None:
        """Show a sentence at the foot of the window, in the place of the one before; None: none."""
        from playwright.sync_api import Error

        with suppress(Error):  # the page is on its way to another
            self.page.evaluate(_notice(), words)

    def attend(self) -> None:
        """Let the window be while nothing is asked of it. Raises ``window-closed``."""
        with self.watched():
            self.page.wait_for_timeout(TURN)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """What is done with the page within may fail where the page navigates: then it is left
        undone. Raises ``window-closed`` where the page is gone, or its end was asked for.

        Within, `note_alive` says that the page was seen.
        """
        from playwright.sync_api import Error

        if self._stopped():
            raise fail("window-closed")
        try:
            yield
            self.note_alive()
        except Error:
            lost = time.monotonic() - self._alive > LOST
            if lost or self._crashed or self.page.is_closed():
                raise fail("window-closed") from None

    def note_alive(self) -> None:
        """The page answers now."""
        self._alive = time.monotonic()

    def _note_crash(self, _page: "Page") -> None:
        self._crashed = True


@cache
def _notice() -> str:
    return resources.files("wizard.browser").joinpath("notice.js").read_text("utf-8")
