"""The renderer of the terminal: results go to stdout, everything else to stderr.

A terminal gets color, a pipe gets plain lines and tables with tabs, ``--json`` gets JSON. Text from
outside (names, Zoho's responses) never reaches a terminal with control characters in it.
"""

import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from wizard.connection_details import describe_evidence, step_title
from wizard.model import (
    Cause,
    Confidence,
    Explanation,
    StepState,
    VerificationReport,
    VerificationStep,
)
from wizard.serialization import explanation_to_json, to_json
from wizard.timefmt import format_time
from wizard.transport import sanitize, sanitize_line

if TYPE_CHECKING:
    from rich.console import Console

    from wizard.diagnosis.incidents import Incident

STYLES = {
    "good": "green",
    "bad": "bold red",
    "wait": "yellow",
    "quiet": "dim",
    "command": "bold cyan",
    "title": "bold",
}

STEP_MARKS = {
    StepState.PASSED: ("✓", "good"),
    StepState.FAILED: ("✗", "bad"),
    StepState.SKIPPED: ("–", "quiet"),
    StepState.PARTIAL: ("◐", "wait"),
}
"""The mark of a step's state: color alone isn't readable for everyone."""

CONFIDENCE_MARKS = {
    Confidence.CONFIRMED: ("●", "bad"),
    Confidence.LIKELY: ("◕", "wait"),
    Confidence.POSSIBLE: ("○", "quiet"),
    Confidence.RULED_OUT: ("✗", "quiet"),
}
"""The mark of each confidence."""

FIXED_COLUMNS = 2
"""Columns of a table that stay in one line on a narrow terminal."""

MAX_TEXT_COLUMNS = 100
"""Of running text; longer lines are hard to read."""


def _wrapped(console: "Console", text: str, indent: int = 0) -> str:
    """`text` wrapped between words to a terminal's width, and one line in a pipe.

    Further lines are indented as the first, and `indent` columns more. What is to be copied (a URL,
    a path, a scope) is never broken.
    """
    width = min(console.width, MAX_TEXT_COLUMNS) if console.is_terminal else sys.maxsize
    margin = text[: len(text) - len(text.lstrip())] + " " * indent
    return textwrap.fill(
        text, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def _evidence_line(console: "Console", mark: str, sentence: str) -> str:
    """A sentence below a cause, after its mark."""
    return escape(_wrapped(console, f"      {mark} {sanitize(sentence)}", 2))


def _fact_line(console: "Console", label: str, width: int, value: str) -> str:
    """A label and its value, below an explanation."""
    folded = _wrapped(console, f"  {label.ljust(width)}  {value}", width + 2)
    return f"[quiet]{escape(folded[: width + 2])}[/]{escape(folded[width + 2 :])}"


def counted(count: int, noun: str) -> str:
    """A number and its noun: 1 connection, 2 connections."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def escape(text: str) -> str:
    """Escape Rich's markup in `text`."""
    from rich.markup import escape as escape_markup

    return escape_markup(text)


def _console(*, is_stderr: bool) -> "Console":
    from rich.console import Console
    from rich.theme import Theme

    return Console(theme=Theme(STYLES), highlight=False, soft_wrap=True, stderr=is_stderr)


class Renderer:
    """Prints on stdout and stderr."""

    def __init__(self) -> None:
        self.as_json = False

    # Rich is loaded on first use: JSON and lines in a pipe need none.

    @cached_property
    def _stdout(self) -> "Console":
        return _console(is_stderr=False)

    @cached_property
    def _stderr(self) -> "Console":
        return _console(is_stderr=True)

    # results, on stdout

    def print_output(self, text: str) -> None:
        """A line of the result, without decoration."""
        click.echo(sanitize(text))

    def print_json(self, value: Any) -> None:
        """Print `value` as the one JSON document of this run."""
        click.echo(to_json(value, indent=2))

    def print_json_line(self, value: Any) -> None:
        """Print `value` as one line of JSON, at once: a program may be waiting for it."""
        click.echo(to_json(value))
        sys.stdout.flush()

    def print_raw(self, text: str) -> None:
        """Print `text` unchanged: a token, or lines that a program reads."""
        click.echo(text, nl=not text.endswith("\n"))

    def print_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table on a terminal, tab-separated lines without a heading in a pipe.

        On a terminal that is too narrow, the first two columns get a line of their own, and the
        others follow below: a URL that is cut off can't be copied.
        """
        cleaned = [[sanitize_line(cell) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            for row in cleaned:
                self.print_output("\t".join(row))
            return
        from rich.measure import Measurement
        from rich.table import Table

        table = Table(
            *columns, box=None, header_style="quiet", pad_edge=False, padding=(0, 2, 0, 0)
        )
        table.columns[0].no_wrap = True
        for row in cleaned:
            table.add_row(*(escape(cell) for cell in row))
        required_width = Measurement.get(self._stdout, self._stdout.options, table).maximum
        if len(columns) > FIXED_COLUMNS and required_width >= self._stdout.width:
            self._print_stacked(columns, cleaned)
        else:
            self._stdout.print(table)

    def _print_stacked(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        width = max(len(row[0]) for row in rows)
        for index, row in enumerate((columns, *rows)):
            remainder = " · ".join(cell for cell in row[FIXED_COLUMNS:] if cell)
            lines = [f"{row[0].ljust(width)}  {row[1]}", _wrapped(self._stdout, f"    {remainder}")]
            style = "quiet" if index == 0 else "none"
            for line in lines if remainder else lines[:1]:
                self._stdout.print(escape(line), style=style)

    def print_entries(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table whose first column is a path, which has a line of its own on a terminal."""
        if not self._stdout.is_terminal:
            self.print_table(columns, rows)
            return
        width = max(map(len, columns[1:]))
        for first, *others in rows:
            self._stdout.print(f"[title]{escape(sanitize_line(first))}[/]")
            for label, cell in zip(columns[1:], others, strict=True):
                line = _wrapped(
                    self._stdout, f"  {label.ljust(width)}  {sanitize_line(cell)}", width + 2
                )
                self._stdout.print(escape(line))

    def print_facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Labels and values, one pair a line."""
        shown = [(label, sanitize_line(value)) for label, value in pairs if value]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            self._stdout.print(f"[quiet]{escape(label.ljust(width))}[/]  {escape(value)}")

    def print_heading(self, text: str) -> None:
        """A heading within the result."""
        self._stdout.print(f"\n[title]{escape(sanitize(text))}[/]")

    def print_item(self, text: str) -> None:
        """A line of a list within the result, wrapped on a terminal."""
        self._stdout.print(escape(_wrapped(self._stdout, sanitize(text), indent=2)))

    # guidance, on stderr

    def print_note(self, text: str, *, command: str = "") -> None:
        """One sentence of guidance, and its command."""
        self._stderr.print(escape(_wrapped(self._stderr, sanitize(text))))
        if command:
            self.print_command(command)

    def print_command(self, text: str) -> None:
        """A command or a URL, on a line of its own, ready to copy."""
        self._stderr.print(f"  [command]{escape(sanitize(text))}[/]")

    def print_blank(self) -> None:
        """An empty line."""
        self._stderr.print()

    def print_success(self, text: str) -> None:
        """One sentence that something has succeeded."""
        self._stderr.print(f"[good]✓[/] {escape(sanitize(text))}")

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """A line on a terminal that shows the progress, and disappears at the end; none in a
        pipe."""
        if self.as_json or not self._stderr.is_terminal:
            yield lambda _text: None
            return
        with self._stderr.status("") as status:
            yield lambda text: status.update(escape(sanitize(text)))

    def print_failure(self, text: str) -> None:
        """One line that something has failed; details are printed elsewhere."""
        if not self.as_json:
            self._stderr.print(f"[bad]✗[/] {escape(sanitize(text))}")

    def print_explanation(self, explanation: Explanation, *, is_requested: bool = False) -> None:
        """What happened, why, what to do, and the commands for it; on stdout if the explanation is
        the result."""
        if self.as_json:
            self._stderr.out(to_json({"error": explanation_to_json(explanation)}), highlight=False)
            return
        console = self._stdout if is_requested else self._stderr
        self._print_with_mark(explanation, console)
        # A confirmed cause is the title already: only its evidence is left to print.
        is_confirmed = (
            len(explanation.causes) == 1 and explanation.causes[0].title == explanation.title
        )
        is_only_group = is_requested and len(explanation.groups) == 1
        heading = "How it is known" if is_confirmed else "What may be behind it"
        if explanation.causes:
            console.print(f"\n  [title]{heading}[/]  [quiet]{explanation.class_title}[/]")
        for group, causes in explanation.groups:
            if group and not is_confirmed:
                console.print(f"\n  [title]{escape(group)}[/]")
            for cause in causes:
                if is_confirmed:
                    self._print_evidence(cause, console)
                else:
                    self._print_cause(
                        cause,
                        console,
                        show_fix=True,
                        explanation=explanation,
                        is_only_group=is_only_group,
                    )
        for cause in explanation.ruled_out:
            self._print_cause(cause, console, show_fix=False, explanation=explanation)
        self._print_question(explanation, console)

    def print_incident(self, explanation: Explanation, facts: Iterable[tuple[str, str]]) -> None:
        """One cause of many failures, with `facts` (labels and values). Only causes that some
        evidence supports are printed at length."""
        console = self._stderr
        self._print_with_mark(explanation, console)
        shown = [(label, sanitize_line(value)) for label, value in facts if value]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            console.print(_fact_line(console, label, width, value))
        if explanation.causes:
            console.print("  [title]What may be behind it[/]")
        likely = [each for each in explanation.causes if each.confidence is not Confidence.POSSIBLE]
        for cause in likely:
            self._print_cause(cause, console, show_fix=True, explanation=explanation)
        possible = [each for each in explanation.causes if each not in likely]
        others = "; ".join(each.title for each in possible if not each.evidence_against)
        if others:
            shape = CONFIDENCE_MARKS[Confidence.POSSIBLE][0]
            console.print(escape(_wrapped(console, f"  {shape} Possible: {sanitize(others)}.", 2)))
        self._print_question(explanation, console)

    def _print_with_mark(self, explanation: Explanation, console: "Console") -> None:
        mark, style = ("✗", "bad") if explanation.exit_code else ("✓", "good")
        self._print_summary(explanation, console, mark, style)

    def print_caution(self, explanation: Explanation) -> None:
        """What may go wrong later, and what prevents it."""
        if not self.as_json:
            self._print_summary(explanation, self._stderr, "◐", "wait")

    def _print_summary(
        self, explanation: Explanation, console: "Console", mark: str, style: str
    ) -> None:
        console.print(f"[{style}]{mark} {escape(sanitize(explanation.title))}[/]")
        for text in (explanation.cause, explanation.fix):
            console.print(escape(self._indented_text(sanitize(text))))
        for step in explanation.next_steps:
            if step.command:
                console.print(f"    [command]{escape(sanitize(step.command))}[/]", end="  ")
                console.print(f"[quiet]{escape(sanitize(step.label))}[/]")

    def _print_cause(
        self,
        cause: Cause,
        console: "Console",
        *,
        show_fix: bool,
        explanation: Explanation,
        is_only_group: bool = False,
    ) -> None:
        """A possible cause with its evidence, and its fix if that differs from the
        explanation's."""
        shape, style = CONFIDENCE_MARKS[cause.confidence]
        title = (
            f"{escape(sanitize(cause.title))}  [quiet]{cause.confidence.value.replace('_', ' ')}[/]"
        )
        console.print(f"  [{style}]{shape}[/] {title}")
        self._print_evidence(cause, console)
        has_other_fix = (
            cause.fix != explanation.fix
            if is_only_group
            else cause.next_steps != explanation.next_steps
        )
        if show_fix and has_other_fix:
            console.print(_evidence_line(console, "→", cause.fix))

    def _print_evidence(self, cause: Cause, console: "Console") -> None:
        for mark, sentences in (("+", cause.evidence_for), ("−", cause.evidence_against)):
            for sentence in sentences:
                console.print(f"[quiet]{_evidence_line(console, mark, sentence)}[/]")

    def _print_question(self, explanation: Explanation, console: "Console") -> None:
        if explanation.question:
            console.print()
            console.print(escape(_wrapped(console, f"  ? {sanitize(explanation.question)}", 2)))
        for option in explanation.answer_options:
            if option.command:
                console.print(f"    [command]{escape(sanitize(option.command))}[/]", end="  ")
                console.print(f"[quiet]{escape(option.label)}[/]")
        console.print(f"  [quiet]({explanation.code})[/]")

    def _indented_text(self, text: str) -> str:
        """`text` indented by two columns and wrapped; one line in a pipe."""
        return _wrapped(self._stderr, f"  {text}")

    def print_step(self, step: VerificationStep) -> None:
        """One step of a verification as it ends, with its evidence."""
        shape, style = STEP_MARKS[step.state]
        observed = map(describe_evidence, step.evidence)
        evidence = " · ".join(f"{each.label}: {each.text}" for each in observed)
        title = step_title(step.name)
        self._stderr.print(f"[{style}]{shape}[/] {title}[quiet]: {step.state.value}[/]")
        if evidence:
            self._stderr.print(f"[quiet]{escape(self._indented_text(sanitize(evidence)))}[/]")

    def print_report(self, report: VerificationReport) -> None:
        """The steps of a verification report, within the result."""
        for step in report.steps:
            shape, style = STEP_MARKS[step.state]
            self._stdout.print(
                f"[{style}]{shape}[/] {step_title(step.name)}[quiet]: {step.state.value}[/]"
            )
            for each in map(describe_evidence, step.evidence):
                self.print_item(f"    {sanitize_line(each.label)}: {sanitize_line(each.text)}")


def print_incidents(renderer: Renderer, incidents: "Sequence[Incident]", now: datetime) -> None:
    """Print each incident: what happened, what it affects, who can re-authorize."""
    for incident in incidents:
        renderer.print_blank()
        renderer.print_incident(incident.explanation, _incident_facts(incident, now))
    if sum(bool(each.to_reauthorize) for each in incidents) > 1:
        renderer.print_blank()
        renderer.print_note(
            "To re-authorize all of them, one after the other:",
            command="zoho-wizard reauthorize --all",
        )


def _incident_facts(incident: "Incident", now: datetime) -> list[tuple[str, str]]:
    suspects_label = "Most likely also" if incident.needs_reauthorization else "Next to stop"
    until = incident.access_tokens_expire_at
    return [
        ("Connections", ", ".join(incident.names) if len(incident.names) > 1 else ""),
        (suspects_label, ", ".join(incident.suspected_names)),
        ("Who signs in", incident.email),
        ("Programs it hits", ", ".join(incident.programs)),
        (
            "Last tokens",
            f"end by {format_time(until, now)}, where Zoho has not ended them" if until else "",
        ),
    ]
