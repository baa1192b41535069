"""A simulated user in a real browser, who finds things by role and label and counts actions.

It types passwords of the simulated Zoho, and only on this machine. At Zoho's real host names, it
types only in a browser that `launch` started with the proxy of one run of the simulator, and only
into pages whose certificate is of that run's authority.
"""

import base64
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from playwright.sync_api import (
    Browser,
    BrowserType,
    CDPSession,
    Locator,
    Page,
    expect,
    sync_playwright,
)

if TYPE_CHECKING:
    from wizard.simulator.server import RealHostNames

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


_PASTE = """(field, text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  const options = { clipboardData, bubbles: true, cancelable: true };
  return field.dispatchEvent(new ClipboardEvent("paste", options));
}"""
"""Whether the page leaves the paste to the browser."""


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

    Every action raises `NotLoopbackError` if the page's host isn't loopback, nor one of Zoho's that
    the simulator answers for. For the latter, the page's first user must come before it goes there.
    """

    def __init__(self, page: Page, counter: ActionCounter | None = None) -> None:
        self.page = page
        self.counter = counter or ActionCounter()
        self._is_signing_in = False
        browser = page.context.browser
        self._real_host_names = _STARTED_WITH.get(browser) if browser else None
        if self._real_host_names and page not in _NETWORKS:
            _NETWORKS[page] = page.context.new_cdp_session(page)
            _NETWORKS[page].send("Network.enable")  # from now on, it knows the certificates

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
        if not self._is_real_name(url):
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

    def attach(self, target: Locator, path: Path) -> None:
        """Choose a file."""
        self._begin_action("attach", target)
        target.set_input_files(path)

    def paste(self, target: Locator, text: str) -> None:
        """Paste text, which replaces what is in the field unless the page handles the paste."""
        self._begin_action("paste", target)
        if target.evaluate(_PASTE, text):
            target.fill(text)

    def _begin_action(self, action: str, target: Locator) -> None:
        target.wait_for(state="visible")
        if not self._is_simulated(self.page.url):
            _require_loopback(self.page.url)
        self.counter.record(f"{action} {target}", self._is_signing_in)

    def _is_real_name(self, url: str) -> bool:
        """Whether the URL has a name that the simulator of this browser answers for."""
        parts = urlsplit(url)
        names = self._real_host_names
        return names is not None and parts.scheme == "https" and parts.netloc in names.names

    def _is_simulated(self, url: str) -> bool:
        """Whether the page at such a URL has a certificate of the simulator's authority."""
        if not self._is_real_name(url) or self._real_host_names is None:
            return False
        origin = {"origin": f"https://{urlsplit(url).netloc}"}
        certificates = _NETWORKS[self.page].send("Network.getCertificate", origin)["tableNames"]
        issued = self._real_host_names.authority.has_issued
        return bool(certificates) and issued(base64.b64decode(certificates[0]))


def _require_loopback(url: str) -> None:
    if urlsplit(url).hostname not in LOOPBACK_HOSTS:
        raise NotLoopbackError(url)


def _text_of(target: Locator) -> str:
    is_field = target.evaluate("element => 'value' in element")
    return target.input_value() if is_field else target.inner_text()


INSTALLED_NAMES = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "microsoft-edge",
    "microsoft-edge-stable",
    "chrome",
    "msedge",
)
# Chromium without what only a window needs: it renders the same pages in half the time.
HEADLESS_SHELL = "chromium-headless-shell"
# Where installers put browsers that aren't in PATH.
INSTALLED_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/snap/bin/chromium",
)
# By default, a browser contacts its vendor about updates, translations and accounts.
BROWSER_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--disable-features=Translate,OptimizationHints,MediaRouter,AutofillServerCommunication",
)


class BrowserNotFoundError(Exception):
    """No Chromium-based browser was found; the message says how to get one."""

    def __init__(self, executable: Path | None = None) -> None:
        super().__init__(
            (f"There is no browser at {executable}. " if executable else "No browser was found. ")
            + "Install Chrome, Edge or Chromium (Debian, Ubuntu: `apt install chromium`), or let "
            "Playwright bring its own: `python -m playwright install chromium`."
        )


def find_browser(
    executable: Path | None, bundled_executable: Path, *, headless: bool = False
) -> Path:
    """Return the executable to start. Raises `BrowserNotFoundError`.

    The order: `executable`, the user's choice; without a window, an installed headless shell;
    Playwright's `bundled_executable`; an installed Chrome, Edge or Chromium.
    """
    if executable is not None:
        if not executable.is_file():
            raise BrowserNotFoundError(executable)
        return executable
    headless_shell = shutil.which(HEADLESS_SHELL) if headless else None
    installed = (shutil.which(name) for name in INSTALLED_NAMES)
    candidates = (headless_shell, bundled_executable, *installed, *INSTALLED_PATHS)
    return first_existing(Path(each) for each in candidates if each)


def first_existing(candidates: Iterable[Path]) -> Path:
    """Return the first candidate that exists. Raises `BrowserNotFoundError`."""
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise BrowserNotFoundError


_STARTED_WITH: WeakKeyDictionary[Browser, "RealHostNames"] = WeakKeyDictionary()
"""The simulator that each browser was started with, if it has real host names."""
_NETWORKS: WeakKeyDictionary[Page, CDPSession] = WeakKeyDictionary()
"""For the pages of such a browser: what knows the certificates of their hosts."""


def launch(
    browser_type: BrowserType,
    executable: Path | None = None,
    *,
    headless: bool = True,
    real_host_names: "RealHostNames | None" = None,
) -> Browser:
    """Start a browser that contacts nobody by itself. Raises `BrowserNotFoundError`.

    With `real_host_names`, Zoho's host names lead to that simulator. Chromium's own process
    isolation is on, except for root, for whom Chromium refuses it.
    """
    names = real_host_names
    browser = browser_type.launch(
        executable_path=find_browser(
            executable, Path(browser_type.executable_path), headless=headless
        ),
        headless=headless,
        chromium_sandbox=not is_root(),
        args=[*BROWSER_ARGUMENTS, *(names.browser_arguments if names else ())],
    )
    if names:
        _STARTED_WITH[browser] = names
    return browser


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def open_browser(executable: Path | None = None, *, headless: bool = True) -> Iterator[Browser]:
    """Start Playwright and a browser, and end both. Raises `BrowserNotFoundError`."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, executable, headless=headless)
        try:
            yield browser
        finally:
            browser.close()


class SignInPage:
    """The sign-in page with all its steps. Its actions count as `sign_in_actions`."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.login_id = self.page.get_by_label("Email address or mobile number")
        self.password = self.page.get_by_label("Enter password", exact=True)
        self.first_digit = self.page.get_by_label("Digit 1")
        self.next = self.page.locator("#nextbtn")
        self.trust_heading = self.page.get_by_role("heading", name="Trust this browser?")
        self.error = self.page.locator(".fielderror:visible")
        self.captcha = self.page.get_by_label("Characters in the picture")
        self.push_heading = self.page.get_by_role("heading", name="Verify on your device")

    def enter_login_id(self, login_id: str) -> None:
        with self.user.signing_in():
            self.user.fill(self.login_id, login_id)
            self.user.click(self._button("Next"))

    def enter_password(self, password: str) -> None:
        with self.user.signing_in():
            self.user.fill(self.password, password)
            self.user.click(self._button("Sign in"))

    def enter_code(self, code: str) -> None:
        with self.user.signing_in():
            self.user.type(self.first_digit, code)
            self.user.click(self._button("Verify"))

    def enter_captcha(self, letters: str) -> None:
        with self.user.signing_in():
            self.user.fill(self.captcha, letters)
            self.user.click(self._button("Next"))

    def open_recovery(self) -> None:
        """Follow "Forgot Password?" from the step that asks for the password."""
        with self.user.signing_in():
            self.user.click(self.page.get_by_role("link", name="Forgot Password?"))

    def trust(self, is_trusted: bool) -> None:
        with self.user.signing_in():
            self.user.click(self._button("Trust" if is_trusted else "Not now"))

    def sign_in(self, login_id: str, password: str) -> None:
        """Sign in with only a password, and wait until the sign-in page is gone.

        For an account in another data center, the browser is redirected there.
        """
        self.enter_login_id(login_id)
        self.enter_password(password)
        self.wait_until_done()

    def wait_until_done(self) -> None:
        self.page.wait_for_url(lambda url: not urlsplit(url).path.endswith("/signin"))

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)


class RecoveryPages:
    """The pages of "Forgot Password", and of choosing a password after an administrator's reset.

    Their actions count as `sign_in_actions`.
    """

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.captcha = self.page.get_by_label("Characters in the picture")
        self.code = self.page.get_by_label("Code from the email")
        self.new_password = self.page.get_by_label("New password", exact=True)
        self.end_sessions = self.page.get_by_label("End all other active sessions")
        self.remove_tokens = self.page.get_by_label("Remove API tokens and revoke connected apps")
        self.errors = self.page.locator(".fielderror:visible")

    def request_code(self, login_id: str, letters: str) -> None:
        self._fill(self.page.get_by_label("Email address or mobile number"), login_id)
        self._fill(self.captcha, letters)
        self._press("Send OTP")

    def enter_code(self, code: str) -> None:
        self._fill(self.code, code)
        self._press("Verify")

    def choose_password(self, new_password: str, repeated_password: str | None = None) -> None:
        self._fill(self.new_password, new_password)
        self._fill(self.page.get_by_label("Repeat new password"), repeated_password or new_password)
        self._press("Change Password")

    def submit_session_choices(self) -> None:
        """Submit the question after a change without changing the boxes."""
        self._press("Continue")

    def _fill(self, target: Locator, text: str) -> None:
        with self.user.signing_in():
            self.user.fill(target, text)

    def _press(self, name: str) -> None:
        with self.user.signing_in():
            self.user.click(self.page.get_by_role("button", name=name, exact=True))


class AnnouncementPage:
    """A page that can follow a sign-in."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.heading = self.page.get_by_role("heading", level=1)

    def skip(self) -> None:
        self._press("Skip for now")

    def remind_later(self) -> None:
        self._press("Remind me later")

    def press_continue(self) -> None:
        self._press("Continue")

    def _press(self, name: str) -> None:
        self.user.click(self.page.get_by_role("button", name=name, exact=True))


class ConsentPage:
    """The page that asks for consent, also for scopes that are added to a refresh token."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.accept_button = self.page.get_by_role("button", name="Accept", exact=True)
        self.reject_button = self.page.get_by_role("button", name="Reject", exact=True)
        self.back_to_app_button = self.page.get_by_role("button", name="Back to app")
        self.submit_button = self.page.get_by_role("button", name="Submit", exact=True)

    def choose_organization(self, name: str, environment: str = "Production") -> None:
        self.user.choose(self.page.get_by_role("radio", name=f"{name} {environment}"))
        self.user.click(self.submit_button)

    def accept(self) -> None:
        self._decide(self.accept_button)

    def reject(self) -> None:
        self._decide(self.reject_button)

    def back_to_app(self) -> None:
        self._decide(self.back_to_app_button)

    def sign_out(self) -> None:
        """Sign out; Zoho then asks another user to sign in."""
        self.user.click(self.page.get_by_role("link", name="Sign out"))

    def _decide(self, button: Locator) -> None:
        self.user.click(button)
        self.page.wait_for_url(lambda url: "/oauth/v2/" not in urlsplit(url).path)


class ConsolePage:
    """The API console of one data center."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.client_id = self.page.get_by_label("Client ID", exact=True)
        self.client_secret = self.page.get_by_label("Client Secret", exact=True)
        self.client_name = self.page.get_by_label("Client Name")
        self.homepage_url = self.page.get_by_label("Homepage URL")
        self.redirect_uris = self.page.get_by_label("Authorized Redirect URIs")
        self.generated_code = self.page.get_by_label("Generated code", exact=True)
        self.errors = self.page.locator(".fielderror:visible")

    def open_new_client_form(self, kind: str = "Server-based Applications") -> None:
        """Go from the console's first page to the form for a new client."""
        started = self.page.get_by_role("link", name="ADD CLIENT", exact=True)
        first = self.page.get_by_role("link", name="GET STARTED", exact=True)
        self.user.click(first.or_(started))
        self.choose_client_type(kind)

    def choose_client_type(self, kind: str = "Server-based Applications") -> None:
        card = self.page.get_by_role("article").filter(
            has=self.page.get_by_role("heading", name=kind)
        )
        self.user.click(card.get_by_role("link", name="CREATE NOW"))

    def create(self) -> None:
        self.user.click(self._button("CREATE"))

    def update(self) -> None:
        self.user.click(self._button("UPDATE"))

    def copy_id_and_secret(self) -> str:
        """Select the two adjacent lines and copy them at once."""
        return self.user.copy(self.client_id, self.client_secret)

    def open_tab(self, name: str) -> None:
        self.user.click(self.page.get_by_role("link", name=name, exact=True))

    def data_center_switch(self, location: str) -> Locator:
        return self.page.get_by_role("switch", name=location.upper(), exact=True)

    def toggle_data_center(self, location: str) -> None:
        switch = self.data_center_switch(location)
        before = switch.get_attribute("aria-checked")
        self.user.click(switch)
        expect(switch).to_have_attribute("aria-checked", "false" if before == "true" else "true")

    def secret_at(self, location: str) -> Locator:
        return self.page.get_by_label(f"Client Secret {location.upper()}", exact=True)

    def share_credentials(self) -> None:
        """Use the same OAuth credentials in all data centers."""
        box = "Use the same OAuth credentials for all data centers"
        self.user.choose(self.page.get_by_label(box))
        self.user.click(self._button("OK"))

    def generate_code(self, scope: str, minutes: int, description: str) -> None:
        self.user.fill(self.page.get_by_label("Scope", exact=True), scope)
        self.user.choose(self.page.get_by_label("Time Duration"), f"{minutes} minutes")
        self.user.fill(self.page.get_by_label("Scope Description"), description)
        self.create()

    def choose_portal(self, name: str, environment: str = "Production") -> None:
        self.user.choose(self.page.get_by_role("radio", name=f"{name} {environment}"))
        self.create()

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)


class SecurityPage:
    """The page that changes the password."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.end_sessions = self.page.get_by_label("End all other active sessions")
        self.remove_tokens = self.page.get_by_label("Remove API tokens and revoke connected apps")
        self.errors = self.page.locator(".fielderror:visible")

    def change_password(
        self, current_password: str, new_password: str, repeated_password: str | None = None
    ) -> None:
        """Fill the three fields and submit them; the question about sessions follows."""
        with self.user.signing_in():
            self.user.fill(self.page.get_by_label("Current password"), current_password)
            self.user.fill(self.page.get_by_label("New password", exact=True), new_password)
            self.user.fill(
                self.page.get_by_label("Repeat new password"), repeated_password or new_password
            )
            self.user.click(self.page.get_by_role("button", name="Change Password"))

    def submit_session_choices(self) -> None:
        """Submit the question after a change without changing the boxes."""
        self.user.click(self.page.get_by_role("button", name="Continue"))
        self.page.get_by_role("status").wait_for()


class ConnectedAppsPage:
    """The clients that have refresh tokens of this account."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page

    def entry(self, client_name: str) -> Locator:
        return self.page.get_by_role("listitem").filter(has_text=client_name)

    def revoke(self, client_name: str) -> None:
        self.user.click(self.entry(client_name).get_by_role("button", name="Revoke"))
        expect(self.entry(client_name)).to_have_count(0)
