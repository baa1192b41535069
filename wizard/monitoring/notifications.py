"""What somebody is told, and when: pure judges of what was found and of what is known already."""

import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wizard.delivery import commands
from wizard.diagnosis.incidents import Incident
from wizard.errors import WizardError, message
from wizard.model import Clock, Failure
from wizard.serialization import explanation_to_json, to_json, to_json_value
from wizard.store import NotifyFailure, Store
from wizard.timefmt import format_time
from wizard.transport import webhook

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


SHORTEST_SECRET = 6
"""Characters; shorter words of a command line are masked in nothing that it prints."""

LONGEST_SAID = 500
"""Characters of what a command printed that are kept, the last ones."""

_CHUNK = re.compile(r"[^\s'\"`]+")
_WORD = re.compile(r"[^=:/@?&;|<>()]+")


class Notifier:
    """Tells somebody."""

    def __init__(self, store: Store, clock: Clock, environment: Mapping[str, str]) -> None:
        self._store = store
        self._clock = clock
        self._environment = environment

    @property
    def ready(self) -> bool:
        """Whether there is a command or an address to tell by."""
        return bool(self._store.monitoring.notify_command())

    def send(self, said: Mapping[str, Any]) -> Failure | None:
        """Send one message; returns ``notification-failed`` where it did not arrive. Either is
        written down before this returns."""
        target = self._store.monitoring.notify_command()
        given = to_json(said) + "\n"
        failed = self._posted(target, given) if webhook.is_url(target) else self._ran(target, given)
        self._store.monitoring.note_notified(
            NotifyFailure(self._clock(), failed) if failed else None
        )
        return failed

    def _posted(self, url: str, given: str) -> Failure | None:
        try:
            status = webhook.post_json(url, given, self._clock)
        except WizardError as error:
            return self._failure(url, error.failure.code, error.failure.details)
        if 200 <= status < 300:
            return None
        return self._failure(url, "answer-status", {"status": str(status)})

    def _ran(self, line: str, given: str) -> Failure | None:
        secrets = words_of(line)
        try:
            commands.run_command(line, self._environment, stdin_text=given, secrets=secrets)
        except WizardError as error:
            return self._failure(line, error.failure.code, error.failure.details)
        return None

    def _failure(self, target: str, reason: str, known: Mapping[str, str]) -> Failure:
        """What is remembered and shown of it: nothing of the command but its program, nothing of
        the address but its host."""
        kept = {
            key: known[key] for key in ("status", "stderr", "seconds", "reason") if key in known
        }
        if "stderr" in kept:
            kept["stderr"] = kept["stderr"][-LONGEST_SAID:]
        by = shown(target)
        happened = message("notifications", reason, by=by, **kept)
        at = format_time(self._clock(), None)
        details = {"by": by, "failed_at": at, "happened": happened, **kept, "reason": reason}
        return Failure("notification-failed", temporary=True, details=details)


def settled(text: str, environment: Mapping[str, str]) -> str:
    """A command line whose program is found without a search path, or an address; as it is to be
    remembered. Raises what `command.settle` and `webhook.usable` raise."""
    if webhook.is_url(text):
        webhook.usable(text)
        return text
    program, *words = shlex.split(commands.resolve_command(text, environment))
    return shlex.join([shutil.which(program, path=environment.get("PATH")) or program, *words])


def shown(target: str) -> str:
    """What may be shown of a command or an address: its program, or its host; the rest may hold a
    secret."""
    if webhook.is_url(target):
        return webhook.host_of(target)
    return shlex.split(target)[0] if target else ""


def words_of(line: str) -> set[str]:
    """The words of a command line's arguments, any of which may be a secret that the command
    repeats when it fails; names of options are none."""
    _, *arguments = shlex.split(line)
    chunks = {chunk for each in arguments for chunk in _CHUNK.findall(each)}
    words = {word for chunk in chunks for word in _WORD.findall(chunk)}
    return {
        word
        for word in chunks | words
        if len(word) >= SHORTEST_SECRET and not word.startswith("--")
    }
