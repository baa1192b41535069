"""How the terminal shows things: the product on stdout, everything else on stderr.

On a terminal there is colour and shape; into a pipe there are plain lines, tables with tabs; with
``--json`` there is one JSON document. Foreign text (names, Zoho's words) never reaches a terminal
with control characters in it.
"""

import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.theme import Theme

from wizard.document import finding_json, to_json
from wizard.errors import words
from wizard.model import Cause, Confidence, Finding, Receipt, Rung, RungState
from wizard.transport import clean, one_line
from wizard.zoho import product

THEME = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "wait": "yellow",
        "quiet": "dim",
        "command": "bold cyan",
        "title": "bold",
    }
)

SHAPES = {
    RungState.PASSED: ("✓", "good"),
    RungState.FAILED: ("✗", "bad"),
    RungState.SKIPPED: ("–", "quiet"),
    RungState.PARTIAL: ("◐", "wait"),
}
"""A rung's state by shape and word, because colour alone does not reach everybody."""

CONFIDENCES = {
    Confidence.CERTAIN: ("●", "bad"),
    Confidence.LIKELY: ("◕", "wait"),
    Confidence.POSSIBLE: ("○", "quiet"),
    Confidence.RULED_OUT: ("✗", "quiet"),
}
"""How sure a cause is, by shape and word."""

STACKED = 2
"""Columns of a table that stay beside each other where the others have no place."""

WIDEST = 100
"""Columns of running text; longer lines are hard to read."""


def moment(at: datetime | None) -> str:
    """A time for people, in the zone of their machine; ``never`` for None."""
    return "never" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def title_of(rung: Rung) -> str:
    """What a rung asks, in words."""
    kind, _, of = rung.name.partition(":")
    title = product(of).title if of else ""
    return str(words()["rungs"][kind]).format(product=title)


def _folded(console: Console, text: str, hanging: int = 0) -> str:
    """`text` folded between words to a terminal's width, and one line in a pipe.

    Further lines stand as far in as the first, and `hanging` columns more. What is to be copied
    (an address, a path, a scope) is never broken.
    """
    width = min(console.width, WIDEST) if console.is_terminal else sys.maxsize
    margin = text[: len(text) - len(text.lstrip())] + " " * hanging
    return textwrap.fill(
        text, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def _seen(console: Console, mark: str, sentence: str) -> str:
    """A sentence below a cause, after its mark."""
    return escape(_folded(console, f"      {mark} {clean(sentence)}", 2))


def _fact(console: Console, label: str, width: int, value: str) -> str:
    """A label and its value, beside each other below a finding."""
    folded = _folded(console, f"  {label.ljust(width)}  {value}", width + 2)
    return f"[quiet]{escape(folded[: width + 2])}[/]{escape(folded[width + 2 :])}"


class Painter:
    """Paints on the two streams of a terminal."""

    def __init__(self) -> None:
        self.as_json = False
        self._out = Console(theme=THEME, highlight=False, soft_wrap=True)
        self._err = Console(theme=THEME, highlight=False, soft_wrap=True, stderr=True)

    # --- the product, on stdout

    def product(self, text: str) -> None:
        """Print a line that is the command's answer, without any decoration."""
        click.echo(clean(text))

    def document(self, value: Any) -> None:
        """Print `value` as the one JSON document of this run."""
        sys.stdout.write(to_json(value, indent=2) + "\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table for eyes on a terminal, tab-separated lines (no heading) in a pipe.

        Where a terminal is too narrow for it, the first two columns stand on a line of their own
        and the others below: an address that is cut off cannot be copied.
        """
        cleaned = [[one_line(cell) for cell in row] for row in rows]
        if not self._out.is_terminal:
            for row in cleaned:
                self.product("\t".join(row))
            return
        table = Table(
            *columns, box=None, header_style="quiet", pad_edge=False, padding=(0, 2, 0, 0)
        )
        table.columns[0].no_wrap = True
        for row in cleaned:
            table.add_row(*(escape(cell) for cell in row))
        whole = Measurement.get(self._out, self._out.options, table).maximum
        if len(columns) > STACKED and whole >= self._out.width:
            self._stack(columns, cleaned)
        else:
            self._out.print(table)

    def _stack(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        width = max(len(row[0]) for row in rows)
        for place, row in enumerate((columns, *rows)):
            more = " · ".join(cell for cell in row[STACKED:] if cell)
            lines = [f"{row[0].ljust(width)}  {row[1]}", _folded(self._out, f"    {more}")]
            style = "quiet" if place == 0 else "none"
            for line in lines if more else lines[:1]:
                self._out.print(escape(line), style=style)

    def entries(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """As `table`, for rows whose first cell is a path: on a terminal that has a line of its
        own, and the others stand below."""
        if not self._out.is_terminal:
            self.table(columns, rows)
            return
        width = max(map(len, columns[1:]))
        for first, *others in rows:
            self._out.print(f"[title]{escape(one_line(first))}[/]")
            for label, cell in zip(columns[1:], others, strict=True):
                line = _folded(self._out, f"  {label.ljust(width)}  {one_line(cell)}", width + 2)
                self._out.print(escape(line))

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Labels and values, one pair a line."""
        shown = [(label, one_line(value)) for label, value in pairs if value]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            self._out.print(f"[quiet]{escape(label.ljust(width))}[/]  {escape(value)}")

    def heading(self, text: str) -> None:
        """A heading within the product."""
        self._out.print(f"\n[title]{escape(clean(text))}[/]")

    def item(self, text: str) -> None:
        """A line of a list within the product, folded on a terminal."""
        self._out.print(escape(_folded(self._out, clean(text), hanging=2)))

    # --- guidance, on stderr

    def note(self, text: str, *, command: str = "") -> None:
        """One sentence of guidance, with the command that goes with it."""
        self._err.print(escape(_folded(self._err, clean(text))))
        if command:
            self.command(command)

    def command(self, text: str) -> None:
        """A command or an address, on a line of its own, ready to copy."""
        self._err.print(f"  [command]{escape(clean(text))}[/]")

    def blank(self) -> None:
        """An empty line between two thoughts."""
        self._err.print()

    def good(self, text: str) -> None:
        """One sentence that something has succeeded."""
        self._err.print(f"[good]✓[/] {escape(clean(text))}")

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """A line on a terminal that says how far something has come, and goes when it has ended;
        in a pipe there is none."""
        if self.as_json or not self._err.is_terminal:
            yield lambda _text: None
            return
        with self._err.status("") as status:
            yield lambda text: status.update(escape(clean(text)))

    def bad(self, text: str) -> None:
        """One line that something has failed, of which more is said elsewhere."""
        if not self.as_json:
            self._err.print(f"[bad]✗[/] {escape(clean(text))}")

    def finding(self, finding: Finding, *, asked_for: bool = False) -> None:
        """A failure explained: what happened, why, what to do, and the commands that do it; on
        stdout where the explanation is what was asked for."""
        if self.as_json:
            self._err.out(to_json({"error": finding_json(finding)}), highlight=False)
            return
        console = self._out if asked_for else self._err
        self._told(finding, console)
        # A cause that is certain has made the finding its own: of it only the proof is left to say.
        proved = len(finding.causes) == 1 and finding.causes[0].title == finding.title
        whole = asked_for and len(finding.groups) == 1
        heading = "How it is known" if proved else "What may be behind it"
        if finding.causes:
            console.print(f"\n  [title]{heading}[/]  [quiet]{finding.class_title}[/]")
        for group, causes in finding.groups:
            if group and not proved:
                console.print(f"\n  [title]{escape(group)}[/]")
            for cause in causes:
                if proved:
                    self._signs(cause, console)
                else:
                    self._cause(cause, console, remedy=True, of=finding, whole=whole)
        for cause in finding.ruled_out:
            self._cause(cause, console, remedy=False, of=finding)
        self._question(finding, console)

    def trouble(self, finding: Finding, facts: Iterable[tuple[str, str]]) -> None:
        """One cause of many failures, with what is known beside it (labels and values). Of what may
        be behind it only that is told at length for which something speaks."""
        console = self._err
        self._told(finding, console)
        shown = [(label, one_line(value)) for label, value in facts if value]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            console.print(_fact(console, label, width, value))
        if finding.causes:
            console.print("  [title]What may be behind it[/]")
        likely = [each for each in finding.causes if each.confidence is not Confidence.POSSIBLE]
        for cause in likely:
            self._cause(cause, console, remedy=True, of=finding)
        possible = [each for each in finding.causes if each not in likely]
        others = "; ".join(each.title for each in possible if not each.evidence_against)
        if others:
            shape = CONFIDENCES[Confidence.POSSIBLE][0]
            console.print(escape(_folded(console, f"  {shape} Possible: {clean(others)}.", 2)))
        self._question(finding, console)

    def _told(self, finding: Finding, console: Console) -> None:
        mark, style = ("✗", "bad") if finding.exit_code else ("✓", "good")
        self._finding(finding, console, mark, style)

    def caution(self, finding: Finding) -> None:
        """What may go wrong later, and what keeps it from that."""
        if not self.as_json:
            self._finding(finding, self._err, "◐", "wait")

    def _finding(self, finding: Finding, console: Console, mark: str, style: str) -> None:
        console.print(f"[{style}]{mark} {escape(clean(finding.title))}[/]")
        for text in (finding.cause, finding.remedy):
            console.print(escape(self._indented(clean(text))))
        for step in finding.steps:
            if step.command:
                console.print(f"    [command]{escape(clean(step.command))}[/]", end="  ")
                console.print(f"[quiet]{escape(clean(step.label))}[/]")

    def _cause(
        self, cause: Cause, console: Console, *, remedy: bool, of: Finding, whole: bool = False
    ) -> None:
        """What may be behind a failure, with what was seen; with its remedy where that takes other
        steps than the finding's, or, `whole`, wherever it is another."""
        shape, style = CONFIDENCES[cause.confidence]
        title = f"{escape(clean(cause.title))}  [quiet]{cause.confidence.value}[/]"
        console.print(f"  [{style}]{shape}[/] {title}")
        self._signs(cause, console)
        differs = cause.remedy != of.remedy if whole else cause.steps != of.steps
        if remedy and differs:
            console.print(_seen(console, "→", cause.remedy))

    def _signs(self, cause: Cause, console: Console) -> None:
        for mark, seen in (("+", cause.evidence_for), ("−", cause.evidence_against)):
            for sentence in seen:
                console.print(f"[quiet]{_seen(console, mark, sentence)}[/]")

    def _question(self, finding: Finding, console: Console) -> None:
        if finding.question:
            console.print()
            console.print(escape(_folded(console, f"  ? {clean(finding.question)}", 2)))
        for answer in finding.answers:
            if answer.command:
                console.print(f"    [command]{escape(clean(answer.command))}[/]", end="  ")
                console.print(f"[quiet]{escape(answer.label)}[/]")
        console.print(f"  [quiet]({finding.code})[/]")

    def _indented(self, text: str) -> str:
        """`text` two columns in, folded to a terminal's width; one line in a pipe."""
        return _folded(self._err, f"  {text}")

    def rung(self, rung: Rung) -> None:
        """One rung of the ladder as it is climbed, with what was seen."""
        shape, style = SHAPES[rung.state]
        seen = " · ".join(f"{key}: {value}" for key, value in rung.evidence.items())
        self._err.print(f"[{style}]{shape}[/] {title_of(rung)}[quiet]: {rung.state.value}[/]")
        if seen:
            self._err.print(f"[quiet]{escape(self._indented(clean(seen)))}[/]")

    def receipt(self, receipt: Receipt) -> None:
        """The rungs of a receipt, within the product."""
        for rung in receipt.rungs:
            shape, style = SHAPES[rung.state]
            self._out.print(f"[{style}]{shape}[/] {title_of(rung)}[quiet]: {rung.state.value}[/]")
            for key, value in rung.evidence.items():
                self.item(f"    {one_line(key)}: {one_line(value)}")
