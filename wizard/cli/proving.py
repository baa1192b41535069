"""Climbing the ladder before the person's eyes, and what to say at the top."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wizard.cli.terminal import Terminal
from wizard.document import finding_json
from wizard.errors import WizardError
from wizard.house import House
from wizard.model import Failure, Finding, Grant, GrantState, Rung, RungState
from wizard.validation import headline

SEVERITY = (0, 4, 2, 1, 3, 5, 6)
"""Exit codes from the mildest to the gravest: of several connections the gravest one counts."""


@dataclass(frozen=True)
class Outcome:
    """What proving one grant came to."""

    name: str
    grant: Grant | None
    rungs: tuple[Rung, ...] = ()
    finding: Finding | None = None

    @property
    def exit_code(self) -> int:
        """0 when the grant is proved, else the finding's."""
        return self.finding.exit_code if self.finding else 0

    def to_json(self) -> dict[str, Any]:
        """The outcome as scripts read it; no secret in it."""
        grant = self.grant
        proved = grant is not None and grant.state is GrantState.PROVED
        return {
            "name": self.name,
            "proved": proved and self.finding is None,
            "generation": grant.generation if grant else None,
            "state": grant.state.value if grant else None,
            "headline": headline(grant) if grant else None,
            "account": grant.account if grant else None,
            "organizations": grant.organizations if grant else (),
            "rungs": [
                {"name": rung.name, "state": rung.state, "evidence": rung.evidence, "at": rung.at}
                for rung in self.rungs
            ],
            "error": finding_json(self.finding) if self.finding else None,
        }


@dataclass(frozen=True)
class Climb:
    """What climbing the ladder of one grant came to, not yet put into words."""

    name: str
    grant: Grant | None
    rungs: tuple[Rung, ...]
    failure: Failure | None


def climb(
    house: House, name: str, generation: int, see: Callable[[Rung], None] = lambda _rung: None
) -> Climb:
    """Climb the ladder of grant `generation` of connection `name`, in whatever thread; `see` is
    given each rung. Failures end in the climb's own; nothing is raised for them.
    """
    rungs: list[Rung] = []
    failure: Failure | None = None
    try:
        for rung in house.validation.climb(name, generation):
            rungs.append(rung)
            see(rung)
    except WizardError as error:
        failure = error.failure
    grant = house.store.grant(name, generation)
    if grant is not None and grant.state in (GrantState.DEAD, GrantState.MISMATCH):
        failure = grant.failure or failure
    failed = next((rung for rung in rungs if rung.state is RungState.FAILED), None)
    if failure is None and failed is not None:
        failure = failed.failure or Failure("unknown")
    return Climb(name, grant, tuple(rungs), failure)


def outcome_of(terminal: Terminal, climbed: Climb) -> Outcome:
    """What `climbed` came to, its failure explained."""
    terminal.name = climbed.name
    finding = terminal.explain(climbed.failure) if climbed.failure else None
    return Outcome(climbed.name, climbed.grant, climbed.rungs, finding)


def prove(terminal: Terminal, name: str, generation: int) -> Outcome:
    """Climb the ladder of grant `generation` of connection `name`, painting each rung.

    Failures end in the outcome's finding, which the caller paints; nothing is raised for them.
    """
    terminal.name = name

    def see(rung: Rung) -> None:
        if not terminal.painter.as_json:
            terminal.painter.rung(rung)

    return outcome_of(terminal, climb(terminal.house, name, generation, see))


def conclude(terminal: Terminal, outcome: Outcome) -> None:
    """Say what `outcome` means, and how the proved connection is used."""
    painter = terminal.painter
    if outcome.finding is not None:
        painter.finding(outcome.finding)
    elif outcome.grant is not None:
        painter.good(headline(outcome.grant))


def say_how_to_use(terminal: Terminal, name: str) -> None:
    """The two ways a program can use a proved connection."""
    painter = terminal.painter
    painter.note("A program that asks for a token each time it needs one:")
    painter.command(f"zoho-wizard token {name}")
    painter.note("A program that renews tokens itself:")
    painter.command(f"zoho-wizard show {name} --reveal")


def gravest(codes: list[int]) -> int:
    """The exit code of several outcomes together."""
    return max(codes, key=SEVERITY.index, default=0)
