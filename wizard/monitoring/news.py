"""What somebody is told, and when: pure judges of what was found and of what is known already."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wizard.diagnosis.incidents import Incident
from wizard.serialization import explanation_to_json, to_json_value

REMIND = timedelta(hours=24)
"""After which somebody is told again of what goes on."""

EARLY = 0.9
"""Of that time: checks come a little sooner or later, and a daily one is to remind every day."""

ALL_WELL, TEST = "All is well again", "This is a test notification of zoho-wizard"

Told = Mapping[str, datetime]
"""The marks that are known, each with the time of the last message that named it."""


@dataclass(frozen=True)
class Message:
    """One message, and the marks that are known once it has arrived."""

    said: Mapping[str, Any]
    marks: frozenset[str] = frozenset()


def news(
    troubles: Iterable[Incident], known: Told, at: datetime, remind: timedelta = timedelta(0)
) -> list[Message]:
    """A message for each cause that stopped a connection of which nobody knows, or of which nobody
    was told for so long as `remind` (0: no reminders). What could not be asked is no news."""
    return [
        trouble_message(trouble, known, at)
        for trouble in troubles
        if not trouble.is_pending
        and (trouble.marks - known.keys() or _is_due(trouble, known, at, remind))
    ]


def again(troubles: Iterable[Incident], known: Told, at: datetime, *, well: bool) -> list[Message]:
    """What is sent where the last notification failed and nothing is new: the first cause once
    more, or that all is well; nothing while nothing is known for sure."""
    certain = [each for each in troubles if not each.is_pending]
    if certain:
        return [trouble_message(certain[0], known, at)]
    return [all_well(at)] if well else []


def trouble_message(trouble: Incident, known: Told, at: datetime) -> Message:
    """The message of one cause: which of its connections are new, and which are known."""
    new = {_name(mark) for mark in trouble.marks - known.keys()}
    before = {_name(mark) for mark in trouble.marks & known.keys()} - new
    stopped = (*trouble.names, *trouble.suspected_names)
    said = {
        "event": "incident",
        "at": to_json_value(at),
        "reminder": not new,
        "new": [name for name in stopped if name in new],
        "known": [name for name in stopped if name in before],
        **trouble_json(trouble),
    }
    return Message(said, trouble.marks)


def all_well(at: datetime) -> Message:
    """The message that everything works again."""
    said = {"event": "all-well", "at": to_json_value(at), "code": "all-well", "title": ALL_WELL}
    return Message(said)


def test_message(at: datetime) -> Message:
    """The message that shows whether notifications arrive."""
    return Message({"event": "test", "at": to_json_value(at), "code": "test", "title": TEST})


def trouble_json(trouble: Incident) -> dict[str, Any]:
    """One cause as scripts read it; no secret in it."""
    return {
        "key": trouble.key,
        "level": trouble.level.value,
        "connections": list(trouble.names),
        "suspected_connections": list(trouble.suspected_names),
        "sign_in_as": trouble.email or None,
        "programs": list(trouble.programs),
        "access_tokens_expire_at": to_json_value(trouble.access_tokens_expire_at),
        **explanation_to_json(trouble.explanation),
    }


def _is_due(trouble: Incident, known: Told, at: datetime, remind: timedelta) -> bool:
    """Whether the last message of a cause that is known is long enough ago."""
    return bool(remind) and at - max(known[mark] for mark in trouble.marks) >= remind * EARLY


def _name(mark: str) -> str:
    """The connection of a mark, as `Trouble.marks` has it."""
    return mark.split()[1]
