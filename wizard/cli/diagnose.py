"""``diagnose``: explains a connection, or whatever a person pastes."""

import shlex
import sys
from dataclasses import replace
from difflib import get_close_matches
from importlib import resources
from itertools import chain
from typing import Any

import click

from wizard.cli.terminal import NAME, Exit, Terminal, json_option, pass_terminal
from wizard.diagnosis.answers import MOMENTS, OF_ANSWERS, known
from wizard.diagnosis.reading import LONGEST_PASTE, Comparison, Reading
from wizard.document import finding_json
from wizard.errors import explain, fail, phrase, words
from wizard.model import Failure, Finding

UNEXPLAINED = 1
SHORT = 120
"""Characters of a text that is repeated in a command."""


@click.command()
@click.argument("what", nargs=-1, metavar="[NAME|TEXT|-]", shell_complete=NAME.shell_complete)
@click.option(
    "--search",
    is_flag=True,
    help="Ask every data centre for a client that its own does not know; once a day.",
)
@click.option(
    "--told",
    multiple=True,
    metavar="ANSWER",
    shell_complete=lambda *given: [each for each in known() if each.startswith(given[-1])],
    help="Answer the question of the finding, with one of the words that it offers.",
)
@click.option("--code", help="Explain a finding's code, without anything else; `all` lists them.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the answer in JSON.")
@json_option
@pass_terminal
def diagnose(
    terminal: Terminal,
    what: tuple[str, ...],
    search: bool,
    told: tuple[str, ...],
    code: str | None,
    schema: bool,
) -> None:
    """Explain a connection, or anything that was answered.

    NAME of a connection: Zoho is asked what decides, at most four times. TEXT: an error word, an
    answer, a curl command, an address, a log; nobody is asked, and nothing of it is kept. Long or
    secret text comes by `-` from stdin, or by the prompt that `diagnose` alone opens.

    Where nothing decides between several causes, the finding asks one question and prints the
    lines that answer it.

    Exit code 0: explained; 1: unknown.
    """
    if schema:
        click.echo(_schema())
        return
    if code is not None:
        _explain_code(terminal, code)
        return
    _check_answers(told)
    given = " ".join(what)
    text = _pasted(terminal) if given in ("", "-") else given
    reading = _answerable(terminal.house.reader.diagnose(text, search=search, told=told), given)
    if terminal.painter.as_json:
        terminal.painter.document(_json(reading))
    else:
        _paint(terminal, reading, by_argument=given == text, searched=search)
        if told and not _heard(reading.finding, told[-1]):
            terminal.painter.note(words()["readings"]["told-in-vain"])
    if not reading.explained:
        raise Exit(UNEXPLAINED)


def _check_answers(told: tuple[str, ...]) -> None:
    for each in told:
        if each not in known():
            nearest = ", ".join(get_close_matches(each, known(), 3)) or "none"
            raise fail("unknown-answer", given=each[:60], nearest=nearest)


def _answerable(reading: Reading, given: str) -> Reading:
    """A reading whose answers have their commands: for a text, with the text where it was given as
    an argument, is short and holds no secret; else for giving it anew."""
    short = given not in ("", "-") and len(given) <= SHORT and not reading.secrets
    again = shlex.quote(given) if short else ("-" if given == "-" else "")
    start = f"zoho-wizard diagnose {again}".rstrip()
    found = tuple(
        each if each.command else replace(each, command=" --told ".join((start, *each.told)))
        for each in reading.finding.answers
    )
    return replace(reading, finding=replace(reading.finding, answers=found))


def _heard(finding: Finding, told: str) -> bool:
    """Whether what was told bears upon the finding."""
    seen = {*chain(*(each.evidence_for for each in (*finding.causes, *finding.ruled_out)))}
    denied = {*chain(*(each.evidence_against for each in finding.causes))}
    return told in MOMENTS or any(phrase("signs", e) in seen | denied for e in OF_ANSWERS)


def _pasted(terminal: Terminal) -> str:
    """All of stdin, of which the end counts; a person is told how to end."""
    if terminal.interactive:
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        terminal.painter.note(f"Paste what you saw, then press Enter and {end}:")
    # Bytes, since a log may hold anything; half a character at the cut does no harm.
    read, most = b"", 4 * LONGEST_PASTE
    while True:
        chunk = sys.stdin.buffer.read(most)
        read = (read + chunk)[-most:]
        if len(chunk) < most:  # ended; a terminal that is read once more waits for a second Ctrl-D
            return read.decode("utf-8", "replace")


def _paint(terminal: Terminal, reading: Reading, *, by_argument: bool, searched: bool) -> None:
    painter = terminal.painter
    painter.finding(reading.finding, asked_for=True)
    if reading.may_search and not searched:
        painter.note(
            "Every data centre can be asked for the client, once a day:",
            command=f"zoho-wizard diagnose {reading.connection} --search",
        )
    for sentence in reading.understood:
        painter.product(f"  · {sentence}")
    if reading.comparison:
        _paint_comparison(terminal, reading.comparison)
    if not reading.explained and reading.excerpt:
        painter.heading("What was read, without secrets")
        painter.product(reading.excerpt)
    if reading.secrets:
        painter.note(words()["readings"]["secret"])
    if reading.secrets and by_argument:
        painter.note(words()["readings"]["argument"], command="zoho-wizard diagnose")


def _paint_comparison(terminal: Terminal, comparison: Comparison) -> None:
    """Both, one below the other, with a mark under each part that differs."""
    lines = (
        ("sent", comparison.sent, comparison.odd),
        ("registered", comparison.registered, comparison.right),
    )
    width = max(len(label) for label, *_ in lines)
    for label, uri, part in lines:
        terminal.painter.product(f"{label.ljust(width)}  {uri}")
        mark = "^" * max(len(part), 1)
        terminal.painter.product(f"{' ' * (width + 2 + len(comparison.before))}{mark}")


def _json(reading: Reading) -> dict[str, Any]:
    return {
        "explained": reading.explained,
        "connection": reading.connection,
        "finding": finding_json(reading.finding),
        "understood": reading.understood,
        "secrets_masked": reading.secrets,
        "comparison": reading.comparison,
        "read": reading.excerpt,
    }


def _explain_code(terminal: Terminal, code: str) -> None:
    """The words of a code, from the table that travels with the program."""
    codes = sorted(each for each, row in words().items() if "title" in row)
    if code == "all":
        titles = {each: explain(Failure(each)).title for each in codes}
        if terminal.painter.as_json:
            terminal.painter.document(titles)
        else:
            terminal.painter.table(("Code", "Says"), titles.items())
        return
    if code not in codes:
        nearest = ", ".join(get_close_matches(code, codes, 3)) or "none"
        raise fail("unknown-code", given=code[:60], nearest=nearest)
    finding = explain(Failure(code))
    if terminal.painter.as_json:
        terminal.painter.document(finding_json(finding))
    else:
        terminal.painter.finding(finding, asked_for=True)


def _schema() -> str:
    return resources.files("wizard.cli").joinpath("diagnose.schema.json").read_text("utf-8").strip()
