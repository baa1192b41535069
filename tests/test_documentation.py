"""The documentation: its commands exist, its samples work, its links lead somewhere.

A fenced block of the language `shell`, `python`, `javascript` or `go` is a sample. The samples of a
page are run in their order, unless a comment before one says otherwise:

    <!-- not run: REASON -->       a person, a server or a program is needed
    <!-- exit code: NUMBER -->     the sample ends with this exit code
    <!-- first: SITUATION -->      bring this about, see `SITUATIONS`
    <!-- run with: pytest -->      the sample is a file of tests

In a sample, `https://www.zohoapis.eu`, `https://accounts.zoho.eu` and `http://127.0.0.1:8730` are
the simulator's, and the connection `crm` exists and is verified.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from references import REFERENCES
from support.claims import over_rows
from support.command_lines import commands_in, parse
from support.harness import ANNA, SCOPE, Harness
from support.shell import Shell
from tour import scenario

from wizard.web.help_pages import subjects

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(set(ROOT.glob("*.md")) - {ROOT / "README.md"}),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "shell": ("bash", "-euo", "pipefail", "-c"),
    "python": (sys.executable, "-c"),
    "javascript": ("node", "--input-type=module", "--eval"),
    "go": ("go", "run"),
}
"""How to run a sample, whose text is the last argument; of Go, the file."""
OPTIONAL_LANGUAGES = {"go"}
"""Samples in these are run only where their program is installed."""
SAMPLE_TIMEOUT_SECONDS = 120

ACTION_COUNTS = {
    "First connection, with a client of your own": (
        scenario.FIRST_CONNECTION_MAX_ACTIONS,
        scenario.ASSISTED_FIRST_CONNECTION_ACTIONS,
    ),
    "Second connection, same client": (
        scenario.NEXT_CONNECTION_MAX_ACTIONS,
        scenario.ASSISTED_NEXT_CONNECTION_ACTIONS,
    ),
    "Three connections and their programs, after a password change": (
        scenario.REAUTHORIZATION_MAX_ACTIONS,
        scenario.ASSISTED_REAUTHORIZATION_ACTIONS,
    ),
}
"""By the first cell of a row: the actions in the wizard's pages, and assisted."""

FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,})(?P<language>\S*)")
COMMENT = re.compile(r"<!-- (not run|exit code|first|run with): (.+) -->")


@dataclass(frozen=True)
class Sample:
    """A fenced block of a page, with what the comments before it say."""

    page: Path
    line: int
    language: str
    text: str
    reason_not_run: str
    exit_code: int
    situation: str
    is_test_file: bool

    @property
    def is_run(self) -> bool:
        is_installed = (
            self.language not in OPTIONAL_LANGUAGES or shutil.which(self.language) is not None
        )
        return self.language in LANGUAGES and is_installed and not self.reason_not_run

    def command(self, zoho_url: str, directory: Path) -> tuple[str, ...]:
        """The command that runs it in a directory, with the simulator instead of Zoho."""
        text = self.text
        for host, place in (("www.zohoapis.eu", "eu/www"), ("accounts.zoho.eu", "eu/accounts")):
            text = text.replace(f"https://{host}", f"{zoho_url}/{place}")
        text = text.replace("http://127.0.0.1:8730", zoho_url)
        if self.is_test_file:
            file = directory / "test_sample.py"
            file.write_text(text)
            plugins = ("-p", "no:cacheprovider", "-p", "wizard.simulator.pytest_plugin")
            return (sys.executable, "-m", "pytest", *plugins, str(file))
        if self.language == "go":
            file = directory / "main.go"
            file.write_text(text)
            return (*LANGUAGES["go"], str(file))
        return (*LANGUAGES[self.language], text)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def samples_of(page: Path) -> Iterator[Sample]:
    """The fenced blocks of a page."""
    lines = enumerate(page.read_text("utf-8").splitlines(), 1)
    said: dict[str, str] = {}
    for number, line in lines:
        if comment := COMMENT.fullmatch(line.strip()):
            said[comment[1]] = comment[2]
        elif fence := FENCE.match(line):
            text = []
            for _, each in lines:
                if each.strip() == fence["ticks"]:
                    break
                text.append(each.removeprefix(fence["indent"]))
            yield Sample(
                page,
                number,
                fence["language"],
                "\n".join(text),
                said.get("not run", ""),
                int(said.get("exit code", "0")),
                said.get("first", ""),
                "run with" in said,
            )
            said = {}
        elif line.strip():
            said = {}


def samples() -> list[Sample]:
    """All fenced blocks."""
    return [each for page in PAGES for each in samples_of(page)]


def texts_with_commands() -> Iterator[tuple[str, str]]:
    """Samples, inline code and the commands of the help pages, each with its place."""
    for subject in subjects():
        for answer in subject.answers:
            yield from ((f"help/{subject.id}#{answer.id}", each) for each in answer.commands)
    for sample in samples():
        if sample.language in LANGUAGES:
            yield str(sample), sample.text
    for page in PAGES:
        prose = re.sub(r"^ *(`{3,})[^`]*?^ *\1", "", page.read_text("utf-8"), flags=re.M | re.S)
        for code in re.findall(r"`([^`]+)`", prose):
            yield str(page.relative_to(ROOT)), code


@over_rows(("place", "text"), texts_with_commands())
def test_a_command_in_the_documentation_can_be_parsed(place: str, text: str) -> None:
    for arguments in commands_in(text):
        if not (arguments and arguments[0].isupper()):  # COMMAND stands for all of them
            parse(arguments)


def test_a_sample_that_is_not_run_says_why() -> None:
    for each in samples():
        assert each.reason_not_run == "" or each.language in LANGUAGES, each
    others = {
        "text",
        "ini",
        "toml",
        "yaml",
        "mermaid",
        "{generated}",
        "{toctree}",
        "{literalinclude}",
    }
    others |= {"csharp", "ruby"}  # the page says that they weren’t run
    assert {each.language for each in samples()} <= LANGUAGES.keys() | others


def pages_with_samples() -> Iterator[Any]:
    """Each page that has a sample to run, as a parameter."""
    for page in PAGES:
        languages = {each.language for each in samples_of(page) if each.is_run}
        if languages:
            marks = [pytest.mark.needs("node")] if "javascript" in languages else []
            yield pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.mark.parametrize("document", list(pages_with_samples()))
@pytest.mark.slow
def test_the_samples_of_a_page_work(document: Path, shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    environment = prepare_home(shell)
    for sample in samples_of(document):
        if sample.situation:
            SITUATIONS[sample.situation](shell, shell_harness)
        if not sample.is_run:
            continue
        done = subprocess.run(
            sample.command(shell.simulator.url, Path(environment["HOME"])),
            env=environment,
            cwd=environment["HOME"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SAMPLE_TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == sample.exit_code, f"{sample}\n{done.stdout}{done.stderr}"


STUBS = ("systemctl", "mail", "notify-send", "vault", "crontab")
"""Programs of the reader's that samples name; here they accept anything."""


def prepare_home(shell: Shell) -> dict[str, str]:
    """A reader's home directory, and the environment of the samples."""
    home, programs = shell.directory / "reader", shell.directory / "bin"
    for directory in (home / "app", programs):
        directory.mkdir(parents=True)
    for name in STUBS:
        (programs / name).write_text("#!/bin/sh\n[ -t 0 ] || cat >/dev/null\n")
        (programs / name).chmod(0o755)
    launcher = programs / "zoho-wizard"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(shell.command())} "$@"\n')
    launcher.chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{shell.environment['PATH']}"
    return {**shell.environment, "HOME": str(home), "PATH": path}


def change_password(_shell: Shell, harness: Harness) -> None:
    """The account owner changes the password, and revokes all tokens."""
    harness.advance(minutes=2)  # a new access token is requested at most once a minute
    harness.controls.change_password(ANNA)


def other_program(shell: Shell, harness: Harness) -> None:
    """Another program has credentials in ~/old-app/.env that the wizard doesn't know."""
    grant = harness.add_verified_connection("theirs")
    client = harness.services.store.clients.get(grant.client_id)
    file = shell.directory / "reader" / "old-app" / ".env"
    file.parent.mkdir()
    file.write_text(
        f"ZOHO_CLIENT_ID={client.client_id}\nZOHO_CLIENT_SECRET={client.secret_for('eu')}\n"
        f"ZOHO_REFRESH_TOKEN={grant.refresh_token}\n"
    )
    file.chmod(0o600)
    harness.services.tokens.remove_connection("theirs")
    harness.services.clients.remove(client.client_id)


def other_programs(shell: Shell, harness: Harness) -> None:
    """Two programs have credentials below ~/apps that the wizard doesn't know."""
    for name in ("billing", "reports"):
        issued = harness.controls.issue_tokens(ANNA, ",".join(SCOPE))
        file = shell.directory / "reader" / "apps" / name / ".env"
        file.parent.mkdir(parents=True)
        keys = ("client_id", "client_secret", "refresh_token")
        file.write_text("".join(f"ZOHO_{each.upper()}={issued[each]}\n" for each in keys))


SITUATIONS: Mapping[str, Callable[[Shell, Harness], None]] = {
    "password changed": change_password,
    "other program": other_program,
    "other programs": other_programs,
}


@over_rows(("name", "reference"), REFERENCES.items())
def test_a_reference_can_be_generated(name: str, reference: Callable[[], Iterator[str]]) -> None:
    assert "".join(reference()), name


def links() -> Iterator[tuple[Path, str]]:
    """The links of each document to other files."""
    for page in (ROOT / "README.md", *PAGES):
        text = page.read_text("utf-8")
        for found in re.finditer(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text):
            target = found[1] or found[2]
            if not re.match(r"https?:|mailto:|#", target):
                yield page, target.partition("#")[0]


@over_rows(("page", "target"), links())
def test_a_link_to_a_file_leads_to_it(page: Path, target: str) -> None:
    assert (page.parent / target).exists()


CHECKS = {"P": 13, "W": 12, "S": 10, "B": 6, "C": 5, "I": 4, "L": 4, "R": 9, "Q": 3}
"""How many checks of each kind the security page lists."""
RESULTS = ("Holds", "Partly: ", "Not provable here: ")


def test_the_security_page_lists_each_check_with_its_result_and_tests_that_exist() -> None:
    text = (ROOT / "docs/security.md").read_text("utf-8")
    rows = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    checks = [row for row in rows if re.match(r"[A-Z]\d", row[0])]
    wanted = [f"{kind}{number + 1}" for kind, count in CHECKS.items() for number in range(count)]
    assert [row[0].removesuffix(" ★") for row in checks] == wanted
    assert [row[0] for row in checks if not row[2].startswith(RESULTS)] == []
    assert [row[0] for row in checks if "★" in row[0] and not row[2].startswith("Holds")] == []
    for row in checks:
        files = re.findall(r"`([^`]+)`", row[3])
        assert files, row[0]
        assert [each for each in files if not (ROOT / each).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/guides/try-it.md"])
def test_the_table_of_action_counts_shows_what_is_measured(page: str) -> None:
    lines = (ROOT / page).read_text("utf-8").splitlines()
    rows = [re.split(r" *\| *", line)[1:-1] for line in lines if line.startswith("|")]
    shown = {row[0]: tuple(map(int, row[2:])) for row in rows if row[0] in ACTION_COUNTS}
    assert shown == ACTION_COUNTS
