"""The table `failure_codes.toml`: kind, exit code, HTTP status and class of each failure code.

A module that needs the codes of a kind, or with an attribute, gets them from here.
"""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any


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
    text = resources.files("wizard.model").joinpath("failure_codes.toml").read_text("utf-8")
    return tomllib.loads(text)


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
