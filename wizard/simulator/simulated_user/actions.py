"""The actions of the simulated user."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class NotLoopbackError(Exception):
    """The simulated user would leave this machine, where it may type no passwords."""

    def __init__(self, url: str) -> None:
        super().__init__(f"the simulated user does not open {url}: it is not on this machine")


@dataclass
class ActionCounter:
    """Counts the actions so far, those of signing in separately.

    An action is a click, a filled field, a choice, a copy or a paste.
    """

    actions: int = 0
    sign_in_actions: int = 0
    log: list[str] = field(default_factory=list)

    def record(self, action: str, is_signing_in: bool) -> None:
        if is_signing_in:
            self.sign_in_actions += 1
        else:
            self.actions += 1
            self.log.append(action)


class SimulatedUser:
    """A user at one page of a browser, on this machine only.

    Every action raises `NotLoopbackError` if the page's host isn't loopback.
    """

    def __init__(self, page: Page, counter: ActionCounter | None = None) -> None:
        self.page = page
        self.counter = counter or ActionCounter()
        self._is_signing_in = False

    @property
    def actions(self) -> int:
        return self.counter.actions

    @contextmanager
    def signing_in(self) -> Iterator[None]:
        """Count the actions inside as `sign_in_actions`."""
        before, self._is_signing_in = self._is_signing_in, True
        try:
            yield
        finally:
            self._is_signing_in = before

    def go(self, url: str) -> None:
        """Open a URL that something else provides; not an action."""
        _require_loopback(url)
        self.page.goto(url)

    def back(self) -> None:
        """Press the browser's Back button: an action like a click."""
        self.counter.record("back", self._is_signing_in)
        self.page.go_back()

    def click(self, target: Locator) -> None:
        self._begin_action("click", target)
        target.click()

    def fill(self, target: Locator, text: str) -> None:
        self._begin_action("fill", target)
        target.fill(text)

    def type(self, target: Locator, text: str) -> None:
        """Click the field and type key by key, as for boxes of a single digit."""
        self._begin_action("fill", target)
        target.press_sequentially(text)

    def choose(self, target: Locator, option: str | None = None) -> None:
        """Check a box or a radio button, or choose an option of a list by its label."""
        self._begin_action("choose", target)
        if option is None:
            target.check()
        else:
            target.select_option(label=option)

    def copy(self, *targets: Locator) -> str:
        """Select adjacent texts and copy them: one action. Several values become lines."""
        self._begin_action("copy", targets[0])
        return "\n".join(_text_of(target) for target in targets)

    def paste(self, target: Locator, text: str) -> None:
        self._begin_action("paste", target)
        target.fill(text)

    def _begin_action(self, action: str, target: Locator) -> None:
        target.wait_for(state="visible")
        _require_loopback(self.page.url)
        self.counter.record(f"{action} {target}", self._is_signing_in)


def _require_loopback(url: str) -> None:
    if urlsplit(url).hostname not in LOOPBACK_HOSTS:
        raise NotLoopbackError(url)


def _text_of(target: Locator) -> str:
    is_field = target.evaluate("element => 'value' in element")
    return target.input_value() if is_field else target.inner_text()
