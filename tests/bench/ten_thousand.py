"""The page of ten thousand connections, and the memory of the process that serves it."""

import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

from bench.figures import Figure, ms, ratio
from bench.place import Place, fill, made_up
from bench.served import Served
from wizard.house import House
from wizard.settings import Settings

FEW, MANY = 10, 10_000
VISITS = 40
PEAK = str(Path(__file__).with_name("peak.py"))
NO_ZOHO = "http://127.0.0.1:8730"
"""Where a simulated Zoho would be; nobody asks it."""


class Home:
    """A home with that many connections, served, with somebody who has signed in."""

    def __init__(self, place: Place, count: int) -> None:
        settings = place.settings(f"home-{count}", NO_ZOHO)
        _stored(settings, count)
        self.url = settings.base_url
        self.served = Served(
            [sys.executable, PEAK, place.wizard, "serve"], place.environment(settings)
        )
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.visit(self.served.says(r"http://localhost:\d+/launch/\S+"))

    def visit(self, url: str) -> float:
        """Seconds to the whole of a page."""
        begun = time.perf_counter()
        with self._browser.open(url) as answer:
            page = answer.read()
        assert b"Connections" in page
        return time.perf_counter() - begun


def measure(place: Place) -> Iterator[Figure]:
    """Ten thousand against ten."""
    homes = [Home(place, count) for count in (MANY, FEW)]
    visits = [[home.visit(home.url) for home in homes] for _ in range(VISITS)]
    many, few = (statistics.median(each) for each in zip(*visits, strict=True))
    big, small = (int(home.served.end()) / 1024 for home in homes)
    against = f"{FEW} connections"
    yield Figure(
        f"the page of {MANY:,} connections",
        ms(many),
        f"{against}, {ms(few)}",
        ratio(many, few),
        "≤ 1.5",
    )
    yield Figure(
        f"peak memory of `serve` with {MANY:,} connections",
        f"{big:.0f} MiB",
        f"{against}, {small:.0f} MiB",
        ratio(big, small),
        "≤ 1.5",
    )


def _stored(settings: Settings, count: int) -> None:
    with House.open(settings) as house:
        fill(house.store, *made_up(count))
