"""``diagnose``: explains a connection, or any text that is pasted."""

import shlex
import sys
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain

import click

from wizard.cli.results.checks import (
    CodeExplanation,
    CodeList,
    CodeTitle,
    DiagnosisReport,
    UriDifference,
)
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal
from wizard.diagnosis.evidence import ANSWER_EVIDENCE_CODES, ORIGIN_ANSWERS, known_answers
from wizard.diagnosis.pasted_text import DiagnosisResult, UriComparison
from wizard.diagnosis.pasted_text.parsed_text import MAX_PASTE_CHARACTERS
from wizard.errors import WizardError, explain, fail, message, message_table
from wizard.fastpath.ssh_requests import is_name
from wizard.model import Explanation, Failure
from wizard.serialization import error_report

EXIT_UNEXPLAINED = 1
MAX_QUOTED_CHARACTERS = 1000
"""Of a text that is repeated in a command."""


@click.command()
@click.argument(
    "arguments", nargs=-1, metavar="[NAME] [TEXT|-]", shell_complete=CONNECTION_NAME.shell_complete
)
@click.option(
    "--search",
    is_flag=True,
    help="Ask every data center about a client that its own doesn’t recognize. This works "
    "once a day.",
)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="ANSWER",
    shell_complete=lambda *given: [each for each in known_answers() if each.startswith(given[-1])],
    help="Answer the question of the diagnosis, with one of the words that it offers.",
)
@click.option("--code", help="Explain only this code. `all` lists the codes.")
@pass_terminal
def diagnose(
    terminal: Terminal,
    arguments: tuple[str, ...],
    search: bool,
    answers: tuple[str, ...],
    code: str | None,
) -> None:
    """Explain a failed connection or an error that you paste.

    For the NAME of a connection, it asks Zoho at most four times. TEXT can be an error code, a
    response, a curl command, a URL or a log. It isn’t sent anywhere or stored. If several
    causes are possible, it asks a question. NAME and `-` compare a program’s message with what is
    stored for its connection. The exit code is 1 if there is no explanation.

    \b
    Examples:
      zoho-wizard diagnose crm
      zoho-wizard diagnose invalid_code
      zoho-wizard diagnose crm - < error.log
      zoho-wizard diagnose --code all
    """
    if code is not None:
        _print_code(terminal, code)
        return
    _check_answers(answers)
    argument_text = " ".join(arguments)
    name = arguments[0] if len(arguments) == 2 and arguments[1] == "-" else ""
    is_piped = bool(name) or argument_text in ("", "-")
    text = _read_paste(terminal) if is_piped else argument_text
    reader = terminal.services.reader
    if name:
        reading = reader.explain_text(text, answers, name)
    else:
        reading = reader.diagnose(text, search=search, answers=answers)
    if not reading.is_explained and not is_piped:
        _refuse_mistyped_name(terminal, text)
    reading = _with_answer_commands(reading, argument_text, is_piped=is_piped)

    def render() -> None:
        _print_reading(terminal, reading, is_argument=argument_text == text, has_searched=search)
        if answers and not _affects_explanation(reading.explanation, answers[-1]):
            terminal.renderer.print_note(message_table()["pasted-text"]["answer-ignored"])

    terminal.emit(_diagnosis(reading), render)
    if not reading.is_explained:
        raise Exit(EXIT_UNEXPLAINED)


def _refuse_mistyped_name(terminal: Terminal, text: str) -> None:
    """Raise ``unknown-connection`` if `text` is no connection's name, but similar to one."""
    if not is_name(text):
        return
    try:
        terminal.services.store.connections.get(text)
    except WizardError as error:
        if error.failure.details.get("nearest"):
            raise


def _check_answers(answers: tuple[str, ...]) -> None:
    for each in answers:
        if each not in known_answers():
            nearest = ", ".join(get_close_matches(each, known_answers(), 3))
            raise fail("unknown-answer", value=each[:60], nearest=nearest)


def _with_answer_commands(
    reading: DiagnosisResult, argument_text: str, *, is_piped: bool
) -> DiagnosisResult:
    """A result whose answers have commands. They repeat the text if it was an argument, is one
    line, not too long, and contains no secret; else they ask for it again."""
    can_repeat = argument_text.isprintable() and len(argument_text) <= MAX_QUOTED_CHARACTERS
    quoted = shlex.quote(argument_text) if can_repeat and not reading.has_secrets else "-"
    start = f"zoho-wizard diagnose {argument_text or '-' if is_piped else quoted}"
    options = tuple(
        each if each.command else replace(each, command=" --answer ".join((start, *each.answers)))
        for each in reading.explanation.answer_options
    )
    return replace(reading, explanation=replace(reading.explanation, answer_options=options))


def _affects_explanation(explanation: Explanation, answer: str) -> bool:
    """Whether an answer has changed the diagnosis."""
    supporting = {
        *chain(*(each.evidence_for for each in (*explanation.causes, *explanation.ruled_out)))
    }
    contradicting = {*chain(*(each.evidence_against for each in explanation.causes))}
    return answer in ORIGIN_ANSWERS or any(
        message("evidence", e) in supporting | contradicting for e in ANSWER_EVIDENCE_CODES
    )


def _read_paste(terminal: Terminal) -> str:
    """The end of stdin; on a terminal, says how to finish the input."""
    terminal.require_piped_input(message("prompts", "what-you-saw"))
    if terminal.is_interactive:
        code = "paste-error-on-windows" if sys.platform == "win32" else "paste-error"
        terminal.renderer.print_note(message("notes", code))
    # Bytes, since a log may contain anything; a character cut in half does no harm.
    data, max_bytes = b"", 4 * MAX_PASTE_CHARACTERS
    while True:
        chunk = sys.stdin.buffer.read(max_bytes)
        data = (data + chunk)[-max_bytes:]
        if (
            len(chunk) < max_bytes
        ):  # the end; reading a terminal again would wait for a second Ctrl-D
            return data.decode("utf-8", "replace")


def _print_reading(
    terminal: Terminal, reading: DiagnosisResult, *, is_argument: bool, has_searched: bool
) -> None:
    renderer = terminal.renderer
    renderer.print_explanation(reading.explanation, is_requested=True)
    if reading.can_search and not has_searched:
        renderer.print_note(
            message("notes", "search-client"),
            command=f"zoho-wizard diagnose {reading.connection} --search",
        )
    for sentence in reading.understood:
        renderer.print_output(f"  · {sentence}")
    if reading.comparison:
        _print_comparison(terminal, reading.comparison)
    if not reading.is_explained and reading.excerpt:
        renderer.print_heading(message("headings", "excerpt"))
        renderer.print_output(reading.excerpt)
    if reading.has_secrets:
        renderer.print_note(message_table()["pasted-text"]["secret"])
    if reading.has_secrets and is_argument:
        renderer.print_note(
            message_table()["pasted-text"]["argument"], command="zoho-wizard diagnose"
        )


def _print_comparison(terminal: Terminal, comparison: UriComparison) -> None:
    """Print both URIs, with a mark under each part that differs."""
    lines = (
        ("sent", comparison.sent, comparison.sent_difference),
        ("registered", comparison.registered, comparison.registered_difference),
    )
    width = max(len(label) for label, *_ in lines)
    for label, uri, part in lines:
        terminal.renderer.print_output(f"{label.ljust(width)}  {uri}")
        mark = "^" * max(len(part), 1)
        terminal.renderer.print_output(f"{' ' * (width + 2 + len(comparison.common_prefix))}{mark}")


def _diagnosis(reading: DiagnosisResult) -> DiagnosisReport:
    uris = reading.comparison
    return DiagnosisReport(
        is_explained=reading.is_explained,
        connection=reading.connection,
        explanation=error_report(reading.explanation),
        understood=reading.understood,
        has_secrets=reading.has_secrets,
        comparison=UriDifference(uris.sent, uris.registered, uris.common_prefix, uris.common_suffix)
        if uris
        else None,
        excerpt=reading.excerpt,
    )


def _print_code(terminal: Terminal, code: str) -> None:
    """Explain a code, or list all codes."""
    codes = sorted(each for each, row in message_table().items() if "title" in row)
    if code == "all":
        titles = [CodeTitle(each, explain(Failure(each)).title) for each in codes]
        rows = [(each.code, each.title) for each in titles]
        terminal.emit(
            CodeList(tuple(titles)), lambda: terminal.renderer.print_table(("Code", "Title"), rows)
        )
        return
    if code not in codes:
        nearest = ", ".join(get_close_matches(code, codes, 3))
        raise fail("unknown-code", value=code[:60], nearest=nearest)
    explanation = explain(Failure(code))
    terminal.emit(
        CodeExplanation(error_report(explanation)),
        lambda: terminal.renderer.print_explanation(explanation, is_requested=True),
    )
