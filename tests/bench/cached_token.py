"""A cached access token, as a whole process."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, ms, processes, ratio
from bench.place import Place


def measure(place: Place) -> Iterator[Figure]:
    """`token NAME` against a bare Python, and against what else prints tokens."""
    with place.core("cached") as core:
        core.proved()
        environment = place.environment(core.house.settings)
        commands = {"bare": [place.python, "-c", "pass"], "token": [place.wizard, "token", "crm"]}
        others = {"gh auth token": _gh(place), "pass show": _pass(place)}
        installed = {name: command for name, command in others.items() if command}
        homes = {
            "GH_CONFIG_DIR": str(place.directory / "gh"),
            "PASSWORD_STORE_DIR": str(place.directory / "store"),
            "GNUPGHOME": str(place.directory / "gnupg"),
        }
        seen = processes(commands | installed, environment | homes)
    token = seen["token"]
    what = "cached `token NAME`, a whole process"
    against = f"`python -c pass` {ms(seen['bare'])}"
    yield Figure(what, ms(token), against, ratio(token, seen["bare"]), "≤ 2.5")
    for name in others:
        if name in seen:
            yield Figure(
                what, ms(token), f"`{name}` {ms(seen[name])}", ratio(token, seen[name]), "< 1"
            )
        else:
            yield Figure(what, ms(token), f"`{name}`: not installed", "–", "< 1")


def _gh(place: Place) -> list[str]:
    """GitHub's client with a token in its own file, or nothing."""
    if not shutil.which("gh"):
        return []
    config = place.directory / "gh"
    config.mkdir()
    (config / "hosts.yml").write_text("github.com:\n    oauth_token: made-up\n    user: anna\n")
    return ["gh", "auth", "token"]


def _pass(place: Place) -> list[str]:
    """The standard Unix password manager with one entry, or nothing."""
    if not (shutil.which("pass") and shutil.which("gpg")):
        return []
    keys, entry = place.directory / "gnupg", place.directory / "store" / "crm.gpg"
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
