"""Fixtures of browser tests: a real browser, a page for each test, and traces of failures.

`conftest.py` imports them so that they override pytest-playwright's fixtures of the same names.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from wizard.simulator.simulated_user import SimulatedUser, launch

PAGE_TIMEOUT_MS = 30_000
"""Timeout for pages, in milliseconds; long enough for busy cores."""

expect.set_options(timeout=PAGE_TIMEOUT_MS)

RESULTS_DIRECTORY = Path("test-results")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the session."""
    chosen = os.environ.get("ZOHO_WIZARD_BROWSER")
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, Path(chosen) if chosen else None)
        yield browser
        browser.close()


@pytest.fixture
def new_context(
    browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Callable[..., BrowserContext]]:
    """Create browser contexts, each a browser profile of its own that writes a trace on failure."""
    made: list[tuple[BrowserContext, AbstractContextManager[None]]] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**options)
        context.set_default_timeout(PAGE_TIMEOUT_MS)
        recording = record_trace(context, request, str(len(made)))
        recording.__enter__()
        made.append((context, recording))
        return context

    yield make
    for context, recording in made:
        recording.__exit__(None, None, None)
        context.close()


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    """A fresh browser profile."""
    return new_context()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab."""
    return context.new_page()


@pytest.fixture
def person(page: Page) -> SimulatedUser:
    """The simulated user of that tab."""
    return SimulatedUser(page)


@contextmanager
def record_trace(
    context: BrowserContext, request: pytest.FixtureRequest, suffix: str = ""
) -> Iterator[None]:
    """Record what a context does; if its test failed, write a trace and each page.

    They are in `test-results/<the test's name>/`. Everything typed in tests is test data. A
    snapshot at every action takes longer than the test: `pytest --tracing on` records them too.
    """
    context.tracing.start(snapshots=request.config.getoption("--tracing") != "off")
    try:
        yield
    finally:
        if _has_failed(request.node):
            folder = RESULTS_DIRECTORY / re.sub(r"\W+", "-", request.node.nodeid).strip("-")
            folder.mkdir(parents=True, exist_ok=True)
            for number, page in enumerate(context.pages):
                page.screenshot(path=folder / f"page-{suffix}{number}.png", full_page=True)
                (folder / f"page-{suffix}{number}.html").write_text(page.content(), "utf-8")
            context.tracing.stop(path=folder / f"trace-{suffix}.zip")
        else:
            context.tracing.stop()


def _has_failed(node: pytest.Item) -> bool:
    """Whether the test's call phase failed; pytest-playwright stores the reports on the item."""
    report = getattr(node, "rep_call", None)
    return report is None or bool(report.failed)


class CallbackServer:
    """A program at a redirect URI: a real listener that records callbacks."""

    def __init__(self) -> None:
        self.queries: list[dict[str, list[str]]] = []
        self.headers: list[dict[str, str]] = []
        callback = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == "/callback":
                    callback.queries.append(parse_qs(parts.query))
                    callback.headers.append(dict(self.headers))
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>The program</title><p>Thank you.</p>")

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()
        self.redirect_uri = f"http://localhost:{self._server.server_port}/callback"

    @property
    def latest_parameters(self) -> dict[str, str]:
        """The parameters of the latest callback."""
        return {name: values[0] for name, values in self.queries[-1].items()}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def callback() -> Iterator[CallbackServer]:
    """A program at `http://localhost:<port>/callback`."""
    listener = CallbackServer()
    yield listener
    listener.close()


def accessibility_violations(page: Page) -> list[str]:
    """Return axe-core's violations on a page in light and dark mode, one line each.

    The modes differ only in their colors, so that in dark mode only those are checked.
    """
    page.emulate_media(color_scheme="light")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    page.emulate_media(color_scheme="dark")
    colors = "axe.run({runOnly: ['color-contrast', 'link-in-text-block']})"
    found += page.evaluate(colors)["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']]}"
        for each in found
    ]
