"""The exception that carries a failure, and the message table.

A `WizardError` has a `Failure`, whose code is a key of a table in ``wizard/messages/``. No
``raise`` has a sentence for users: `explain` turns a failure into an `Explanation` with the words
of the table, for pages, terminal and JSON.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

from wizard.model import TOKEN_SERVING_EVENTS, Event, Explanation, Failure, NextStep
from wizard.model.states import (
    ActivityKind,
    ConnectionState,
    ConnectionStatus,
    DestinationState,
    ItemState,
    ShownState,
)
from wizard.timefmt import format_time


class WizardError(Exception):
    """A failure, raised. ``str()`` is its code, never a secret."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class Conflict(WizardError):
    """The row was changed since it was read."""


def fail(code: str, **details: str) -> WizardError:
    """Make a `WizardError` with a code and the values of its message."""
    return WizardError(Failure(code=code, details=details))


MIN_WAIT_MINUTES = 15
"""The shortest ``--wait`` that is suggested: more than one window of Zoho's limits."""

_OPTIONAL = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
_NEXT_FORM = re.compile(r"\|\|(?![^{}]*\})")
_PLACEHOLDER = re.compile(r"\{(\w+)(?:\|([^|{}]*)\|([^|{}]*))?\}")


_VALUE_TABLES = {
    "data_center": "data-centers-in-sentences",
    "destination_state": "destination-states",
    "direction": "clock-directions",
    "format": "token-formats",
    "found_name": "data-centers-in-sentences",
    "home": "data-centers-in-sentences",
    "kind": "token-kinds",
    "obstacle": "obstacles",
    "part": "redirect-uri-parts",
    "reason": "reasons",
    "syntax": "shell-syntax",
}
"""The tables with the words for values that are codes, by the name of the value."""


def placeholders(text: str) -> set[str]:
    """The names of the values that a text of the table uses."""
    return {found[1] for found in _PLACEHOLDER.finditer(text)}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Fill in a text of the table; `general.toml` describes its syntax.

    A value is inserted once and never read as syntax. Its control characters become spaces. A code
    gets its words.
    """
    known = {key: value for key, value in values.items() if value.strip()}

    def choose(optional: re.Match[str]) -> str:
        forms = _NEXT_FORM.split(optional[1])
        return next((each for each in forms if placeholders(each) <= known.keys()), "")

    def insert(placeholder: re.Match[str]) -> str:
        name, one, many = placeholder.groups()
        value = known.get(name, "")
        if many is not None:
            return str(one if value == "1" else many)
        words = message_table()[_VALUE_TABLES[name]] if name in _VALUE_TABLES else {}
        if value and value not in words:
            return "".join(c if c.isprintable() or c == "\n" else " " for c in value)
        own = (
            fill(words[value], known) if value else message_table()["unknown-values"].get(name, "…")
        )
        before = placeholder.string[: placeholder.start()]
        starts_sentence = not before or before.endswith(". ")
        return own[:1].upper() + own[1:] if starts_sentence else own

    return _PLACEHOLDER.sub(insert, _OPTIONAL.sub(choose, text))


class MessageTable(Mapping[str, Mapping[str, Any]]):
    """Code → ``title``, ``cause``, ``fix``, ``next_steps``; one file a domain.

    A file is parsed only if it has a header of a code that is looked up: parsing all takes 20 ms.
    """

    def __init__(self) -> None:
        files = resources.files("wizard").joinpath("messages").iterdir()
        self._texts = [file.read_text("utf-8") for file in files]
        self._rows: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, code: str) -> Mapping[str, Any]:
        if code not in self._rows:
            self._parse(f"[{code}")
        return self._rows[code]

    def __iter__(self) -> Iterator[str]:
        self._parse("[")
        return iter(self._rows)

    def __len__(self) -> int:
        self._parse("[")
        return len(self._rows)

    def _parse(self, header: str) -> None:
        """Parse the files that contain `header`."""
        texts = self._texts
        for text in texts:
            if header in text:
                self._rows |= tomllib.loads(text)
        self._texts = [text for text in texts if header not in text]


@cache
def message_table() -> Mapping[str, Mapping[str, Any]]:
    """The table of this process."""
    return MessageTable()


def _next_steps(
    rows: Sequence[Mapping[str, str]], known: Mapping[str, str]
) -> tuple[NextStep, ...]:
    """The next steps whose values are all known. If the connection or client is unknown, the step
    that finds it replaces them; if the failure is about a client itself, that of the client."""
    found: dict[NextStep, None] = {}
    lookup_steps = message_table()["client-steps" if "of_client" in known else "lookup-steps"]
    quoted = {key: text if key == "names" else shlex.quote(text) for key, text in known.items()}
    for row in rows:
        missing = set().union(*map(placeholders, row.values())) - known.keys()
        instead = [each for key, each in lookup_steps.items() if key in missing]
        for each in instead[:1] if missing else [row]:
            label, path = (fill(each.get(part, ""), known) for part in ("label", "path"))
            found[NextStep(label, fill(each.get("command", ""), quoted), path)] = None
    return tuple(found)


def message(table: str, code: str, /, **details: str) -> str:
    """One message of a table of single sentences; empty if the table doesn't have the code."""
    return fill(message_table()[table].get(code, ""), details)


def describe_event(event: Event, *, with_author: bool = True) -> str:
    """An event in words. A failure code in it becomes its title. Without the author, it leaves out
    who caused it, except for a token that was served."""
    by = {"by_user": event.user, "by_process": str(event.process_id or "")}
    said = {
        key: describe_outcome(text, name=event.connection) for key, text in event.details.items()
    }
    text = message("history", event.kind, **by, **said) or event.kind.replace("-", " ")
    if not with_author:
        return text
    author = "machine" if event.kind in TOKEN_SERVING_EVENTS else "process"
    machine = event.machine if event.database_role else ""
    return text + message("history-authors", author, **by, machine=machine)


def describe_outcome(code: str, **details: str) -> str:
    """The outcome of a request or an attempt in words; an unknown code stays as it is."""
    outcome = message_table()["outcomes"].get(code)
    if outcome is None and "title" in message_table().get(code, {}):
        outcome = explain(Failure(code), **details).title
    return outcome or code


_STATE_TABLES: Mapping[type[ShownState], str] = {
    ConnectionState: "connection-states",
    ActivityKind: "connection-activities",
    ItemState: "reauthorization-items",
    DestinationState: "destination-states",
}


def state_label(state: ShownState, **details: str) -> str:
    """The words for a state."""
    return message(_STATE_TABLES[type(state)], state, **details)


def describe_state(state: ShownState, **details: str) -> str:
    """A state for a table cell: its mark and its words."""
    return f"{state.mark} {state_label(state, **details)}"


def status_labels(status: ConnectionStatus, now: datetime) -> tuple[str, ...]:
    """The words for each part of `ConnectionStatus.shown`."""
    until = status.activity.until if status.activity else None
    details = {"until": format_time(until, now)} if until else {}
    return tuple(state_label(each, **details) for each in status.shown)


def describe_status(status: ConnectionStatus, now: datetime) -> str:
    """A connection's status for a table cell: a mark and the words."""
    return f"{status.shown[0].mark} {' · '.join(status_labels(status, now))}"


def _wait_option(until: datetime | None, now: datetime | None) -> str:
    """The value of ``--wait`` in a next step: long enough to help."""
    minutes = (until - now) // timedelta(minutes=1) + 1 if until and now else 0
    return f"{max(minutes, MIN_WAIT_MINUTES)}m"


def explain(failure: Failure, at_time: datetime | None = None, /, **details: str) -> Explanation:
    """Explain a failure in words; ``details``, such as ``name``, are added to its own.

    Times are formatted relative to ``at_time``. A code that the table doesn't have gets the words
    of ``unknown``.
    """
    given = {**failure.details, **details, "zoho_error": failure.zoho_error or ""}
    given |= {"code": failure.code, "wait": _wait_option(failure.retry_at, at_time)}
    if failure.retry_at is not None:
        given["retry_at"] = format_time(failure.retry_at, at_time)
    known = {key: " ".join(value.splitlines()) for key, value in given.items() if value.strip()}
    row = message_table().get(failure.code) or message_table()["unknown"]
    return Explanation(
        code=failure.code,
        title=fill(row["title"], known),
        cause=fill(row["cause"], known),
        fix=fill(row["fix"], known),
        next_steps=_next_steps(row.get("next_steps", ()), known),
        failure=failure,
    )
