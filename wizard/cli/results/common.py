"""Errors and cautions as commands print them with ``--json``."""

from dataclasses import dataclass

from wizard.model import Explanation
from wizard.serialization import ErrorReport, commands_of


@dataclass(frozen=True)
class ErrorDocument:
    """The last line on stderr of a command that failed before it had a result."""

    error: ErrorReport


@dataclass(frozen=True)
class Caution:
    """Something that may go wrong later, and what prevents it."""

    code: str
    title: str
    cause: str
    fix: str
    commands: tuple[str, ...]


def caution_of(explanation: Explanation) -> Caution:
    """A caution as scripts read it."""
    return Caution(
        explanation.code,
        explanation.title,
        explanation.cause,
        explanation.fix,
        commands_of(explanation),
    )
