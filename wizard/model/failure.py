"""What went wrong: an exchange, a failure, and the finding that explains it.

A *failure* is data; a *finding* is a failure in words, with its causes ranked and its remedies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import groupby

from wizard.model.failure_codes import FailureKind, exit_code_of, kind_of


@dataclass(frozen=True)
class HttpExchange:
    """One HTTP request and its answer with every secret masked, fit to be shown and stored."""

    method: str
    url: str
    parameters: Mapping[str, str]
    """The parameters sent; a secret value reads ``(masked)``."""
    status: int | None
    """HTTP status of the answer, None where no answer came."""
    response_body: str
    """The start of the body, masked, at most 2,000 characters."""
    at: datetime


@dataclass(frozen=True)
class Failure:
    """What went wrong, as data. The words for users stand in one table, under ``code``."""

    code: str
    """Kebab-case; a key of the table of words."""
    zoho_error: str = ""
    """What Zoho itself said (``invalid_code``), empty where Zoho said nothing."""
    temporary: bool = False
    """Waiting or repeating may help; no verdict on any token follows from it."""
    sent: bool = True
    """False when the request certainly did not reach the other side."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What the words need to be precise: a host, a name, a file. Never a secret."""
    exchange: HttpExchange | None = None
    retry_at: datetime | None = None

    @property
    def kind(self) -> FailureKind:
        """What the failure is about."""
        return kind_of(self.code)


@dataclass(frozen=True)
class NextStep:
    """One step that mends a failure: a button on a page and a command in a terminal."""

    label: str
    command: str = ""
    path: str = ""
    """Path of the wizard's page that offers the step, empty where there is none."""


class Confidence(StrEnum):
    """How sure a cause is, the surest first."""

    CONFIRMED = "confirmed"
    """Nothing else fits what was seen."""
    LIKELY = "likely"
    """Something that was seen speaks for it, and nothing against it."""
    POSSIBLE = "possible"
    """Zoho answers it alike, and nothing that is known decides."""
    RULED_OUT = "ruled_out"
    """Something that was seen cannot be, if it were so."""


@dataclass(frozen=True)
class Cause:
    """One thing that may have brought a failure about, in words."""

    code: str
    """Kebab-case; a key of the table of words."""
    title: str
    explanation: str
    confidence: Confidence
    evidence_for: tuple[str, ...] = ()
    """Sentences about what was seen."""
    evidence_against: tuple[str, ...] = ()
    fix: str = ""
    next_steps: tuple[NextStep, ...] = ()
    group: str = ""
    """The heading it stands under, where those of one finding stand under several."""


@dataclass(frozen=True)
class AnswerOption:
    """One answer that a person may give to the question of a finding."""

    answers: tuple[str, ...]
    """Every answer up to this one, in the words of ``--answer``, in their order."""
    label: str
    command: str = ""
    """The command that gives it; empty where nobody knows what the person asked about."""
    path: str = ""
    """The page that shows the finding with it; empty where there is none."""


@dataclass(frozen=True)
class Explanation:
    """A failure explained: what happened, why, what to do.

    Zoho answers many causes with one word. Such causes form a class, and the finding ranks them
    by what separates them; where nothing does, it asks the person one question.
    """

    code: str
    title: str
    cause: str
    fix: str
    next_steps: tuple[NextStep, ...] = ()
    failure: Failure | None = None
    failure_class: str = ""
    """Kebab-case, of the causes that are answered alike; empty where there is one cause only."""
    class_title: str = ""
    causes: tuple[Cause, ...] = ()
    """The likeliest first."""
    ruled_out: tuple[Cause, ...] = ()
    question: str = ""
    """What one would have to know to decide; empty where the evidence has decided, or a person
    has said what there is to say."""
    answer_options: tuple[AnswerOption, ...] = ()
    """What a person may say to that."""

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
        """The causes under their headings; one group without a heading where they have none."""
        found = groupby(self.causes, key=lambda each: each.group)
        return tuple((heading, tuple(causes)) for heading, causes in found)
