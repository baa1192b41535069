"""Failures and their explanations.

A *failure* is data; an *explanation* is a failure in words, with its causes ranked and its next
steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import groupby

from wizard.model.failure_codes import FailureKind, exit_code_of, kind_of


@dataclass(frozen=True)
class HttpExchange:
    """One HTTP request and its response with all secrets masked, safe to show and store."""

    method: str
    url: str
    parameters: Mapping[str, str]
    """The parameters sent; a secret value is ``(masked)``."""
    status: int | None
    """HTTP status of the response; None if there was none."""
    response_body: str
    """The start of the body, masked, at most 2,000 characters."""
    at: datetime


@dataclass(frozen=True)
class Failure:
    """What went wrong, as data. The words are in the message table under ``code``."""

    code: str
    """Kebab-case; a key of the message table."""
    zoho_error: str = ""
    """Zoho's own error word, such as ``invalid_code``; empty if there is none."""
    temporary: bool = False
    """Waiting or trying again may help; it says nothing about a token."""
    sent: bool = True
    """False if the request certainly never reached the server."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Values of the message: a host, a name, a file. Never a secret."""
    exchange: HttpExchange | None = None
    retry_at: datetime | None = None

    @property
    def kind(self) -> FailureKind:
        """What the failure is about."""
        return kind_of(self.code)


@dataclass(frozen=True)
class NextStep:
    """One step that fixes a failure: a button on a page and a command in a terminal."""

    label: str
    command: str = ""
    path: str = ""
    """Path of the page that offers the step; empty if there is none."""


class Confidence(StrEnum):
    """How certain a cause is, the most certain first."""

    CONFIRMED = "confirmed"
    """Nothing else fits the evidence."""
    LIKELY = "likely"
    """Some evidence is for it, none against it."""
    POSSIBLE = "possible"
    """Zoho returns the same error for it, and no evidence decides."""
    RULED_OUT = "ruled_out"
    """The evidence excludes it."""


@dataclass(frozen=True)
class Cause:
    """One possible cause of a failure, in words."""

    code: str
    """Kebab-case; a key of the message table."""
    title: str
    explanation: str
    confidence: Confidence
    evidence_for: tuple[str, ...] = ()
    """Sentences about what was observed."""
    evidence_against: tuple[str, ...] = ()
    fix: str = ""
    next_steps: tuple[NextStep, ...] = ()
    group: str = ""
    """The heading of its group; empty if there are no groups."""


@dataclass(frozen=True)
class AnswerOption:
    """One possible answer to the question of an explanation."""

    answers: tuple[str, ...]
    """All answers up to this one, as values of ``--answer``, in order."""
    label: str
    command: str = ""
    """The command that gives this answer; empty if what was diagnosed is unknown."""
    path: str = ""
    """The page that shows the explanation with it; empty if there is none."""


@dataclass(frozen=True)
class Explanation:
    """A failure explained: what happened, why, what to do.

    Zoho returns one error for many causes. Such causes form a class; the explanation ranks them by
    the evidence, and asks one question if the evidence doesn't decide.
    """

    code: str
    title: str
    cause: str
    fix: str
    next_steps: tuple[NextStep, ...] = ()
    failure: Failure | None = None
    failure_class: str = ""
    """Kebab-case, for causes with the same error; empty if there is one cause only."""
    class_title: str = ""
    causes: tuple[Cause, ...] = ()
    """The most likely first."""
    ruled_out: tuple[Cause, ...] = ()
    question: str = ""
    """The question that would decide; empty if the evidence decides or all was answered."""
    answer_options: tuple[AnswerOption, ...] = ()
    """The possible answers to the question."""

    @property
    def kind(self) -> FailureKind:
        """What the failure is about."""
        return kind_of(self.code)

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this explanation."""
        return exit_code_of(self.code)

    @property
    def groups(self) -> tuple[tuple[str, tuple[Cause, ...]], ...]:
        """The causes under their headings; one group without a heading if there are none."""
        found = groupby(self.causes, key=lambda each: each.group)
        return tuple((heading, tuple(causes)) for heading, causes in found)
