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

POLL_INTERVAL_MS = 50
"""Milliseconds between two looks; shorter than a person notices."""
LOST_TIMEOUT_SECONDS = 5.0
"""Seconds without any sight of the page after which its browser is given up."""


class Tab:
    """A page that may at any moment be on its way to another, or gone."""

    def __init__(self, page: "Page", should_stop: Callable[[], bool] = lambda: False) -> None:
        """`stopped` says whether to end."""
        self.page = page
        self._should_stop = should_stop
        self._has_crashed = False
        self._last_alive_at = time.monotonic()
        page.on("crash", self._mark_crashed)

    def open(self, url: str) -> None:
        """Go to `url`; whether it could be reached is seen by looking."""
        from playwright.sync_api import Error

        self.mark_alive()
        with suppress(Error):
            self.page.goto(url, wait_until="commit")

    def show_notice(self, message: str | None) -> None:
        """Show a sentence at the foot of the window, in the place of the one before; None: none."""
        from playwright.sync_api import Error

        with suppress(Error):  # the page is on its way to another
            self.page.evaluate(_notice_script(), message)

    def poll(self) -> None:
        """Let the window be while nothing is asked of it. Raises ``window-closed``."""
        with self.tolerating_navigation():
            self.page.wait_for_timeout(POLL_INTERVAL_MS)

    @contextmanager
    def tolerating_navigation(self) -> Iterator[None]:
        """What is done with the page within may fail where the page navigates: then it is left
        undone. Raises ``window-closed`` where the page is gone, or its end was asked for.

        Within, `note_alive` says that the page was seen.
        """
        from playwright.sync_api import Error

        if self._should_stop():
            raise fail("window-closed")
        try:
            yield
            self.mark_alive()
        except Error:
            is_lost = time.monotonic() - self._last_alive_at > LOST_TIMEOUT_SECONDS
            if is_lost or self._has_crashed or self.page.is_closed():
                raise fail("window-closed") from None

    def mark_alive(self) -> None:
        """The page answers now."""
        self._last_alive_at = time.monotonic()

    def _mark_crashed(self, _page: "Page") -> None:
        self._has_crashed = True


@cache
def _notice_script() -> str:
    return resources.files("wizard.assisted_browser").joinpath("notice.js").read_text("utf-8")
