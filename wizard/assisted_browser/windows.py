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

from wizard import files
from wizard.assisted_browser import profiles
from wizard.assisted_browser.executable import find_executable
from wizard.errors import fail
from wizard.locks import hold_lock
from wizard.paths import Paths
from wizard.settings import Settings, without_variables

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

BROWSER_ARGUMENTS = (
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

LOCK_TIMEOUT_SECONDS = 2.0
"""Whoever ran before may still be removing its profile."""
LEAKING_VARIABLES = ("DEBUG", "DEBUG_FILE", "PWDEBUG", "NODE_OPTIONS")
"""By these Playwright writes down, or shows to others, all that passes through it: what
a page sends is part of that, and with it a password."""
DEBUG_OUTPUT_VARIABLES = ("DEBUGP",)
"""By this one Playwright's own library prints the same here, and asks for it at every message."""
MAX_REASON_CHARACTERS = 300


def check_display(settings: Settings) -> None:
    """Check that a window can be opened.

    Raises ``assist-not-installed`` without the extra ``[assist]``, ``no-display`` without a screen.
    """
    if find_spec("playwright") is None:
        raise fail("assist-not-installed")
    x11 = sys.platform not in ("darwin", "win32")
    if x11 and not settings.has_display:
        raise fail("no-display")


class Windows:
    """The windows of one run, one for each account. Use it as a context manager.

    Entering raises ``no-display``, ``no-browser``, or ``browser-under-way`` where another run has
    its window open. With `keep` the profiles stay, and whoever is signed in there stays so;
    without, all of them are removed at the end, also those that an earlier run has kept.
    """

    def __init__(self, settings: Settings, *, keep_profiles: bool = False) -> None:
        self._settings = settings
        self._paths: Paths = settings.paths
        self._keep_profiles = keep_profiles
        self._stack = ExitStack()
        self._playwright: Playwright | None = None
        self._executable = ""
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        check_display(self._settings)
        with ExitStack() as stack:
            stack.enter_context(
                hold_lock(self._paths.browser_lock, LOCK_TIMEOUT_SECONDS, "browser-under-way", "")
            )
            stack.callback(self._remove_profiles)
            self._remove_profiles()
            stack.enter_context(without_variables(DEBUG_OUTPUT_VARIABLES))
            with self._settings.restricted_environment(
                excluded=LEAKING_VARIABLES
            ):  # it is read at the import already
                from playwright.sync_api import sync_playwright

                self._playwright = stack.enter_context(sync_playwright())
            bundled_path = self._playwright.chromium.executable_path
            self._executable = str(find_executable(self._settings.browser_path, bundled_path))
            stack.callback(self.close_except, ())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def page_for(self, account: str) -> "Page":
        """The page of the window in which `account` (an e-mail address) is, or signs in.

        Raises ``browser-failed``.
        """
        if account not in self._pages:
            context = self._launch(self._paths.profile_dir(account))
            # In its first tab a browser waits for an address: what is typed blindly would land
            # there, and be searched for.
            self._pages[account] = context.new_page()
            context.pages[0].close()
        return self._pages[account]

    def close_except(self, accounts: Collection[str]) -> None:
        """Close the windows of all but these accounts."""
        for account in self._pages.keys() - set(accounts):
            with suppress(Exception):  # it may be gone already, and its driver with it
                self._pages.pop(account).context.close()

    def _launch(self, profile: str) -> "BrowserContext":
        from playwright.sync_api import Error

        assert self._playwright is not None, "a window is opened within the context"  # noqa: S101
        files.make_directory(self._paths.browser_dir)
        files.make_directory(profile)
        _write_preferences(profile)
        try:
            return self._playwright.chromium.launch_persistent_context(
                profile,
                executable_path=self._executable,
                headless=False,
                chromium_sandbox=not _is_root(),  # Chromium refuses its own sandbox to root
                args=list(BROWSER_ARGUMENTS),
                env=dict(self._settings.child_environment),
                no_viewport=True,
                locale="en-US",  # the driver reads English labels
                accept_downloads=False,
            )
        except Error as error:
            raise fail(
                "browser-failed", browser=self._executable, reason=_failure_reason(error)
            ) from None

    def _remove_profiles(self) -> None:
        """Remove every profile, unless they are to be kept."""
        if self._keep_profiles:
            profiles.keep(self._paths)
        else:
            profiles.remove(self._paths)


def _write_preferences(profile: str) -> None:
    """Write the preferences of a profile that has none yet."""
    directory = os.path.join(profile, "Default")
    files.make_directory(directory)
    with suppress(FileExistsError):
        files.create(os.path.join(directory, "Preferences"), json.dumps(PREFERENCES).encode())


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _failure_reason(error: Exception) -> str:
    """What a browser that did not start said last: the line that tells why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "ERROR" in line or "error while loading" in line]
    return (telling or lines or ["it said nothing"])[0][:MAX_REASON_CHARACTERS]
