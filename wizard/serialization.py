"""Values and findings as JSON documents: what scripts, programs and commands are told."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from wizard.model import Cause, Explanation, Failure
from wizard.timefmt import format_iso
from wizard.transport import CONTROL_CHARACTERS


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that is safe on a terminal, too: what steers one is escaped, as JSON itself
    does it with the ASCII control characters only."""
    text = json.dumps(to_json_value(value), indent=indent, ensure_ascii=False)
    return CONTROL_CHARACTERS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def to_json_value(value: Any) -> Any:
    """`value` in the types of JSON; times become ISO 8601, dataclasses become objects."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_json_value(asdict(value))
    if isinstance(value, datetime):
        return format_iso(value)
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [to_json_value(item) for item in value]
    return value


def explanation_summary(explanation: Explanation) -> dict[str, Any]:
    """The words of a finding as a JSON object: what the sockets answer, and what cautions are."""
    failure = explanation.failure or Failure(explanation.code)
    return {
        "code": explanation.code,
        "title": explanation.title,
        "cause": explanation.cause,
        "fix": explanation.fix,
        "commands": [step.command for step in explanation.next_steps if step.command],
        "exit_code": explanation.exit_code,
        "temporary": failure.temporary,
        "retry_at": to_json_value(failure.retry_at),
    }


def explanation_to_json(explanation: Explanation) -> dict[str, Any]:
    """A finding as the JSON object that scripts read under ``error``."""
    failure = explanation.failure or Failure(explanation.code)
    return {
        **explanation_summary(explanation),
        "failure_class": explanation.failure_class or None,
        "causes": [_cause_to_json(each) for each in explanation.causes],
        "ruled_out": [_cause_to_json(each) for each in explanation.ruled_out],
        "question": explanation.question or None,
        "answer_options": [
            {"answer": each.answers[-1], "label": each.label, "command": each.command or None}
            for each in explanation.answer_options
        ],
        "zoho_error": failure.zoho_error,
        "exchange": to_json_value(failure.exchange),
    }


def _cause_to_json(cause: Cause) -> dict[str, Any]:
    return {
        "code": cause.code,
        "title": cause.title,
        "explanation": cause.explanation,
        "confidence": cause.confidence.value,
        "group": cause.group or None,
        "evidence_for": cause.evidence_for,
        "evidence_against": cause.evidence_against,
        "fix": cause.fix,
        "commands": [step.command for step in cause.next_steps if step.command],
    }
