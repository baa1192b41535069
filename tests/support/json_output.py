"""Check that what commands print with ``--json`` matches their schemas."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema

from wizard.cli.commands.status import load_schema
from wizard.cli.results.commands import RESULTS

LINES = ("serve", "monitor", "demo", "simulator", "audit")
"""Commands that print one document per line."""


def command_in(words: Sequence[str]) -> str:
    """The command that a command line calls; empty if none has a result."""
    for end in (3, 2, 1):
        if " ".join(words[:end]) in RESULTS:
            return " ".join(words[:end])
    return ""


def check_json_output(words: Sequence[str], exit_code: int, stdout: str, stderr: str) -> None:
    """Fail if a command line with ``--json`` printed something that no schema describes."""
    command = command_in(words)
    if "--json" not in words:
        return
    if stdout and command:
        for text in stdout.splitlines() if command in LINES else [stdout]:
            validate(json.loads(text), command)
    elif not stdout and exit_code:
        error = json.loads(stderr.splitlines()[-1])
        validate(error, "error")
        assert error["error"]["exit_code"] == exit_code


def validate(value: Any, command: str) -> Any:
    """Validate `value` with the schema of `command`, which must describe all of it."""
    validator = _validator(command)
    found = jsonschema.exceptions.best_match(validator.iter_errors(value))
    assert found is None, f"{command}: {found}"
    return value


@cache
def _validator(command: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        _closed(load_schema(command)),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def _closed(schema: Any) -> Any:
    """A schema that allows no properties other than those it names."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {**closed, "additionalProperties": False} if "properties" in schema else closed
