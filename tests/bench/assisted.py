"""Many consents in the assisted browser, compared with the time that Zoho takes for them."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import BrowserType, sync_playwright
from support.assisted_windows import AssistedUser, without_waits_for_limits
from support.connections_file import file_of_three_accounts
from support.harness import ANNA, BOB, ERIC, Harness
from support.headless_browser import (
    REMOTE_DEBUGGING_OPTION,
    connect_to_sign_in_page,
    write_headless_script,
)
from support.shell import CLI_LAUNCHER

from bench.installation import Installation, issue_grants, store_connections
from bench.measurements import Measurement, ratio
from wizard.simulator.settings import Clock
from wizard.simulator.simulated_user import find_browser
from wizard.zoho import limits

CONSENTS = 50
FILE_CONNECTIONS = 40
WINDOW_TIMEOUT_SECONDS = 600.0
"""Seconds until the window of an account opens: the consents of the one before it come first."""
UPSTREAM_SECONDS = 0.3
"""Seconds that the simulated Zoho takes for every response."""


def measure(installation: Installation) -> Iterator[Measurement]:
    """`reauthorize --assist` as a whole process with one sign-in, against N responses × latency.

    Uses as many consents of a client as Zoho's limit allows at once.
    """
    with installation.harness("assisted") as harness, sync_playwright() as playwright:
        grants, clients = issue_grants(harness, CONSENTS, limits().codes_budget)
        store_connections(harness.services.store, grants, clients)
        _slow_down(harness)
        names = [grant.connection for grant in grants]
        command = [installation.wizard, "reauthorize", *names, "--assist", "--yes", "--json"]
        begun = time.perf_counter()
        _run(installation, harness, command, playwright.chromium, CONSENTS)
        yield _measurement(
            f"{CONSENTS} assisted re-authorizations over {len(clients)} clients, verified; "
            "one sign-in",
            harness,
            time.perf_counter() - begun,
        )


def measure_file(installation: Installation) -> Iterator[Measurement]:
    """`apply --assist` of a file as a whole process, against N responses × latency. Two of each
    client's ten connections wait for Zoho's limit; that wait is skipped."""
    clock_file = installation.directory / "clock"
    clock = Clock(offset_file=clock_file)
    with installation.harness("file", clock=clock) as harness, sync_playwright() as playwright:
        text, clients = file_of_three_accounts(harness, FILE_CONNECTIONS)
        file = installation.directory / "connections.toml"
        file.write_text(text, "utf-8")
        _slow_down(harness)
        secrets = [secret for each in clients.values() for secret in each["secrets"].values()]
        launcher = [installation.python, str(CLI_LAUNCHER), str(clock_file)]
        command = [*launcher, "apply", str(file), "--assist", "--yes", "--json"]
        emails = (ANNA, BOB, ERIC)
        begun = time.perf_counter()
        with without_waits_for_limits(harness):
            _run(
                installation,
                harness,
                command,
                playwright.chromium,
                FILE_CONNECTIONS,
                emails,
                secrets,
            )
        yield _measurement(
            f"{FILE_CONNECTIONS} connections from a file with {len(clients)} clients in 2 data "
            f"centers, verified and delivered; {len(emails)} sign-ins, {len(secrets) + 1} actions",
            harness,
            time.perf_counter() - begun,
        )


def _slow_down(harness: Harness) -> None:
    harness.controls.inject_fault("slow", seconds=UPSTREAM_SECONDS, times=1_000_000)
    harness.controls.clear_journal()


def _measurement(name: str, harness: Harness, elapsed: float) -> Measurement:
    answers = len([entry for entry in harness.controls.journal() if entry["location"]])
    ideal = answers * UPSTREAM_SECONDS
    return Measurement(
        name,
        f"{elapsed:.0f} s",
        f"{answers} pages and answers × {UPSTREAM_SECONDS} s = {ideal:.0f} s",
        ratio(elapsed, ideal),
        "≤ 1.3",
    )


def _run(
    installation: Installation,
    harness: Harness,
    command: Sequence[str],
    chromium: BrowserType,
    count: int,
    emails: Sequence[str] = (ANNA,),
    stdin_lines: Sequence[str] = (),
) -> None:
    """Run a command in the assisted browser, where each of `emails` signs in once."""
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
        command,
        env=installation.environment(harness.services.settings) | window,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write("".join(f"{line}\n" for line in stdin_lines))
        process.stdin.flush()
        for email in emails:
            page = connect_to_sign_in_page(
                chromium, harness.services.paths, email, WINDOW_TIMEOUT_SECONDS
            )
            AssistedUser(harness, page, email).sign_in()
        output, _ = process.communicate()
    finally:
        process.terminate()
        process.wait()
    results = json.loads(output)["connections"]
    assert [each["state"] for each in results] == ["reauthorized"] * count
