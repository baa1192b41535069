"""Values and explanations as JSON, for scripts, programs and notification commands."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from wizard.model import Cause, Confidence, Explanation, Failure, FailureKind, HttpExchange
from wizard.timefmt import format_iso, parse_iso
from wizard.transport import CONTROL_CHARACTERS

T = TypeVar("T")


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that is safe to print on a terminal: all control characters are escaped, also
    those outside ASCII."""
    text = json.dumps(to_json_value(value), indent=indent, ensure_ascii=False)
    return CONTROL_CHARACTERS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def to_json_value(value: Any) -> Any:
    """`value` as JSON types: times become ISO 8601, dataclasses become objects."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_json_value(asdict(value))
    if isinstance(value, datetime):
        return format_iso(value)
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [to_json_value(item) for item in value]
    return value


def from_json_value(kind: type[T], value: Any) -> T:
    """The result of type `kind` (a dataclass) that `to_json_value` made JSON types of. Raises
    KeyError, TypeError or ValueError for anything else."""
    hints = get_type_hints(kind)
    read = {each.name: _read(hints[each.name], value[each.name]) for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**read)


def _read(kind: Any, value: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if type(None) in arguments:
        return None if value is None else _read(arguments[0], value)
    if origin is tuple:
        return tuple(_read(arguments[0], each) for each in value)
    if origin is Mapping:
        return {key: _read(arguments[1], each) for key, each in value.items()}
    if is_dataclass(kind):
        return from_json_value(kind, value)  # type: ignore[arg-type]
    if kind is datetime:
        return parse_iso(value)
    if not isinstance(value, str if issubclass(kind, str) else kind):
        raise TypeError(kind)
    return kind(value)


def explanation_summary(explanation: Explanation) -> dict[str, Any]:
    """A short form of an `ErrorReport` as a JSON object, for the local API."""
    failure = explanation.failure or Failure(explanation.code)
    return {
        "code": explanation.code,
        "kind": explanation.kind.value,
        "title": explanation.title,
        "cause": explanation.cause,
        "fix": explanation.fix,
        "commands": list(commands_of(explanation)),
        "exit_code": explanation.exit_code,
        "temporary": failure.temporary,
        "retry_at": to_json_value(failure.retry_at),
    }


@dataclass(frozen=True)
class CauseReport:
    """One possible cause of a failure, for scripts."""

    code: str
    title: str
    explanation: str
    confidence: Confidence
    group: str | None
    """The heading of its group; null if there are no groups."""
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...]
    fix: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class AnswerReport:
    """One answer to the question of a diagnosis."""

    answer: str
    """The value for `--answer`, after the previous ones."""
    label: str
    command: str | None
    """The command that gives this answer; null if what was diagnosed is unknown."""


@dataclass(frozen=True)
class ErrorReport:
    """A failure explained, for scripts. It contains no secret."""

    code: str
    """Stable; `zoho-wizard diagnose --code CODE` explains it."""
    kind: FailureKind
    """What the failure is about."""
    title: str
    cause: str
    fix: str
    details: Mapping[str, str]
    """The values in the sentences: a host, a name, a path."""
    commands: tuple[str, ...]
    exit_code: int
    """The exit code of a command that ends with this failure."""
    temporary: bool
    """Waiting or trying again may help."""
    retry_at: datetime | None
    failure_class: str | None
    """The class of causes with the same error from Zoho; null if there is one cause only."""
    causes: tuple[CauseReport, ...]
    """The most likely first."""
    ruled_out: tuple[CauseReport, ...]
    question: str | None
    """The question that would decide between the causes; null if there is none."""
    answer_options: tuple[AnswerReport, ...]
    zoho_error: str
    """Zoho's own error word; empty if there is none."""
    exchange: HttpExchange | None
    """The HTTP request and its response, without secrets."""


def error_report(explanation: Explanation) -> ErrorReport:
    """An explanation for scripts."""
    failure = explanation.failure or Failure(explanation.code)
    return ErrorReport(
        code=explanation.code,
        kind=explanation.kind,
        title=explanation.title,
        cause=explanation.cause,
        fix=explanation.fix,
        details=failure.details,
        commands=commands_of(explanation),
        exit_code=explanation.exit_code,
        temporary=failure.temporary,
        retry_at=failure.retry_at,
        failure_class=explanation.failure_class or None,
        causes=tuple(_cause_report(each) for each in explanation.causes),
        ruled_out=tuple(_cause_report(each) for each in explanation.ruled_out),
        question=explanation.question or None,
        answer_options=tuple(
            AnswerReport(each.answers[-1], each.label, each.command or None)
            for each in explanation.answer_options
        ),
        zoho_error=failure.zoho_error,
        exchange=failure.exchange,
    )


def explanation_to_json(explanation: Explanation) -> dict[str, Any]:
    """An `ErrorReport` as a JSON object."""
    report: dict[str, Any] = to_json_value(error_report(explanation))
    return report


def commands_of(explanation: Explanation | Cause) -> tuple[str, ...]:
    """The commands of the next steps."""
    return tuple(step.command for step in explanation.next_steps if step.command)


def _cause_report(cause: Cause) -> CauseReport:
    return CauseReport(
        code=cause.code,
        title=cause.title,
        explanation=cause.explanation,
        confidence=cause.confidence,
        group=cause.group or None,
        evidence_for=cause.evidence_for,
        evidence_against=cause.evidence_against,
        fix=cause.fix,
        commands=commands_of(cause),
    )
