"""Many consents in the assisted browser, compared with the time that Zoho takes for them."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import BrowserType, sync_playwright
from support.assisted_windows import AssistedUser
from support.harness import ANNA, Harness
from support.headless_browser import (
    REMOTE_DEBUGGING_OPTION,
    connect_to_sign_in_page,
    write_headless_script,
)

from bench.installation import Installation, issue_grants, store_connections
from bench.measurements import Measurement, ratio
from wizard.simulator.simulated_user import find_browser
from wizard.zoho import limits

CONSENTS = 50
UPSTREAM_SECONDS = 0.3
"""Seconds that the simulated Zoho takes for every response."""


def measure(installation: Installation) -> Iterator[Measurement]:
    """`reauthorize --assist` as a whole process with one sign-in, against N responses × latency.

    Uses as many consents of a client as Zoho's limit allows at once.
    """
    with installation.harness("assisted") as harness, sync_playwright() as playwright:
        grants, clients = issue_grants(harness, CONSENTS, limits().codes_budget)
        store_connections(harness.services.store, grants, clients)
        harness.controls.inject_fault("slow", seconds=UPSTREAM_SECONDS, times=1_000_000)
        harness.controls.clear_journal()
        names = [grant.connection for grant in grants]
        begun = time.perf_counter()
        _reauthorize(installation, harness, names, playwright.chromium)
        elapsed = time.perf_counter() - begun
        answers = len([entry for entry in harness.controls.journal() if entry["location"]])
    ideal = answers * UPSTREAM_SECONDS
    yield Measurement(
        f"{CONSENTS} assisted re-authorizations over {len(clients)} clients, proved; one sign-in",
        f"{elapsed:.0f} s",
        f"{answers} pages and answers × {UPSTREAM_SECONDS} s = {ideal:.0f} s",
        ratio(elapsed, ideal),
        "≤ 1.3",
    )


def _reauthorize(
    installation: Installation, harness: Harness, names: list[str], chromium: BrowserType
) -> None:
    chosen = os.environ.get("ZOHO_WIZARD_BROWSER")
    found = find_browser(Path(chosen) if chosen else None, Path(chromium.executable_path))
    window = {
        "DISPLAY": ":none",
        "ZOHO_WIZARD_BROWSER": str(
            write_headless_script(
                found, installation.directory / "browser", REMOTE_DEBUGGING_OPTION
            )
        ),
    }
    process = subprocess.Popen(
        [installation.wizard, "reauthorize", *names, "--assist", "--yes", "--json"],
        env=installation.environment(harness.services.settings) | window,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        page = connect_to_sign_in_page(chromium, harness.services.paths, ANNA)
        AssistedUser(harness, page).sign_in()
        output, _ = process.communicate()
    finally:
        process.terminate()
        process.wait()
    results = json.loads(output)["connections"]
    assert [each["state"] for each in results] == ["reauthorized"] * len(names)
