"""A cached access token, as a whole process."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.installation import Installation
from bench.measurements import Measurement, format_ms, median_costs, process_run, ratio


def measure(installation: Installation) -> Iterator[Measurement]:
    """`token NAME` against a bare Python and other programs that print tokens."""
    with installation.harness("cached") as harness:
        harness.add_verified_connection()
        environment = installation.environment(harness.services.settings)
        commands = {
            "bare": [installation.python, "-c", "pass"],
            "token": [installation.wizard, "token", "crm"],
            "token --json": [installation.wizard, "token", "crm", "--json"],
            "token --min-ttl": [installation.wizard, "token", "crm", "--min-ttl", "10m"],
            "run": [installation.wizard, "run", "crm", "--", "true"],
        }
        others = {"gh auth token": _gh(installation), "pass show": _pass(installation)}
        installed = {name: command for name, command in others.items() if command}
        homes = {
            "GH_CONFIG_DIR": str(installation.directory / "gh"),
            "PASSWORD_STORE_DIR": str(installation.directory / "store"),
            "GNUPGHOME": str(installation.directory / "gnupg"),
        }
        costs = median_costs(
            {
                name: process_run(command, environment | homes)
                for name, command in (commands | installed).items()
            }
        )
    seen = {name: cost.elapsed for name, cost in costs.items()}
    token = seen["token"]
    what = "cached `token NAME`, a whole process"
    against = f"`python -c pass` {format_ms(seen['bare'])}"
    for name in ("token", "token --json", "token --min-ttl", "run"):
        yield Measurement(
            f"cached `{name}`, a whole process",
            format_ms(seen[name]),
            against,
            ratio(seen[name], seen["bare"]),
            "≤ 2.5",
        )
    for name in others:
        if name in seen:
            yield Measurement(
                what,
                format_ms(token),
                f"`{name}` {format_ms(seen[name])}",
                ratio(token, seen[name]),
                "< 1",
            )
        else:
            yield Measurement(what, format_ms(token), f"`{name}`: not installed", "–", "< 1")


def _gh(installation: Installation) -> list[str]:
    """GitHub's client with a token in its own file, or None."""
    if not shutil.which("gh"):
        return []
    config = installation.directory / "gh"
    config.mkdir()
    (config / "hosts.yml").write_text("github.com:\n    oauth_token: made-up\n    user: anna\n")
    return ["gh", "auth", "token"]


def _pass(installation: Installation) -> list[str]:
    """The standard Unix password manager with one entry, or None."""
    if not (shutil.which("pass") and shutil.which("gpg")):
        return []
    keys, entry = installation.directory / "gnupg", installation.directory / "store" / "crm.gpg"
    keys.mkdir(mode=0o700)
    entry.parent.mkdir()
    (entry.parent / ".gpg-id").write_text("bench@zylker.example\n")
    gpg = ["gpg", "--homedir", str(keys), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "bench@zylker.example"], check=True)
    _encrypt(gpg, entry)
    return ["pass", "show", "crm"]


def _encrypt(gpg: list[str], entry: Path) -> None:
    to = ["--recipient", "bench@zylker.example", "--output", str(entry), "--encrypt"]
    subprocess.run([*gpg, *to], input=b"1000.made.up\n", check=True)
