"""The page of ten thousand connections, and the memory of the process that serves it."""

import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

from bench.installation import Installation, make_grants, store_connections
from bench.measurements import Measurement, format_ms, ratio
from bench.server_process import ServerProcess
from wizard.services import Services
from wizard.settings import Settings
from wizard.web.connections import MAX_ROWS

FEW, MANY = MAX_ROWS, 10_000
"""As many connections as the page shows at once, and far more: its rows cost the same in both."""

VISITS = 40
PEAK_MEMORY = str(Path(__file__).with_name("peak_memory.py"))
UNUSED_SIMULATOR_URL = "http://127.0.0.1:8730"
"""The address of a simulated Zoho that is never used."""


class BenchServer:
    """A served data directory with many connections, and a signed-in user."""

    def __init__(
        self, installation: Installation, name: str, count: int, database_url: str = ""
    ) -> None:
        settings = installation.settings(name, UNUSED_SIMULATOR_URL, database_url)
        _store_connections(settings, count)
        self.environment = installation.environment(settings)
        self.url = settings.base_url
        self.process = ServerProcess(
            [sys.executable, PEAK_MEMORY, installation.wizard, "serve"],
            self.environment,
        )
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.visit(self.process.wait_for_output(r"http://localhost:\d+/browser-link/\S+"))

    def visit(self, url: str) -> float:
        """Seconds until the whole page has loaded."""
        begun = time.perf_counter()
        with self._browser.open(url) as answer:
            page = answer.read()
        assert b"Connections" in page
        return time.perf_counter() - begun


def measure(installation: Installation) -> Iterator[Measurement]:
    """Ten thousand connections against as many as the page shows."""
    homes = [BenchServer(installation, f"home-{count}", count) for count in (MANY, FEW)]
    visits = [[home.visit(home.url) for home in homes] for _ in range(VISITS)]
    many, few = (statistics.median(each) for each in zip(*visits, strict=True))
    big, small = (int(home.process.end()) / 1024 for home in homes)
    against = f"{FEW} connections"
    yield Measurement(
        f"the page of {MANY:,} connections",
        format_ms(many),
        f"{against}, {format_ms(few)}",
        ratio(many, few),
        "≤ 1.5",
    )
    yield Measurement(
        f"peak memory of `serve` with {MANY:,} connections",
        f"{big:.0f} MiB",
        f"{against}, {small:.0f} MiB",
        ratio(big, small),
        "≤ 1.5",
    )


def _store_connections(settings: Settings, count: int) -> None:
    with Services.open(settings) as services:
        store_connections(services.store, *make_grants(count))
