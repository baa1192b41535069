"""A window that needs no screen, and a seat before it."""

import json
import urllib.request
from pathlib import Path

from asking import wait_for
from playwright.sync_api import BrowserType, Page
from shell import PATIENCE

from wizard.home import Home
from wizard.sandbox.person import Person, SignIn

OPEN = "--remote-debugging-port=0"
"""Lets somebody else than the wizard at the window; it is for whoever plays the person."""


def without_a_screen(found: Path, script: Path, *options: str) -> Path:
    """Write a `script` that starts the browser `found` headless, whatever it is asked for."""
    script.write_text(f'#!/bin/sh\nexec "{found}" --headless {" ".join(options)} "$@"\n')
    script.chmod(0o700)
    return script


def seat(kind: BrowserType, home: Home, account: str) -> Page:
    """Sit down before the window of `account`, which was given the option `OPEN`, once it asks to
    sign in."""
    port = Path(home.profile_dir(account)) / "DevToolsActivePort"
    wait_for(lambda: port.exists() and bool(port.read_text().strip()))
    address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
    wait_for(lambda: any(_asks_to_sign_in(url) for url in _tabs(address)))
    context = kind.connect_over_cdp(address).contexts[0]
    context.set_default_timeout(PATIENCE * 1000)
    page = next(each for each in context.pages if _asks_to_sign_in(each.url))
    SignIn(Person(page)).login_id.wait_for()
    return page


def _tabs(address: str) -> list[str]:
    """The addresses of the pages that are open."""
    with urllib.request.urlopen(f"{address}/json/list") as answer:
        return [each["url"] for each in json.load(answer)]


def _asks_to_sign_in(url: str) -> bool:
    return "/accounts/signin" in url
