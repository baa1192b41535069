"""The assistant for Zoho's API console: opens the form of a new client and fills it in.

The user signs in, checks the form and presses CREATE. The assistant types only the three texts of
the form, only in the console of one data center, and only into fields with known labels. It stops
at the first unexpected page, and says which. The labels come from descriptions: it has not been
tried on the live console.
"""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.assisted_browser.consent_driver import (
    BUSY_TIMEOUT_SECONDS,
    MAX_TRIES,
    PRESS_TIMEOUT_MS,
    SETTLE_SECONDS,
    UserPrompt,
)
from wizard.assisted_browser.consent_page import (
    Press,
    PromptUser,
    Reopen,
    Wait,
    displayed_host,
    is_page_url,
)
from wizard.assisted_browser.windows import POLL_INTERVAL_MS, Tab, package_text
from wizard.errors import fail, message
from wizard.zoho import DataCenter, Zoho

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ABANDONED_TIMEOUT_SECONDS = 600.0
"""Seconds without a change in the window, after which the user is assumed to be gone."""

CLIENT_TYPE_LABELS = ("Server-based Applications", "Server-based")
CREATE_NOW, CREATE = "CREATE NOW", "CREATE"
START_LABELS = ("ADD CLIENT", "GET STARTED")
CREDENTIAL_LABELS = ("Client ID", "Client Secret")
CLIENT_NAME, HOMEPAGE_URL, REDIRECT_URIS = "Client Name", "Homepage URL", "Authorized Redirect URIs"
FIELD_LABELS = {
    CLIENT_NAME: (CLIENT_NAME,),
    HOMEPAGE_URL: (HOMEPAGE_URL,),
    REDIRECT_URIS: (REDIRECT_URIS, "Authorized Redirect URI"),
}
"""The known labels of each field of the form."""
KNOWN_LABELS = [
    each.casefold()
    for each in (*CLIENT_TYPE_LABELS, CREATE_NOW, CREATE, *START_LABELS, *CREDENTIAL_LABELS)
]
TEXT_FIELD_TYPES = ("text", "url", "textarea")


@dataclass(frozen=True)
class ClientForm:
    """The values for the form of a new client."""

    name: str
    homepage: str
    redirect_uri: str


@dataclass(frozen=True)
class ConsoleSnapshot:
    """A page at one moment: the known labels on it, and its fields."""

    url: str = "about:blank"
    is_blank: bool = True
    labels: frozenset[str] = frozenset()
    fields: tuple[tuple[str, str], ...] = ()
    """The type and the label (in lower case) of each visible field."""

    def has_labels(self, *labels: str) -> bool:
        """Whether the page has all these labels."""
        return all(each.casefold() in self.labels for each in labels)

    def has_field(self, field: str) -> bool:
        """Whether exactly one field has a label of `field`."""
        names = [each.casefold() for each in FIELD_LABELS[field]]
        return (
            len([1 for kind, called in self.fields if called in names and kind in TEXT_FIELD_TYPES])
            == 1
        )


@dataclass(frozen=True)
class OpenClientForm:
    """Press CREATE NOW of the card for server-based applications."""


@dataclass(frozen=True)
class FillForm:
    """Fill in the form; the user presses the button."""


@dataclass(frozen=True)
class ClientCreated:
    """The page shows the ID and the secret of the new client."""


@dataclass(frozen=True)
class UnexpectedPage:
    """The page isn't as expected. `code` is a key of the message table `unexpected-pages`."""

    code: str
    actual: str = ""


ConsoleAction = (
    Wait | Press | OpenClientForm | Reopen | PromptUser | FillForm | ClientCreated | UnexpectedPage
)


def next_console_action(
    snapshot: ConsoleSnapshot, data_center: DataCenter, zoho: Zoho, *, is_filled: bool
) -> ConsoleAction:
    """The action that leads to a new client in `data_center`; `is_filled`: the form has been filled
    in."""
    if snapshot.url.startswith("chrome-error:"):
        return PromptUser("unreachable", is_certain=False)
    if snapshot.is_blank:
        return Wait()
    if _is_below(snapshot.url, data_center.console_url):
        return _console_action(snapshot, is_filled=is_filled)
    for other in zoho.data_centers:
        if _is_below(snapshot.url, other.console_url):
            return UnexpectedPage("moved", other.name)
        if _is_below(snapshot.url, other.accounts_server):
            return _sign_in_action(snapshot, other)
    return PromptUser("elsewhere", displayed_host(snapshot.url), is_certain=False)


def _sign_in_action(snapshot: ConsoleSnapshot, data_center: DataCenter) -> ConsoleAction:
    """After an announcement or the account's home page, open the console again."""
    path = snapshot.url.partition("?")[0].removeprefix(data_center.accounts_server)
    is_interstitial = path == "/home" or path.startswith(("/announcement/", "/preannouncement/"))
    return Reopen() if is_interstitial else PromptUser("console-sign-in")


def _console_action(snapshot: ConsoleSnapshot, *, is_filled: bool) -> ConsoleAction:
    missing = [each for each in FIELD_LABELS if not snapshot.has_field(each)]
    if not missing:
        return FillForm() if snapshot.has_labels(CREATE) else UnexpectedPage("create")
    if is_filled:
        return (
            ClientCreated() if snapshot.has_labels(*CREDENTIAL_LABELS) else UnexpectedPage("secret")
        )
    if snapshot.fields:
        return UnexpectedPage("form", missing[0])
    if snapshot.has_labels(CREATE_NOW) and any(
        snapshot.has_labels(each) for each in CLIENT_TYPE_LABELS
    ):
        return OpenClientForm()
    start_label = next((each for each in START_LABELS if snapshot.has_labels(each)), None)
    return Press(start_label) if start_label else UnexpectedPage("page")


class ConsoleAssistant:
    """Leads one page through the API console of a data center."""

    def __init__(
        self,
        page: "Page",
        zoho: Zoho,
        on_prompt: Callable[[UserPrompt], None],
        should_stop: Callable[[], bool] = lambda: False,
        abandoned_timeout_seconds: float = ABANDONED_TIMEOUT_SECONDS,
    ) -> None:
        """`on_prompt` gets each prompt once; `should_stop` says whether to end."""
        self._page = page
        self._zoho = zoho
        self._on_prompt = on_prompt
        self._abandoned_timeout_seconds = abandoned_timeout_seconds
        self._tab = Tab(page, should_stop)
        self._prompt: UserPrompt | None = None
        self._announced_prompt: UserPrompt | None = None
        self._tries: Counter[ConsoleAction] = Counter()
        self._last_snapshot: tuple[ConsoleSnapshot, float] = (ConsoleSnapshot(), time.monotonic())
        self._is_filled = False

    def register_client(self, data_center: DataCenter, form: ClientForm) -> None:
        """Lead the user to a new client in `data_center`; return when its ID and secret are shown.

        Raises ``console-surprise`` at the first unexpected page, and ``window-closed``.
        """
        self._tab.open(data_center.console_add_url)
        action: ConsoleAction = Wait()
        while not isinstance(action, ClientCreated):
            with self._tab.tolerating_navigation():
                snapshot = _take_console_snapshot(self._page)
                self._tab.mark_alive()
                action = self._debounced(
                    snapshot,
                    next_console_action(
                        snapshot, data_center, self._zoho, is_filled=self._is_filled
                    ),
                )
                self._act(action, snapshot, data_center, form)
                self._page.wait_for_timeout(POLL_INTERVAL_MS)
            self._announce_prompt()

    def read_credentials(self, data_center: DataCenter) -> str:
        """The text of the part of the page that shows ID and secret; empty if there is none. Call
        it only with the user's consent. Raises ``window-closed``."""
        text = ""
        with self._tab.tolerating_navigation():
            if _is_below(self._page.url, data_center.console_url):
                labels = [each.casefold() for each in CREDENTIAL_LABELS]
                text = str(self._page.evaluate(package_text("console_credentials.js"), labels))
        return text

    def show_notice(self, message: str | None) -> None:
        """Show a message in the window; None: hide it."""
        self._tab.show_notice(message)

    # one turn

    def _debounced(self, snapshot: ConsoleSnapshot, action: ConsoleAction) -> ConsoleAction:
        """`action`, or `Wait` while the page may still change, up to a limit."""
        if snapshot != self._last_snapshot[0]:
            self._last_snapshot = snapshot, time.monotonic()
        unchanged_seconds = time.monotonic() - self._last_snapshot[1]
        is_uncertain = isinstance(action, UnexpectedPage) or (
            isinstance(action, PromptUser) and not action.is_certain
        )
        if is_uncertain and unchanged_seconds < SETTLE_SECONDS:
            return Wait()
        if (
            isinstance(action, PromptUser | FillForm)
            and unchanged_seconds > self._abandoned_timeout_seconds
        ):
            return UnexpectedPage("nobody")
        if self._tries[action] >= MAX_TRIES or (
            isinstance(action, Wait) and unchanged_seconds > BUSY_TIMEOUT_SECONDS
        ):
            return UnexpectedPage("stuck")
        return action

    def _act(
        self,
        action: ConsoleAction,
        snapshot: ConsoleSnapshot,
        data_center: DataCenter,
        form: ClientForm,
    ) -> None:
        if isinstance(action, UnexpectedPage):
            raise _console_error(action, data_center)
        if isinstance(action, FillForm):
            self._fill_form(data_center, form)
            self._prompt_user(PromptUser("console-create"))
        elif isinstance(action, PromptUser):
            self._prompt_user(action)
        elif not isinstance(action, Wait):
            self._prompt = self._announced_prompt = None
            self.show_notice(None)
            self._tries[action] += 1
            self._perform(action, snapshot, data_center)

    def _perform(
        self, action: ConsoleAction, snapshot: ConsoleSnapshot, data_center: DataCenter
    ) -> None:
        if isinstance(action, Reopen):
            self._tab.open(data_center.console_add_url)
        elif isinstance(action, Press):
            self._press(_button_or_link(self._page, action.name), snapshot)
        elif isinstance(action, OpenClientForm):
            client_type = _client_type_card(self._page)
            client_type.hover(timeout=PRESS_TIMEOUT_MS)  # some consoles show it only on hover
            self._press(_button_or_link(client_type, CREATE_NOW), snapshot)

    def _press(self, target: "Locator", snapshot: ConsoleSnapshot) -> None:
        """Press `target` if the page still matches `snapshot`."""
        element = target.element_handle(timeout=PRESS_TIMEOUT_MS)
        if _take_console_snapshot(self._page) == snapshot:
            element.click(timeout=PRESS_TIMEOUT_MS)

    def _fill_form(self, data_center: DataCenter, form: ClientForm) -> None:
        """Fill the empty fields; others the user has changed."""
        texts = {
            CLIENT_NAME: form.name,
            HOMEPAGE_URL: form.homepage,
            REDIRECT_URIS: form.redirect_uri,
        }
        for field, text in texts.items():
            box = self._page.get_by_label(_label_pattern(*FIELD_LABELS[field]))
            if _is_below(self._page.url, data_center.console_url) and not box.input_value(
                timeout=PRESS_TIMEOUT_MS
            ):
                box.fill(text, timeout=PRESS_TIMEOUT_MS)
        self._is_filled = True

    def _prompt_user(self, action: PromptUser) -> None:
        self._prompt = UserPrompt(
            action.reason, message("user-prompts", action.reason, actual=action.actual)
        )
        self.show_notice(self._prompt.message)

    def _announce_prompt(self) -> None:
        if self._prompt is not None and self._prompt != self._announced_prompt:
            self._announced_prompt = self._prompt
            self._on_prompt(self._prompt)


def _console_error(action: UnexpectedPage, data_center: DataCenter) -> Exception:
    description = message(
        "unexpected-pages", action.code, actual=action.actual, data_center=data_center.name
    )
    return fail("console-surprise", description=description)


def _is_below(url: str, base: str) -> bool:
    return url == base or url.startswith(f"{base}/")


def _client_type_card(page: "Page") -> "Locator":
    """The smallest element that contains the card's name and one button for it."""
    name = page.get_by_text(_label_pattern(*CLIENT_TYPE_LABELS))
    containers = page.locator("*").filter(has=name).filter(has=_button_or_link(page, CREATE_NOW))
    return containers.last


def _button_or_link(container: "Page | Locator", name: str) -> "Locator":
    """The button or the link of that name."""
    pattern = _label_pattern(name)
    return container.get_by_role("button", name=pattern).or_(
        container.get_by_role("link", name=pattern)
    )


def _label_pattern(*labels: str) -> re.Pattern[str]:
    """A pattern for exactly one of these labels, in any case, with the star of a required field."""
    either = "|".join(re.escape(each) for each in labels)
    return re.compile(rf"^\s*(?:{either})\s*[*:]?\s*$", re.IGNORECASE)


def _take_console_snapshot(page: "Page") -> ConsoleSnapshot:
    data = page.evaluate(package_text("console_snapshot.js"), KNOWN_LABELS)
    if not is_page_url(page, data["url"]):
        return ConsoleSnapshot()
    return ConsoleSnapshot(
        url=data["url"],
        is_blank=data["is_blank"],
        labels=frozenset(data["labels"]),
        fields=tuple((kind, called) for kind, called in data["fields"]),
    )
