"""The samples on the page of a connection work as they are copied."""

import html
import re
import shlex
import subprocess
import sys

import pytest
from support.harness import ANNA, Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell
from support.web_visitor import Visitor

from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

INTERPRETERS = {
    "Shell": ("bash", "-euo", "pipefail"),
    "Python": (sys.executable,),
    "Node": ("node",),
    "PHP": ("php",),
    "Go": ("go", "run"),
    "Java": ("java", "--source", "17"),
    "C#": ("sh", "-c", 'mcs -r:System.Net.Http.dll -out:read.exe "$0" && exec mono read.exe'),
    "Ruby": ("ruby",),
    "curl": ("bash", "-euo", "pipefail"),
}
OPTIONAL = {
    "Node": "node",
    "PHP": "php",
    "Go": "go",
    "Java": "javac",
    "C#": "mcs",
    "Ruby": "ruby",
}


def copied_samples(harness: Harness) -> dict[str, str]:
    """The texts behind the Copy buttons of the samples, by label."""
    link_tokens = LinkTokens()
    app = create_app(harness.services, link_tokens=link_tokens)
    visitor = Visitor(app.test_client(), harness.services, link_tokens)
    visitor.sign_in()
    page = visitor.get("/connections/crm").text
    found = re.findall(r'data-copy="([^"]*)" aria-label="Copy the (\S+) sample"', page)
    return {label: html.unescape(code) for code, label in found}


@pytest.mark.slow
@pytest.mark.parametrize(
    "label",
    [
        pytest.param(
            each,
            marks=[pytest.mark.slow, pytest.mark.needs(OPTIONAL[each])] if each in OPTIONAL else [],
        )
        for each in INTERPRETERS
    ],
)
def test_a_sample_reads_with_a_token_and_ends_without_one(
    shell: Shell, shell_harness: Harness, label: str
) -> None:
    shell_harness.add_verified_connection("crm")
    # Go runs only files with its suffix.
    file, launcher = shell.directory / "sample.go", shell.directory / "bin" / "zoho-wizard"
    file.write_text(copied_samples(shell_harness)[label])
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(shell.command())} "$@"\n')
    launcher.chmod(0o755)

    def run() -> "tuple[subprocess.CompletedProcess[str], list[int]]":
        """The finished program, and the statuses of its reads."""
        shell_harness.controls.clear_journal()
        done = subprocess.run(
            [*INTERPRETERS[label], str(file)],
            cwd=shell.directory,
            env={**shell.environment, "PATH": f"{launcher.parent}:{shell.environment['PATH']}"}
            | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
            check=False,
        )
        journal = shell_harness.controls.journal()
        return done, [each["status"] for each in journal if "/crm/" in each["path"]]

    done, reads = run()
    assert (done.returncode, done.stderr) == (0, "")
    if label == "Shell":
        token = shell_harness.services.tokens.access_token("crm").value
        assert (done.stdout, reads) == (f"{token}\n", [])
    else:
        assert reads == [200]

    shell_harness.controls.change_password(ANNA)
    shell_harness.advance(hours=2)
    done, reads = run()
    assert "refresh-token-rejected" in done.stderr
    assert (done.stdout, reads) == ("", [])
    # `go run` has an exit code of its own.
    assert done.returncode == (1 if label == "Go" else 3), done.stderr


def test_the_command_prints_the_samples_of_the_page(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    samples = copied_samples(shell_harness)
    assert max(len(each.splitlines()) for each in samples.values()) <= 20
    for label, language in {"Python": "python", "C#": "csharp"}.items():
        assert shell.run("sample", language, "crm").stdout == samples[label] + "\n"
    assert "unknown-connection" in shell.run("sample", "node", "leads").stderr
    assert shell.run("sample", "node").exit_code == 2


def test_every_sample_is_run(shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    assert copied_samples(shell_harness).keys() == INTERPRETERS.keys()
