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

Notified = Mapping[str, datetime]
"""The marks that are known, each with the time of the last message that named it."""


@dataclass(frozen=True)
class Message:
    """One message, and the marks that are known once it has arrived."""

    said: Mapping[str, Any]
    marks: frozenset[str] = frozenset()


def news(
    current_incidents: Iterable[Incident],
    known: Notified,
    at: datetime,
    remind: timedelta = timedelta(0),
) -> list[Message]:
    """A message for each cause that stopped a connection of which nobody knows, or of which nobody
    was told for so long as `remind` (0: no reminders). What could not be asked is no news."""
    return [
        incident_message(incident, known, at)
        for incident in current_incidents
        if not incident.is_pending
        and (incident.marks - known.keys() or _is_due(incident, known, at, remind))
    ]


def again(
    current_incidents: Iterable[Incident], known: Notified, at: datetime, *, well: bool
) -> list[Message]:
    """What is sent where the last notification failed and nothing is new: the first cause once
    more, or that all is well; nothing while nothing is known for sure."""
    certain = [each for each in current_incidents if not each.is_pending]
    if certain:
        return [incident_message(certain[0], known, at)]
    return [all_well(at)] if well else []


def incident_message(incident: Incident, known: Notified, at: datetime) -> Message:
    """The message of one cause: which of its connections are new, and which are known."""
    new = {_name(mark) for mark in incident.marks - known.keys()}
    before = {_name(mark) for mark in incident.marks & known.keys()} - new
    stopped = (*incident.names, *incident.suspected_names)
    said = {
        "event": "incident",
        "at": to_json_value(at),
        "reminder": not new,
        "new": [name for name in stopped if name in new],
        "known": [name for name in stopped if name in before],
        **incident_to_json(incident),
    }
    return Message(said, incident.marks)


def all_well(at: datetime) -> Message:
    """The message that everything works again."""
    said = {"event": "all-well", "at": to_json_value(at), "code": "all-well", "title": ALL_WELL}
    return Message(said)


def test_message(at: datetime) -> Message:
    """The message that shows whether notifications arrive."""
    return Message({"event": "test", "at": to_json_value(at), "code": "test", "title": TEST})


def incident_to_json(incident: Incident) -> dict[str, Any]:
    """One cause as scripts read it; no secret in it."""
    return {
        "key": incident.key,
        "level": incident.level.value,
        "connections": list(incident.names),
        "suspected_connections": list(incident.suspected_names),
        "sign_in_as": incident.email or None,
        "programs": list(incident.programs),
        "access_tokens_expire_at": to_json_value(incident.access_tokens_expire_at),
        **explanation_to_json(incident.explanation),
    }


def _is_due(incident: Incident, known: Notified, at: datetime, remind: timedelta) -> bool:
    """Whether the last message of a cause that is known is long enough ago."""
    return bool(remind) and at - max(known[mark] for mark in incident.marks) >= remind * EARLY


def _name(mark: str) -> str:
    """The connection of a mark, as `Trouble.marks` has it."""
    return mark.split()[1]
