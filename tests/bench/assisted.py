"""Many consents in the assisted browser, beside the time that Zoho itself takes for them."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from attending import Attendant
from core import ANNA, Core
from playwright.sync_api import BrowserType, sync_playwright
from seating import OPEN, seat, without_a_screen

from bench.figures import Figure, ratio
from bench.place import Place, consented, fill
from wizard.sandbox.person import find_browser
from wizard.zoho import limits

CONSENTS = 50
UPSTREAM = 0.3
"""Seconds that the simulated Zoho takes for every page and every answer."""


def measure(place: Place) -> Iterator[Figure]:
    """`reauthorize --assist` as a whole process, with the one sign-in, against N answers × latency.

    So many consents of a client as Zoho's limit lets through at once.
    """
    with place.core("assisted") as core, sync_playwright() as playwright:
        grants, clients = consented(core, CONSENTS, limits().codes_budget)
        fill(core.house.store, grants, clients)
        core.admin.fault("slow", seconds=UPSTREAM, times=1_000_000)
        core.admin.clear_journal()
        names = [grant.connection for grant in grants]
        begun = time.perf_counter()
        _repair(place, core, names, playwright.chromium)
        elapsed = time.perf_counter() - begun
        answers = len([entry for entry in core.admin.journal() if entry["location"]])
    ideal = answers * UPSTREAM
    yield Figure(
        f"{CONSENTS} assisted re-authorizations over {len(clients)} clients, proved; one sign-in",
        f"{elapsed:.0f} s",
        f"{answers} pages and answers × {UPSTREAM} s = {ideal:.0f} s",
        ratio(elapsed, ideal),
        "≤ 1.3",
    )


def _repair(place: Place, core: Core, names: list[str], chromium: BrowserType) -> None:
    chosen = os.environ.get("ZOHO_WIZARD_BROWSER")
    found = find_browser(Path(chosen) if chosen else None, Path(chromium.executable_path))
    window = {
        "DISPLAY": ":none",
        "ZOHO_WIZARD_BROWSER": str(without_a_screen(found, place.directory / "browser", OPEN)),
    }
    process = subprocess.Popen(
        [place.wizard, "reauthorize", *names, "--assist", "--yes", "--json"],
        env=place.environment(core.house.settings) | window,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        page = seat(chromium, core.house.home, ANNA)
        Attendant(core, page).sign_in()
        told, _ = process.communicate()
    finally:
        process.terminate()
        process.wait()
    proofs = json.loads(told)
    assert [each["state"] for each in proofs] == ["repaired"] * len(names)
