"""Decide which notifications are due, send them, and store whether they arrived."""

import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wizard.delivery import commands
from wizard.diagnosis.incidents import Incident
from wizard.errors import WizardError, fail, message
from wizard.model import Clock, Failure
from wizard.serialization import explanation_to_json, to_json, to_json_value
from wizard.store import NotifyFailure, Store
from wizard.timefmt import format_time
from wizard.transport import webhook

DEFAULT_REMINDER_INTERVAL = timedelta(hours=24)
"""How often to notify again of a failure that continues."""

REMINDER_DUE_FRACTION = 0.9
"""A reminder is due after this fraction of the interval: checks aren't exactly on time."""

MIN_SECRET_CHARACTERS = 6
"""Shorter words of a command line aren't masked in what the command prints."""

MAX_STDERR_CHARACTERS = 500
"""How much is kept of the end of what a command printed."""

_CHUNK = re.compile(r"[^\s'\"`]+")
_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WORD = re.compile(r"[^=:/@?&;|<>()]+")

Notified = Mapping[str, datetime]
"""The marks in earlier notifications, each with the time of the last one."""


@dataclass(frozen=True)
class Notification:
    """A notification, and the marks of `Incident.marks` that it reports."""

    content: Mapping[str, Any]
    """As JSON; see `incident_notification`."""
    marks: frozenset[str] = frozenset()


# --- Which are due: pure functions ----------------------------------------------------------------


def new_notifications(
    current_incidents: Iterable[Incident],
    notified: Notified,
    at: datetime,
    reminder_interval: timedelta = timedelta(0),
) -> list[Notification]:
    """A notification for each incident that has a new mark or whose last notification was
    `reminder_interval` ago (0: no reminders). There is none for connections that couldn't be
    checked."""
    return [
        incident_notification(incident, notified, at)
        for incident in current_incidents
        if not incident.is_pending
        and (
            incident.marks - notified.keys()
            or _is_reminder_due(incident, notified, at, reminder_interval)
        )
    ]


def repeated_notifications(
    current_incidents: Iterable[Incident], notified: Notified, at: datetime, *, is_healthy: bool
) -> list[Notification]:
    """What to send if the last notification failed and nothing is new: the first incident again, or
    that everything works. Empty if nothing is certain."""
    certain = [each for each in current_incidents if not each.is_pending]
    if certain:
        return [incident_notification(certain[0], notified, at)]
    return [all_clear(at)] if is_healthy else []


def incident_notification(incident: Incident, notified: Notified, at: datetime) -> Notification:
    """The notification of one incident, with its new and its known connections."""
    new = {connection_of(mark) for mark in incident.marks - notified.keys()}
    known = {connection_of(mark) for mark in incident.marks & notified.keys()} - new
    failed = (*incident.names, *incident.suspected_names)
    content = {
        "event": "incident",
        "at": to_json_value(at),
        "reminder": not new,
        "new": [name for name in failed if name in new],
        "known": [name for name in failed if name in known],
        **incident_to_json(incident),
    }
    return Notification(content, incident.marks)


def all_clear(at: datetime) -> Notification:
    """The notification that everything works again."""
    code = "all-well"
    title = message("notification-titles", code)
    return Notification({"event": code, "at": to_json_value(at), "code": code, "title": title})


def sample_notification(at: datetime) -> Notification:
    """A test notification."""
    code = "test"
    title = message("notification-titles", code)
    return Notification({"event": code, "at": to_json_value(at), "code": code, "title": title})


def incident_to_json(incident: Incident) -> dict[str, Any]:
    """An incident as JSON, without secrets."""
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


def connection_of(mark: str) -> str:
    """The connection that a mark of `Incident.marks` is about."""
    return mark.split()[1]


def _is_reminder_due(
    incident: Incident, notified: Notified, at: datetime, reminder_interval: timedelta
) -> bool:
    if not reminder_interval:
        return False
    last = max(notified[mark] for mark in incident.marks)
    return at - last >= reminder_interval * REMINDER_DUE_FRACTION


# --- How they are sent ----------------------------------------------------------------------------


class Notifier:
    """Sends notifications by the stored command or to the stored URL, and stores whether each
    arrived: exit code 0, or an HTTP status from 200 to 299."""

    def __init__(self, store: Store, clock: Clock, environment: Mapping[str, str]) -> None:
        self._store = store
        self._clock = clock
        self._environment = environment

    @property
    def is_configured(self) -> bool:
        """Whether there is a command or a URL."""
        return bool(self._store.monitoring.notify_command())

    def send(self, notification: Notification) -> Failure | None:
        """Send a notification; returns ``notification-failed`` if it didn't arrive. The result is
        stored before this returns."""
        target = self._store.monitoring.notify_command()
        body = to_json(notification.content) + "\n"
        failure = self._post(target, body) if webhook.is_url(target) else self._run(target, body)
        self._store.monitoring.note_notified(
            NotifyFailure(self._clock(), failure) if failure else None
        )
        return failure

    def _post(self, url: str, body: str) -> Failure | None:
        try:
            status = webhook.post_json(url, body, self._clock)
        except WizardError as error:
            return self._failure(url, error.failure.code, error.failure.details)
        if 200 <= status < 300:
            return None
        return self._failure(url, "answer-status", {"status": str(status)})

    def _run(self, command_line: str, body: str) -> Failure | None:
        secrets = possible_secrets(command_line)
        try:
            commands.run_command(command_line, self._environment, stdin_text=body, secrets=secrets)
        except WizardError as error:
            return self._failure(command_line, error.failure.code, error.failure.details)
        return None

    def _failure(self, target: str, reason: str, known: Mapping[str, str]) -> Failure:
        """The failure to store and show; of the target, it contains only the program or host."""
        kept = {
            key: known[key] for key in ("status", "stderr", "seconds", "reason") if key in known
        }
        if "stderr" in kept:
            kept["stderr"] = kept["stderr"][-MAX_STDERR_CHARACTERS:]
        by = target_name(target)
        happened = message("notifications", reason, by=by, **kept)
        at = format_time(self._clock(), None)
        details = {"by": by, "failed_at": at, "happened": happened, **kept, "reason": reason}
        return Failure("notification-failed", temporary=True, details=details)


def resolve_target(text: str, environment: Mapping[str, str]) -> str:
    """A URL unchanged, or a command line with the absolute path of its program. Raises what
    `commands.resolve_command` and `webhook.normalize_url` raise, and ``notify-address-scheme`` for
    a URL that is neither https nor http."""
    if webhook.is_url(text):
        webhook.normalize_url(text)
        return text
    if other := _URL_SCHEME.match(text):
        raise fail("notify-address-scheme", scheme=other.group())
    program, *words = shlex.split(commands.resolve_command(text, environment))
    return shlex.join([shutil.which(program, path=environment.get("PATH")) or program, *words])


def target_name(target: str) -> str:
    """The program of a command or the host of a URL. The rest may contain a secret."""
    if webhook.is_url(target):
        return webhook.host_of(target)
    return shlex.split(target)[0] if target else ""


def possible_secrets(command_line: str) -> set[str]:
    """The words of a command line's arguments without names of options: any may be a secret that
    the command prints when it fails."""
    _, *arguments = shlex.split(command_line)
    chunks = {chunk for each in arguments for chunk in _CHUNK.findall(each)}
    words = {word for chunk in chunks for word in _WORD.findall(chunk)}
    return {
        word
        for word in chunks | words
        if len(word) >= MIN_SECRET_CHARACTERS and not word.startswith("--")
    }
