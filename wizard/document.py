"""Values and findings as JSON documents: what scripts, programs and commands are told."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from wizard.model import Cause, Failure, Finding
from wizard.transport import STEERING


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that is safe on a terminal, too: what steers one is escaped, as JSON itself
    does it with the ASCII control characters only."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False)
    return STEERING.sub(lambda found: json.dumps(found[0])[1:-1], text)


def plain(value: Any) -> Any:
    """`value` in the types of JSON; times become ISO 8601, dataclasses become objects."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    return value


def as_data(finding: Finding) -> dict[str, Any]:
    """The words of a finding as a JSON object: what the sockets answer, and what cautions are."""
    failure = finding.failure or Failure(finding.code)
    return {
        "code": finding.code,
        "title": finding.title,
        "cause": finding.cause,
        "remedy": finding.remedy,
        "commands": [step.command for step in finding.steps if step.command],
        "exit_code": finding.exit_code,
        "temporary": failure.temporary,
        "retry_at": plain(failure.retry_at),
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as the JSON object that scripts read under ``error``."""
    failure = finding.failure or Failure(finding.code)
    return {
        **as_data(finding),
        "class": finding.failure_class or None,
        "causes": [_cause_json(each) for each in finding.causes],
        "ruled_out": [_cause_json(each) for each in finding.ruled_out],
        "question": finding.question or None,
        "answers": [
            {"told": each.told[-1], "label": each.label, "command": each.command or None}
            for each in finding.answers
        ],
        "zoho_word": failure.zoho_word,
        "exchange": plain(failure.exchange),
    }


def _cause_json(cause: Cause) -> dict[str, Any]:
    return {
        "code": cause.code,
        "title": cause.title,
        "explanation": cause.explanation,
        "confidence": cause.confidence.value,
        "group": cause.group or None,
        "evidence_for": cause.evidence_for,
        "evidence_against": cause.evidence_against,
        "remedy": cause.remedy,
        "commands": [step.command for step in cause.steps if step.command],
    }
