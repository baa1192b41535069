"""Visible windows of a Chromium of our own: one profile for each account, and nothing left behind.

Each account signs in in a fresh profile. So nobody ever has to sign out, no address of Zoho's for
that has to be believed, and no consent can meet the account before by accident.
"""

import json
import os
import sys
from collections.abc import Collection
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wizard.broker.lock import held
from wizard.browser import profiles
from wizard.browser.executable import find
from wizard.errors import fail
from wizard.home import Home
from wizard.settings import Settings, withheld

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
)
"""A browser of its own accord asks its maker about updates, translations and accounts: not here."""

PREFERENCES = {
    "credentials_enable_service": False,
    "profile": {"password_manager_enabled": False},
    "autofill": {"profile_enabled": False, "credit_card_enabled": False},
}
"""A password that is typed here is kept nowhere, and nobody is asked whether it should be."""

LOCK_SECONDS = 2.0
"""Whoever ran before may still be removing its profile."""
TELLTALES = ("DEBUG", "DEBUG_FILE", "PWDEBUG", "NODE_OPTIONS")
"""By these Playwright writes down, or shows to others, all that passes through it: what
a page sends is part of that, and with it a password."""
OVERHEARD = ("DEBUGP",)
"""By this one Playwright's own library prints the same here, and asks for it at every message."""
LONGEST_REASON = 300


def check_display(settings: Settings) -> None:
    """Check that a window can be opened.

    Raises ``assist-not-installed`` without the extra ``[assist]``, ``no-display`` without a screen.
    """
    if find_spec("playwright") is None:
        raise fail("assist-not-installed")
    x11 = sys.platform not in ("darwin", "win32")
    if x11 and not settings.display:
        raise fail("no-display")


class Windows:
    """The windows of one run, one for each account. Use it as a context manager.

    Entering raises ``no-display``, ``no-browser``, or ``browser-under-way`` where another run has
    its window open. With `keep` the profiles stay, and whoever is signed in there stays so;
    without, all of them are removed at the end, also those that an earlier run has kept.
    """

    def __init__(self, settings: Settings, *, keep: bool = False) -> None:
        self._settings = settings
        self._home: Home = settings.home
        self._keep = keep
        self._stack = ExitStack()
        self._playwright: Playwright | None = None
        self._executable = ""
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        check_display(self._settings)
        with ExitStack() as stack:
            stack.enter_context(
                held(self._home.browser_lock, LOCK_SECONDS, "browser-under-way", "")
            )
            stack.callback(self._forget)
            self._forget()
            stack.enter_context(withheld(OVERHEARD))
            with self._settings.inherited(without=TELLTALES):  # it is read at the import already
                from playwright.sync_api import sync_playwright

                self._playwright = stack.enter_context(sync_playwright())
            own = self._playwright.chromium.executable_path
            self._executable = str(find(self._settings.browser, own))
            stack.callback(self.close_but, ())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def of(self, account: str) -> "Page":
        """The page of the window in which `account` (an e-mail address) is, or signs in.

        Raises ``browser-failed``.
        """
        if account not in self._pages:
            context = self._launch(self._home.profile_dir(account))
            # In its first tab a browser waits for an address: what is typed blindly would land
            # there, and be searched for.
            self._pages[account] = context.new_page()
            context.pages[0].close()
        return self._pages[account]

    def close_but(self, accounts: Collection[str]) -> None:
        """Close the windows of all but these accounts."""
        for account in self._pages.keys() - set(accounts):
            with suppress(Exception):  # it may be gone already, and its driver with it
                self._pages.pop(account).context.close()

    def _launch(self, profile: str) -> "BrowserContext":
        from playwright.sync_api import Error

        assert self._playwright is not None, "a window is opened within the context"  # noqa: S101
        _make(self._home.browser_dir)
        _make(profile)
        _prefer(profile)
        try:
            return self._playwright.chromium.launch_persistent_context(
                profile,
                executable_path=self._executable,
                headless=False,
                chromium_sandbox=not _is_root(),  # Chromium refuses its own sandbox to root
                args=list(QUIET),
                env=dict(self._settings.child_environment),
                no_viewport=True,
                locale="en-US",  # the driver reads English labels
                accept_downloads=False,
            )
        except Error as error:
            raise fail("browser-failed", browser=self._executable, reason=_reason(error)) from None

    def _forget(self) -> None:
        """Remove every profile, unless they are to be kept."""
        if self._keep:
            profiles.keep(self._home)
        else:
            profiles.remove(self._home)


def _make(directory: str) -> None:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.chmod(directory, 0o700)


def _prefer(profile: str) -> None:
    """Write the preferences of a profile that has none yet."""
    directory = os.path.join(profile, "Default")
    _make(directory)
    with suppress(FileExistsError), open(os.path.join(directory, "Preferences"), "x") as file:
        json.dump(PREFERENCES, file)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _reason(error: Exception) -> str:
    """What a browser that did not start said last: the line that tells why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "ERROR" in line or "error while loading" in line]
    return (telling or lines or ["it said nothing"])[0][:LONGEST_REASON]
