"""Sends a message by the command or to the address that this home remembers, and remembers whether
it arrived: exit code 0, or an HTTP status of the twenties."""

import re
import shlex
import shutil
from collections.abc import Mapping
from typing import Any

from wizard.delivery import commands
from wizard.errors import WizardError, message
from wizard.model import Clock, Failure
from wizard.serialization import to_json
from wizard.store import NotifyFailure, Store
from wizard.transport import webhook

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
        at = f"{self._clock().astimezone():%Y-%m-%d %H:%M}"
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
