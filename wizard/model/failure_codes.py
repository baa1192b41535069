"""What is known of each failure code: its kind, exit code, HTTP status and class.

The table is `failure_codes.toml`. No other module lists codes; what needs a set of them takes it
from here.
"""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any


class FailureKind(StrEnum):
    """What a failure is about. The table says it of each kind in a sentence."""

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
"""The HTTP status where neither the kind nor the code has its own; any other exit code is 409."""


def kind_of(code: str) -> FailureKind:
    """The kind of a failure code; `UNKNOWN` for a code that the table doesn't have."""
    return _kind_of_code().get(code, FailureKind.UNKNOWN)


def is_failure_code(text: str) -> bool:
    """Whether the table has this code."""
    return text in _kind_of_code()


def codes_of(*kinds: FailureKind) -> frozenset[str]:
    """All codes of these kinds."""
    return frozenset(code for kind in kinds for code in _table()["kinds"][kind]["codes"])


def codes_with(attribute: str) -> tuple[str, ...]:
    """The codes that have an attribute of the table, in its order."""
    return tuple(_table()["attributes"][attribute])


def exit_code_of(code: str) -> int:
    """The exit code of the command line for a failure code."""
    own = _table()["exit_codes"].get(code)
    return int(_table()["kinds"][kind_of(code)]["exit_code"] if own is None else own)


def http_status_of(code: str) -> int:
    """The HTTP status of a page or of an answer on a socket that reports a failure code."""
    own = _table()["http_statuses"].get(code) or _table()["kinds"][kind_of(code)].get("http_status")
    return int(own or _HTTP_STATUS_OF_EXIT_CODE.get(exit_code_of(code), 409))


def class_of(code: str) -> str:
    """The class of failures that Zoho answers alike; empty if the code names one cause only."""
    return _class_of_code().get(code, "")


def state_of(code: str) -> str | None:
    """The state of a connection whose grant or latest check failed with a code; None if the code
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
