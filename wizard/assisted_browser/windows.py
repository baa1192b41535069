"""Visible windows of Chromium: one profile per account, removed at the end.

Each account signs in in a fresh profile, so nobody has to sign out, and no consent can happen in a
different account by accident.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wizard import files
from wizard.errors import WizardError, fail
from wizard.locks import hold_lock
from wizard.model import SimulatorProxy
from wizard.paths import Paths, is_root
from wizard.settings import Settings, without_variables

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright


EXECUTABLE_NAMES = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "microsoft-edge",
    "microsoft-edge-stable",
    "chrome",
    "msedge",
)
"""Executable names of distributions and vendors on the search path."""
EXECUTABLE_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/snap/bin/chromium",
)
"""Paths of installers that don't extend the search path."""


def find_executable(configured_path: str | None, bundled_path: str) -> Path:
    """The executable to start: the user's choice (ZOHO_WIZARD_BROWSER) without a fallback, else
    Playwright's at `bundled_path`, else an installed Chrome, Edge or Chromium.

    Raises ``no-browser``.
    """
    if configured_path is not None:
        if not Path(configured_path).is_file():
            raise fail("no-browser", description=f"There is no program at {configured_path}.")
        return Path(configured_path)
    installed = (shutil.which(name) for name in EXECUTABLE_NAMES)
    return _first_existing([bundled_path, *(each for each in installed if each), *EXECUTABLE_PATHS])


def _first_existing(candidates: Iterable[str]) -> Path:
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise fail("no-browser", description="Neither Chrome, Edge nor Chromium was found.")


REMOVAL_TIMEOUT_SECONDS = 5.0
"""A closing browser writes into its profile for a moment longer."""


def keep_profiles(paths: Paths) -> None:
    """Keep the profiles until a run that doesn't keep them."""
    with suppress(FileExistsError):
        files.create(paths.keep_profiles_marker)


def remove_profiles(paths: Paths) -> None:
    """Remove every profile. The caller holds the lock of the windows."""
    Path(paths.keep_profiles_marker).unlink(missing_ok=True)
    end = time.monotonic() + REMOVAL_TIMEOUT_SECONDS
    while os.path.lexists(paths.browser_dir):
        shutil.rmtree(paths.browser_dir, ignore_errors=True)
        if time.monotonic() > end:
            break
        time.sleep(0.05)


def remove_leftovers(paths: Paths) -> None:
    """Remove profiles left by a run that was killed, since a user is signed in there. Kept
    profiles, and those in use, stay."""
    if not os.path.lexists(paths.browser_dir):
        return
    with suppress(WizardError), hold_lock(paths.browser_lock, 0, "browser-under-way", ""):
        if not os.path.lexists(paths.keep_profiles_marker):
            remove_profiles(paths)


POLL_INTERVAL_MS = 50
"""Milliseconds between two snapshots; too short to notice."""
LOST_TIMEOUT_SECONDS = 5.0
"""Seconds without a response of the page, after which its browser counts as lost."""


class Tab:
    """A page that may navigate, or be gone, at any moment."""

    def __init__(self, page: "Page", should_stop: Callable[[], bool] = lambda: False) -> None:
        """`should_stop` says whether to end."""
        self.page = page
        self._should_stop = should_stop
        self._has_crashed = False
        self._last_alive_at = time.monotonic()
        page.on("crash", self._mark_crashed)

    def open(self, url: str) -> None:
        """Go to `url`; a snapshot shows whether it could be reached."""
        from playwright.sync_api import Error

        self.mark_alive()
        with suppress(Error):
            self.page.goto(url, wait_until="commit")

    def show_notice(self, message: str | None) -> None:
        """Show a message in the window, replacing the previous one; None: hide it."""
        from playwright.sync_api import Error

        with suppress(Error):  # the page is navigating
            self.page.evaluate(package_text("notice.js"), message)

    def poll(self) -> None:
        """Keep the page responsive while idle. Raises ``window-closed``."""
        with self.tolerating_navigation():
            self.page.wait_for_timeout(POLL_INTERVAL_MS)

    @contextmanager
    def tolerating_navigation(self) -> Iterator[None]:
        """Ignore errors of the page while it navigates. Raises ``window-closed`` if it is gone, or
        `should_stop` is true.

        The block calls `mark_alive` when the page has responded.
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
        """Record that the page responds."""
        self._last_alive_at = time.monotonic()

    def _mark_crashed(self, _page: "Page") -> None:
        self._has_crashed = True


@cache
def package_text(name: str) -> str:
    """The text of a file in this package: a script or a table."""
    return resources.files("wizard.assisted_browser").joinpath(name).read_text("utf-8")


BROWSER_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
)
"""Chromium contacts its vendor about updates, translations and accounts unless told not to."""

PREFERENCES = {
    "credentials_enable_service": False,
    "profile": {"password_manager_enabled": False},
    "autofill": {"profile_enabled": False, "credit_card_enabled": False},
}
"""A typed password is neither stored nor offered to be."""

LOCK_TIMEOUT_SECONDS = 2.0
"""The previous run may still be removing its profile."""
LEAKING_VARIABLES = ("DEBUG", "DEBUG_FILE", "PWDEBUG", "NODE_OPTIONS")
"""With these, Playwright logs or exposes all its traffic, including passwords that a page sends."""
DEBUG_OUTPUT_VARIABLES = ("DEBUGP",)
"""With this, Playwright's Python library logs the same, and reads it for every message."""
MAX_REASON_CHARACTERS = 300
SERVER_KEY_HASH = "Server key (SHA-256): "
"""In the file of a simulator's authority: what Chromium is to trust."""


def check_display(settings: Settings) -> None:
    """Check that a window can be opened.

    Raises ``assist-not-installed`` without the extra ``[assist]``, ``no-display`` without a
    display.
    """
    if find_spec("playwright") is None:
        raise fail("assist-not-installed")
    x11 = sys.platform not in ("darwin", "win32")
    if x11 and not settings.has_display:
        raise fail("no-display")


class Windows:
    """The windows of one run, one per account, as a context manager.

    Entering raises ``no-display``, ``no-browser``, or ``browser-under-way`` if another run has a
    window open. With `keep_profiles`, the profiles and their sign-ins stay; otherwise all of them
    are removed at the end, including those kept by an earlier run.
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
            with self._settings.restricted_environment(excluded=LEAKING_VARIABLES):
                from playwright.sync_api import sync_playwright  # reads the environment

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
        """The page of the window in which `account` (an email address) is signed in, or signs in.

        Raises ``browser-failed``.
        """
        if account not in self._pages:
            context = self._launch(self._paths.profile_dir(account))
            # The first tab has its focus in the address bar, where typed text would be searched.
            self._pages[account] = context.new_page()
            context.pages[0].close()
        return self._pages[account]

    def close_except(self, accounts: Collection[str]) -> None:
        """Close the windows of all other accounts."""
        for account in self._pages.keys() - set(accounts):
            with suppress(Exception):  # it may be gone already
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
                chromium_sandbox=not is_root(),  # Chromium refuses its own sandbox to root
                args=[*BROWSER_ARGUMENTS, *simulator_arguments(self._settings.simulator_proxy)],
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
            keep_profiles(self._paths)
        else:
            remove_profiles(self._paths)


def _write_preferences(profile: str) -> None:
    """Write the preferences of a profile that has none yet."""
    directory = os.path.join(profile, "Default")
    files.make_directory(directory)
    with suppress(FileExistsError):
        files.create(os.path.join(directory, "Preferences"), json.dumps(PREFERENCES).encode())


def simulator_arguments(proxy: SimulatorProxy | None) -> tuple[str, ...]:
    """The options with which Chromium uses a simulator's proxy, and trusts its certificate only.

    The hash of the certificate's key is in the authority's file.
    """
    if proxy is None:
        return ()
    text = Path(proxy.authority_file).read_text("utf-8")
    key_hash = text.partition(SERVER_KEY_HASH)[2].partition("\n")[0]
    return (
        f"--proxy-server={proxy.url}",
        f"--ignore-certificate-errors-spki-list={key_hash}",
    )


def _failure_reason(error: Exception) -> str:
    """The line of Playwright's error that says why the browser didn't start."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "ERROR" in line or "error while loading" in line]
    return (telling or lines or [""])[0][:MAX_REASON_CHARACTERS]
