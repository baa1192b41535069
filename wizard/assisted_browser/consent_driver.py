"""The driver: leads a page to the end of one consent, and prompts the user where needed.

It takes a snapshot, chooses one action and performs it. It presses and selects, but never types or
reads typed text. An action is performed only if the page still matches its snapshot. The request to
the redirect URI is intercepted and its URL returned to this process, so neither a server nor a
cookie is needed, and another program on that port receives nothing.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from wizard.assisted_browser.consent_page import (
    SUBMIT,
    Choose,
    ConsentAction,
    ErrorPage,
    ExpectedConsent,
    PageSnapshot,
    Press,
    PromptUser,
    Reopen,
    Wait,
    next_consent_action,
    take_snapshot,
)
from wizard.assisted_browser.windows import POLL_INTERVAL_MS, Tab
from wizard.errors import message

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle, Page

SETTLE_SECONDS = 1.0
"""Seconds without a change before a page counts as unknown; some redirect by themselves."""
BUSY_TIMEOUT_SECONDS = 20.0
"""Seconds that a page may be busy before the user is prompted."""
MAX_TRIES = 2
"""How often a button is pressed, or a URL opened, in one consent. An expired sign-in takes a second
try; more would be a loop."""
PRESS_TIMEOUT_MS = 3_000
"""Milliseconds to wait for a button."""


@dataclass(frozen=True)
class UserPrompt:
    """Something that only the user can do."""

    reason: str
    """A key of the message table `user-prompts`."""
    message: str


@dataclass(frozen=True)
class ConsentResult:
    """How a consent ended: either `callback_url` or `error_text` is set."""

    callback_url: str = ""
    """The redirect URI with its parameters."""
    error_text: str = ""
    """The text of an error page of Zoho without a way back."""
    accepted_client_name: str = ""
    """The client's name at Zoho that the user accepted, if it differs from the known names."""


class ConsentDriver:
    """Leads the consents of one page, one after the other."""

    def __init__(
        self,
        page: "Page",
        on_prompt: Callable[[UserPrompt], None],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`on_prompt` gets each prompt once; `should_stop` says whether to end."""
        self.page = page
        self._on_prompt = on_prompt
        self._tab = Tab(page, should_stop)
        self._redirect_uri = ""
        self._result: ConsentResult | None = None
        self._prompt: PromptUser | None = None
        self._tries: Counter[ConsentAction] = Counter()
        self._last_snapshot: tuple[PageSnapshot, float] = (PageSnapshot(), 0.0)
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.on("Fetch.requestPaused", self._intercept_redirect)
        # The main frame has the ID of the debugging target.
        self._frame_id = self._devtools.send("Target.getTargetInfo")["targetInfo"]["targetId"]

    def give_consent(self, expected: ExpectedConsent, redirect_uri: str) -> ConsentResult:
        """Lead the page to `redirect_uri` through the expected consent, or to an error page.

        Raises ``window-closed`` if the page is gone, or `should_stop` is true.
        """
        self._reset(redirect_uri)
        self._tab.open(expected.url)
        while self._result is None:
            self._advance(expected)
        return self._result

    def show_notice(self, message: str | None) -> None:
        """Show a message in the window, replacing the previous one; None: hide it."""
        self._tab.show_notice(message)

    def poll(self) -> None:
        """Keep the page responsive while idle. Raises ``window-closed``."""
        self._tab.poll()

    # one turn: snapshot, choose, act

    def _advance(self, expected: ExpectedConsent) -> None:
        action: ConsentAction = Wait()
        with self._tab.tolerating_navigation():
            snapshot = take_snapshot(self.page)
            self._tab.mark_alive()
            action = self._debounced(snapshot, next_consent_action(snapshot, expected))
            if not isinstance(action, PromptUser):
                self._act(action, snapshot, expected)
                self.page.wait_for_timeout(POLL_INTERVAL_MS)
        if isinstance(action, PromptUser):
            self._prompt_user(action, expected)

    def _debounced(self, snapshot: PageSnapshot, action: ConsentAction) -> ConsentAction:
        """`action`, or `Wait` while the page may still change, up to a limit."""
        if snapshot != self._last_snapshot[0]:
            self._last_snapshot = snapshot, time.monotonic()
        unchanged_seconds = time.monotonic() - self._last_snapshot[1]
        is_uncertain = isinstance(action, ErrorPage) or (
            isinstance(action, PromptUser) and not action.is_certain
        )
        if is_uncertain and unchanged_seconds < SETTLE_SECONDS:
            return Wait()
        if self._tries[action] >= MAX_TRIES or (
            isinstance(action, Wait) and unchanged_seconds > BUSY_TIMEOUT_SECONDS
        ):
            return PromptUser("stuck")
        return action

    def _act(
        self, action: ConsentAction, snapshot: PageSnapshot, expected: ExpectedConsent
    ) -> None:
        if self._prompt is not None and not isinstance(action, Wait):
            self._prompt = None
            self.show_notice(None)
        if isinstance(action, ErrorPage):
            self._result = ConsentResult(error_text=action.text)
        elif not isinstance(action, Wait):
            self._tries[action] += 1
            self._perform(action, snapshot, expected)

    def _perform(
        self, action: ConsentAction, snapshot: PageSnapshot, expected: ExpectedConsent
    ) -> None:
        if isinstance(action, Press):
            self._press(action.name, snapshot)
        elif isinstance(action, Choose):
            for choice in action.choices:
                group = self.page.get_by_role("group", name=choice.group, exact=True)
                group.get_by_role("radio", name=choice.name, exact=True).check(
                    timeout=PRESS_TIMEOUT_MS
                )
            self._press(SUBMIT, snapshot)
        elif isinstance(action, Reopen):
            self._tab.open(expected.url)

    def _press(self, name: str, snapshot: PageSnapshot) -> None:
        """Press a button, or follow a link, if the page still matches `snapshot`."""
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        element: ElementHandle = button.or_(link).element_handle(timeout=PRESS_TIMEOUT_MS)
        if take_snapshot(self.page) == snapshot:
            element.click(timeout=PRESS_TIMEOUT_MS)

    def _prompt_user(self, action: PromptUser, expected: ExpectedConsent) -> None:
        text = message("user-prompts", action.reason, email=expected.email, actual=action.actual)
        self.show_notice(text)
        if action != self._prompt:
            self._prompt = action
            self._on_prompt(UserPrompt(action.reason, text))
            self._tab.mark_alive()
        self.poll()

    # the page

    def _reset(self, redirect_uri: str) -> None:
        """Reset the state of the previous consent, and intercept requests for `redirect_uri`."""
        self._result = self._prompt = None
        self._tries.clear()
        self._redirect_uri = redirect_uri
        patterns = [{"urlPattern": f"{redirect_uri}*"}]
        self._devtools.send("Fetch.enable", {"patterns": patterns})

    def _intercept_redirect(self, event: dict[str, Any]) -> None:
        request, url = {"requestId": event["requestId"]}, str(event["request"]["url"])
        if url.partition("?")[0] != self._redirect_uri:
            self._devtools.send("Fetch.continueRequest", request)
            return
        self._devtools.send("Fetch.failRequest", {**request, "errorReason": "Aborted"})
        if event["resourceType"] != "Document" or event["frameId"] != self._frame_id:
            return  # an image or a frame; the consent goes on
        self._result = self._result or ConsentResult(
            callback_url=url, accepted_client_name=self._accepted_client_name(url)
        )

    def _accepted_client_name(self, url: str) -> str:
        """The unknown client name that the user accepted, as the code shows."""
        prompt, parameters = self._prompt, {name for name, _ in parse_qsl(urlsplit(url).query)}
        is_unknown_client = (
            prompt is not None and prompt.reason == "other-client" and "code" in parameters
        )
        return prompt.actual if prompt is not None and is_unknown_client else ""
