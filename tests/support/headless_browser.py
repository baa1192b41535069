"""A window without a display, and its user."""

import json
import urllib.request
from pathlib import Path

from playwright.sync_api import BrowserType, Page

from support.shell import PROCESS_TIMEOUT_SECONDS
from support.tokens import wait_for
from wizard.paths import Paths
from wizard.simulator.simulated_user import SignInPage, SimulatedUser

REMOTE_DEBUGGING_OPTION = "--remote-debugging-port=0"
"""Lets the test connect to the window, to act as the user."""


def write_headless_script(executable: Path, script: Path, *options: str) -> Path:
    """Write a `script` that starts the browser `found` headless, ignoring other options."""
    script.write_text(f'#!/bin/sh\nexec "{executable}" --headless {" ".join(options)} "$@"\n')
    script.chmod(0o700)
    return script


def connect_to_sign_in_page(
    browser_type: BrowserType,
    paths: Paths,
    account: str,
    timeout_seconds: float = PROCESS_TIMEOUT_SECONDS,
) -> Page:
    """Connect to `account`'s window once it shows the sign-in page. The window was started with
    `REMOTE_DEBUGGING_OPTION`."""
    profile = Path(paths.profile_dir(account))
    page = connect_to_page(browser_type, profile, "/accounts/signin", timeout_seconds)
    SignInPage(SimulatedUser(page)).login_id.wait_for()
    return page


def connect_to_page(
    browser_type: BrowserType,
    profile: Path,
    url_part: str,
    timeout_seconds: float = PROCESS_TIMEOUT_SECONDS,
) -> Page:
    """Connect to the browser with `profile` once it shows a page whose URL contains `url_part`."""
    port = profile / "DevToolsActivePort"
    wait_for(lambda: port.exists() and bool(port.read_text().strip()), timeout_seconds)
    address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
    wait_for(lambda: any(url_part in url for url in _page_urls(address)))
    context = browser_type.connect_over_cdp(address).contexts[0]
    context.set_default_timeout(PROCESS_TIMEOUT_SECONDS * 1000)
    return next(each for each in context.pages if url_part in each.url)


def _page_urls(devtools_url: str) -> list[str]:
    """The URLs of the open pages."""
    with urllib.request.urlopen(f"{devtools_url}/json/list") as answer:
        return [each["url"] for each in json.load(answer)]
