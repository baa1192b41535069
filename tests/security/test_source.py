"""No credential of a real service is in the source or its history."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {
    ".git",
    ".venv",
    ".cache",
    ".hypothesis",
    "__pycache__",
    "build",
    "dist",
    "node_modules",
}

CREDENTIALS = {
    "-----BEGIN": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\\n]{1,8}[A-Za-z0-9+/]{40}",
    "AKIA": r"\bAKIA[0-9A-Z]{16}\b",
    "ghp_": r"\bghp_[A-Za-z0-9]{36,}",
    "ghs_": r"\bghs_[A-Za-z0-9]{36,}",
    "github_pat_": r"\bgithub_pat_\w{40,}",
    "xoxb-": r"\bxoxb-[\w-]{10,}",
    "xoxp-": r"\bxoxp-[\w-]{10,}",
    "hooks.slack.com": r"hooks\.slack\.com/services/T\w+/B\w+/\w+",
    "pypi-": r"\bpypi-[\w-]{40,}",
    "npm_": r"\bnpm_[A-Za-z0-9]{36}\b",
    "AIza": r"\bAIza[\w-]{35}\b",
    "eyJ": r"\beyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{15,}",
    "1000.": r"\b1000\.[0-9a-f]{32}\.[0-9a-f]{32}\b",
}
"""How a credential begins, and what it looks like: of clouds, code hosts, registries and Zoho."""
MADE_UP = re.compile(
    r"^1000\.(?:(\w)\1{31}|0123456789abcdef0123456789abcdef)\."
    r"|^tests/field/"  # public reports: their secrets are invented
)


def credentials_in(path: str, text: str) -> Iterator[str]:
    """The start of each credential that isn't made up."""
    if MADE_UP.match(path):
        return
    for start, pattern in CREDENTIALS.items():
        for found in re.finditer(pattern, text) if start in text else ():
            if not MADE_UP.match(found[0]):
                yield f"{path}: {found[0][:24]}"


def our_files() -> Iterator[Path]:
    for place, directories, names in os.walk(ROOT):
        directories[:] = [
            each for each in directories if each not in NOT_OURS and not each.endswith("_cache")
        ]
        yield from (Path(place, name) for name in names)


def test_no_file_has_a_credential_of_a_real_service() -> None:
    files = list(our_files())
    assert len(files) > 500
    found = [
        each
        for path in files
        for each in credentials_in(
            str(path.relative_to(ROOT)), path.read_bytes().decode("utf-8", "replace")
        )
    ]
    assert found == []


def test_a_credential_is_found() -> None:
    examples = (
        "AKIA" + "A1" * 8,
        "ghp_" + "a1B2" * 9,
        "1000." + "0a" * 16 + "." + "1b" * 16,
        "-----BEGIN EC " + "PRIVATE KEY-----\n" + "a1B2" * 10,
    )
    for each in examples:
        assert list(credentials_in("wizard/x.py", f"key = '{each}'")), each


@pytest.mark.slow
def test_no_commit_has_a_credential_of_a_real_service() -> None:
    command = [
        "git",
        "log",
        "--patch",
        "--no-color",
        "--unified=0",
        "--no-textconv",
        "--no-ext-diff",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    patches = done.stdout.decode("utf-8", "replace").split("\n+++ ")[1:]
    if done.returncode or not patches:
        pytest.skip("there is no history here")
    found = []
    for patch in patches:
        path, *lines = patch.splitlines()
        added = "\n".join(line[1:] for line in lines if line.startswith("+"))
        found += list(credentials_in(path.removeprefix("b/"), added))
    assert found == []
