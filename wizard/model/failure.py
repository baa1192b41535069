"""Failures and their explanations.

A *failure* is data; an *explanation* is a failure in words, with its causes ranked and its next
steps. The table `failure_codes.toml` has kind, exit code, HTTP status and class of each failure
code; a module that needs the codes of a kind, or with an attribute, gets them from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from itertools import groupby
from typing import Any

from wizard.tables import read_table


class FailureKind(StrEnum):
    """What a failure is about; the table explains each kind."""

    NETWORK = "network"
    OUTAGE = "outage"
    RESPONSE = "response"
    LIMIT = "limit"
    API_LIMIT = "api_limit"
    BUSY = "busy"
    CLIENT = "client"
    GRANT = "grant"
    ACCESS_TOKEN = "access_token"  # noqa: S105 a kind, no secret
    UNCONFIRMED = "unconfirmed"
    SCOPE = "scope"
    PERMISSION = "permission"
    ACCOUNT = "account"
    AUTHORIZATION = "authorization"
    REQUEST = "request"
    UNTRUSTED = "untrusted"
    UNKNOWN = "unknown"
    USAGE = "usage"
    NOT_FOUND = "not_found"
    SESSION = "session"
    FORBIDDEN = "forbidden"
    CONFLICT = "conflict"
    KEY = "key"
    STORE = "store"
    BACKUP = "backup"
    DELIVERY = "delivery"
    NOTIFICATION = "notification"
    SYSTEM = "system"
    INFORMATION = "information"


_HTTP_STATUS_OF_EXIT_CODE = {2: 400, 4: 503, 5: 500}
"""For codes whose kind and code have no status of their own; 409 for any other exit code."""


def kind_of(code: str) -> FailureKind:
    """The kind of a failure code; `UNKNOWN` if the table doesn't have it."""
    return _kind_of_code().get(code, FailureKind.UNKNOWN)


def is_failure_code(text: str) -> bool:
    """Whether the table has this code."""
    return text in _kind_of_code()


def codes_of(*kinds: FailureKind) -> frozenset[str]:
    """All codes of these kinds."""
    return frozenset(code for kind in kinds for code in _table()["kinds"][kind]["codes"])


def codes_with(attribute: str) -> tuple[str, ...]:
    """The codes with an attribute, in the order of the table."""
    return tuple(_table()["attributes"][attribute])


def exit_code_of(code: str) -> int:
    """The exit code of the command line for a failure code."""
    own = _table()["exit_codes"].get(code)
    return int(_table()["kinds"][kind_of(code)]["exit_code"] if own is None else own)


def http_status_of(code: str) -> int:
    """The HTTP status of a response that reports a failure code."""
    own = _table()["http_statuses"].get(code) or _table()["kinds"][kind_of(code)].get("http_status")
    return int(own or _HTTP_STATUS_OF_EXIT_CODE.get(exit_code_of(code), 409))


def class_of(code: str) -> str:
    """The class of failures with the same error from Zoho; empty if the code has one cause only."""
    return _class_of_code().get(code, "")


def state_of(code: str) -> str | None:
    """The state of a connection whose grant or last check failed with a code; None if the code
    doesn't decide it."""
    return _state_of_code().get(code)


@cache
def question_causes() -> Mapping[str, tuple[str, ...]]:
    """The causes that each question names. A question has the code of a cause or of a class."""
    return {question: tuple(causes) for question, causes in _table()["questions"].items()}


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    return read_table("model/failure_codes.toml")


@cache
def _kind_of_code() -> Mapping[str, FailureKind]:
    kinds = _table()["kinds"].items()
    return {code: FailureKind(kind) for kind, row in kinds for code in row["codes"]}


@cache
def _class_of_code() -> Mapping[str, str]:
    return {code: name for name, codes in _table()["classes"].items() for code in codes}


@cache
def _state_of_code() -> Mapping[str, str]:
    return {code: state for state, codes in _table()["states"].items() for code in codes}


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

    @property
    def rejects_access_token(self) -> bool:
        """Whether Zoho rejected an access token, with or without a test of the refresh token."""
        return self.code == "token-invalid" or self.kind is FailureKind.UNCONFIRMED


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
