"""The renderer of the terminal: results go to stdout, everything else to stderr.

A terminal gets color, a pipe gets plain lines and tables with tabs, ``--json`` gets JSON. Text from
outside (names, Zoho's responses) never reaches a terminal with control characters in it.
"""

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from wizard.connection_details import describe_evidence, step_title
from wizard.errors import message
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

MAX_TEXT_COLUMNS = 100
"""Of running text; longer lines are hard to read."""


_NO_BREAK_SPACE = "\u00a0"

Part = str | tuple[str, str]
"""A text, or a text and its style."""


def _wrapped(output: "_Output", text: str, indent: int = 0) -> str:
    """`text` wrapped between words to a terminal's width, and one line in a pipe.

    Further lines are indented as the first, and `indent` columns more. What is to be copied (a URL,
    a path, a scope, a command in backticks) is never broken.
    """
    width = min(output.width, MAX_TEXT_COLUMNS) if output.is_terminal else sys.maxsize
    bullet = re.match(r"• |\d+\. ", text.lstrip())
    margin = " " * (_margin(text) + indent + (bullet.end() if bullet else 0))
    unbroken = re.sub(r"`[^`\n]*`", lambda code: code[0].replace(" ", _NO_BREAK_SPACE), text)
    lines = textwrap.fill(
        unbroken.lstrip(),
        width,
        initial_indent=" " * _margin(text),
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(_NO_BREAK_SPACE, " ")


def _evidence_line(output: "_Output", mark: str, sentence: str) -> str:
    """A sentence below a cause, after its mark."""
    return _wrapped(output, f"      {mark} {sanitize(sentence)}", 2)


def _fact_line(
    output: "_Output", label: str, width: int, value: str, style: str = "quiet"
) -> list[Part]:
    """A label and its value, below an explanation or the title of a record."""
    return _labeled(output, f"  {label.ljust(width)}", value, style)


def _labeled(output: "_Output", label: str, value: str, style: str = "quiet") -> list[Part]:
    """A label and its value, which is wrapped in its own column. If a word of it doesn't fit there,
    such as a path, the value is below the label."""
    fits = not output.is_terminal or max(map(len, value.split()), default=0) <= (
        output.width - len(label) - 2
    )
    if not fits:
        return [(label.rstrip(), style), f"\n{_wrapped(output, f'    {value}')}"]
    folded = _wrapped(output, f"{label}  {value}", len(label) + 2 - _margin(label))
    return [(label, style), folded[len(label) :]]


def _margin(text: str) -> int:
    return len(text) - len(text.lstrip())


def _print_choice(output: "_Output", command: str, label: str) -> None:
    """A command and what it does, in one line if they fit."""
    command, label = sanitize(command), sanitize(label)
    fits = not output.is_terminal or len(command) + len(label) + 6 <= output.width
    gap = "  " if fits else "\n      "
    output.print("    ", (command, "command"), gap, (label, "quiet"))


class _Output:
    """Stdout or stderr. Rich is slow to load, so it's used on terminals only."""

    def __init__(self, *, is_stderr: bool) -> None:
        self._is_stderr = is_stderr
        self.is_terminal = (sys.stderr if is_stderr else sys.stdout).isatty()

    @cached_property
    def console(self) -> "Console":
        """The terminal."""
        from rich.console import Console
        from rich.theme import Theme

        theme = Theme(STYLES)
        return Console(theme=theme, highlight=False, soft_wrap=True, stderr=self._is_stderr)

    @property
    def width(self) -> int:
        """Of the terminal, in columns."""
        return self.console.width

    def print(self, *parts: Part) -> None:
        """Print a line of text. Each part may have one of the `STYLES`."""
        if not self.is_terminal:
            texts = (part if isinstance(part, str) else part[0] for part in parts)
            click.echo("".join(texts), err=self._is_stderr)
            return
        from rich.text import Text

        self.console.print(Text.assemble(*parts))


class Renderer:
    """Prints on stdout and stderr."""

    def __init__(self) -> None:
        self.as_json = False

    # On first use: tests replace the streams.

    @cached_property
    def _stdout(self) -> _Output:
        return _Output(is_stderr=False)

    @cached_property
    def _stderr(self) -> _Output:
        return _Output(is_stderr=True)

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

    def print_raw(self, text: str, *, is_stderr: bool = False) -> None:
        """Print `text` unchanged: a token, lines that a program reads, or what the service says."""
        click.echo(text, nl=not text.endswith("\n"), err=is_stderr)

    def print_table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        wraps_last: bool = False,
    ) -> None:
        """A table on a terminal, tab-separated lines without a heading in a pipe; on a terminal
        that is too narrow, one record per row. `wraps_last`: the last column may have several
        lines."""
        cleaned = [[sanitize_line(cell) for cell in row] for row in rows]
        if not self._stdout.is_terminal:
            for row in cleaned:
                self.print_output("\t".join(row))
            return
        from rich.measure import Measurement
        from rich.table import Table
        from rich.text import Text

        shown = [
            index for index, _ in enumerate(columns) if not index or any(r[index] for r in cleaned)
        ]
        table = Table(
            *(columns[index] for index in shown),
            box=None,
            header_style="quiet",
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        for column in table.columns[: -1 if wraps_last else 1]:
            column.no_wrap = True
        for row in cleaned:
            table.add_row(*(Text(row[index]) for index in shown))
        console = self._stdout.console
        # Without a limit: with one, a table that is too wide seems to fit.
        required = Measurement.get(console, console.options.update(max_width=sys.maxsize), table)
        required_width = required.minimum if wraps_last else required.maximum
        if len(shown) > 1 and required_width > console.width:
            self._print_records(columns, cleaned)
        else:
            console.print(table)

    def print_records(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table whose first column is a path: one record per row on a terminal."""
        if self._stdout.is_terminal:
            self._print_records(columns, [[sanitize_line(cell) for cell in row] for row in rows])
        else:
            self.print_table(columns, rows)

    def _print_records(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """For each row its first cell, and below it the label and the value of each other one."""
        width = max(map(len, columns[1:]))
        for first, *others in rows:
            self._stdout.print((first, "title"))
            for label, cell in zip(columns[1:], others, strict=True):
                if cell:
                    self._stdout.print(*_fact_line(self._stdout, label, width, cell))

    def print_facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Labels and values, one pair a line."""
        shown = [(label, sanitize_line(value)) for label, value in pairs if value]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            self._stdout.print(*_labeled(self._stdout, label.ljust(width), value))

    def print_heading(self, text: str) -> None:
        """A heading within the result."""
        self._stdout.print("\n", (sanitize(text), "title"))

    def print_item(self, text: str) -> None:
        """A line of a list within the result, wrapped on a terminal."""
        self._stdout.print(_wrapped(self._stdout, sanitize(text), indent=2))

    def print_letter(self, text: str) -> None:
        """A text to forward, of several lines, each wrapped on a terminal."""
        for line in sanitize(text).splitlines():
            self._stdout.print(_wrapped(self._stdout, line))

    # guidance, on stderr

    def print_note(self, text: str, *, command: str = "", hanging_columns: int = 0) -> None:
        """One sentence of guidance, and its command. Further lines are indented by
        `hanging_columns`."""
        self._stderr.print(_wrapped(self._stderr, sanitize(text), hanging_columns))
        if command:
            self.print_command(command)

    def print_command(self, text: str) -> None:
        """A command or a URL, on a line of its own, ready to copy."""
        self._stderr.print("  ", (sanitize(text), "command"))

    def print_choices(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Words that an option takes and what each means, one pair a line."""
        width = max((len(word) for word, _ in pairs), default=0)
        for word, meaning in pairs:
            self._stderr.print(*_fact_line(self._stderr, word, width, sanitize_line(meaning)))

    def print_blank(self) -> None:
        """An empty line."""
        self._stderr.print()

    def print_success(self, text: str) -> None:
        """One sentence that something has succeeded."""
        self._print_marked("✓", "good", text)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """A line on a terminal that shows the progress, and disappears at the end; none in a
        pipe."""
        if self.as_json or not self._stderr.is_terminal:
            yield lambda _text: None
            return
        from rich.text import Text

        with self._stderr.console.status("") as status:
            yield lambda text: status.update(Text(sanitize(text)))

    def print_failure(self, text: str) -> None:
        """One line that something has failed; details are printed elsewhere."""
        if not self.as_json:
            self._print_marked("✗", "bad", text)

    def _print_marked(self, mark: str, style: str, text: str) -> None:
        folded = _wrapped(self._stderr, f"{mark} {sanitize(text)}", 2)
        self._stderr.print((mark, style), folded[len(mark) :])

    def print_explanation(self, explanation: Explanation, *, is_requested: bool = False) -> None:
        """What happened, why, what to do, and the commands for it; on stdout if the explanation is
        the result."""
        if self.as_json:
            click.echo(to_json({"error": explanation_to_json(explanation)}), err=True)
            return
        output = self._stdout if is_requested else self._stderr
        self._print_with_mark(explanation, output)
        # A confirmed cause is the title already: only its evidence is left to print.
        is_confirmed = (
            len(explanation.causes) == 1 and explanation.causes[0].title == explanation.title
        )
        is_only_group = is_requested and len(explanation.groups) == 1
        heading = "Evidence" if is_confirmed else "Possible causes"
        if explanation.causes:
            line = _fact_line(output, heading, 0, explanation.class_title, "title")
            output.print("\n", *line)
        for group, causes in explanation.groups:
            if group and not is_confirmed:
                output.print("\n  ", (group, "title"))
            for cause in causes:
                if is_confirmed:
                    self._print_evidence(cause, output)
                else:
                    self._print_cause(
                        cause,
                        output,
                        show_fix=True,
                        explanation=explanation,
                        is_only_group=is_only_group,
                    )
        for cause in explanation.ruled_out:
            self._print_cause(cause, output, show_fix=False, explanation=explanation)
        self._print_question(explanation, output)

    def print_incident(self, explanation: Explanation, facts: Iterable[tuple[str, str]]) -> None:
        """One cause of many failures, with `facts` (labels and values). Only causes that some
        evidence supports are printed at length."""
        output = self._stderr
        self._print_with_mark(explanation, output)
        shown = [(label, sanitize_line(value)) for label, value in facts if value]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            output.print(*_fact_line(output, label, width, value))
        if explanation.causes:
            output.print("  ", ("Possible causes", "title"))
        likely = [each for each in explanation.causes if each.confidence is not Confidence.POSSIBLE]
        for cause in likely:
            self._print_cause(cause, output, show_fix=True, explanation=explanation)
        possible = [each for each in explanation.causes if each not in likely]
        others = "; ".join(each.title for each in possible if not each.evidence_against)
        if others:
            shape = CONFIDENCE_MARKS[Confidence.POSSIBLE][0]
            text = message("notes", "possible-causes", causes=sanitize(others))
            output.print(_wrapped(output, f"  {shape} {text}", 2))
        self._print_question(explanation, output)

    def _print_with_mark(self, explanation: Explanation, output: _Output) -> None:
        mark, style = ("✗", "bad") if explanation.exit_code else ("✓", "good")
        self._print_summary(explanation, output, mark, style)

    def print_caution(self, explanation: Explanation) -> None:
        """What may go wrong later, and what prevents it."""
        if not self.as_json:
            self._print_summary(explanation, self._stderr, "◐", "wait")

    def _print_summary(
        self, explanation: Explanation, output: _Output, mark: str, style: str
    ) -> None:
        output.print((_wrapped(output, f"{mark} {sanitize(explanation.title)}", 2), style))
        for text in (explanation.cause, explanation.fix):
            output.print(self._indented_text(sanitize(text)))
        for step in explanation.next_steps:
            if step.command:
                _print_choice(output, step.command, step.label)

    def _print_cause(
        self,
        cause: Cause,
        output: _Output,
        *,
        show_fix: bool,
        explanation: Explanation,
        is_only_group: bool = False,
    ) -> None:
        """A possible cause with its evidence, and its fix if that differs from the
        explanation's."""
        shape, style = CONFIDENCE_MARKS[cause.confidence]
        confidence = cause.confidence.value.replace("_", " ")
        title = f" {sanitize(cause.title)}  "
        output.print("  ", (shape, style), title, (confidence, "quiet"))
        self._print_evidence(cause, output)
        has_other_fix = (
            cause.fix != explanation.fix
            if is_only_group
            else cause.next_steps != explanation.next_steps
        )
        if show_fix and has_other_fix:
            output.print(_evidence_line(output, "→", cause.fix))

    def _print_evidence(self, cause: Cause, output: _Output) -> None:
        for mark, sentences in (("+", cause.evidence_for), ("−", cause.evidence_against)):
            for sentence in sentences:
                output.print((_evidence_line(output, mark, sentence), "quiet"))

    def _print_question(self, explanation: Explanation, output: _Output) -> None:
        if explanation.question:
            output.print()
            output.print(_wrapped(output, f"  ? {sanitize(explanation.question)}", 2))
        for option in explanation.answer_options:
            if option.command:
                _print_choice(output, option.command, option.label)
        output.print("  ", (f"({explanation.code})", "quiet"))

    def _indented_text(self, text: str) -> str:
        """`text` indented by two columns and wrapped; one line in a pipe."""
        return _wrapped(self._stderr, f"  {text}")

    def print_step(self, step: VerificationStep) -> None:
        """One step of a verification as it ends, with its evidence."""
        shape, style = STEP_MARKS[step.state]
        observed = map(describe_evidence, step.evidence)
        evidence = " · ".join(f"{each.label}: {each.text}" for each in observed)
        title = step_title(step.name)
        self._stderr.print((shape, style), f" {title}", (f": {step.state.value}", "quiet"))
        if evidence:
            self._stderr.print((self._indented_text(sanitize(evidence)), "quiet"))

    def print_report(self, report: VerificationReport, *, is_outdated: bool) -> None:
        """The steps of a verification report, within the result. Of an outdated one, only what
        failed has a mark: the rest may not apply anymore."""
        for step in report.steps:
            shape, style = STEP_MARKS[step.state]
            state = step.state.value
            if is_outdated and step.state is not StepState.FAILED:
                shape, style, state = "·", "quiet", f"{state} earlier"
            self._stdout.print((shape, style), f" {step_title(step.name)}", (f": {state}", "quiet"))
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
            message("notes", "reauthorize-all"),
            command="zoho-wizard reauthorize --all",
        )


def _incident_facts(incident: "Incident", now: datetime) -> list[tuple[str, str]]:
    suspects_label = "Probably affected" if incident.needs_reauthorization else "Fails next"
    until = incident.access_tokens_expire_at
    names = (*incident.names, *incident.suspected_names)
    return [
        ("Connections", ", ".join(incident.names) if len(names) > 1 else ""),
        (suspects_label, ", ".join(incident.suspected_names)),
        ("Sign in as", incident.email),
        ("Affected programs", ", ".join(incident.programs)),
        (
            "Access tokens valid until",
            message("notes", "tokens-valid-until", at=format_time(until, now)) if until else "",
        ),
    ]
