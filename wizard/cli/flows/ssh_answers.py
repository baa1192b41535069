"""The token host's side of SSH: answers one request of another machine's key.

A key gets the access tokens of the connections that it was added to, and what `list`, `show` and
`check` print about these. A refusal is a code: a connection that doesn't exist is refused as one
that isn't allowed. The other machine explains it, knowing nothing of this one. If only a service
has the encryption key, it issues the tokens, and nothing else is answered.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from wizard.cli.commands.check import check_statuses
from wizard.cli.commands.connections import connection_details, connection_summary
from wizard.cli.commands.token import issue_token, notify_rejected
from wizard.cli.flows.verification import VerificationOutcome
from wizard.cli.results.checks import CheckReport
from wizard.cli.results.connections import ConnectionDetails, ConnectionList
from wizard.cli.results.token_host import KeyAnswer, KeyRefusal, ServedToken
from wizard.cli.terminal import Terminal
from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError, fail
from wizard.fastpath import served_tokens
from wizard.fastpath.commands import read_database
from wizard.fastpath.ssh_answers import PERMISSIONS
from wizard.fastpath.ssh_requests import PROTOCOL, SshRequest, parse, protocol_of
from wizard.model import Event, Failure
from wizard.model.failure import codes_with
from wizard.serialization import to_json, to_json_value
from wizard.store.history import key_details
from wizard.tokens.service import MAX_TOKEN_CHARACTERS, reported_token

log = logging.getLogger(__name__)

REFUSAL_LOG_INTERVAL = timedelta(minutes=1)
"""Repeated refusals of a key are recorded once in this time."""


def answer_request(terminal: Terminal, fingerprint: str) -> KeyAnswer:
    """The answer to the request in the environment, from the key with `fingerprint`."""
    unanswered = KeyAnswer(PROTOCOL, terminal.settings.simulator_url or "live")
    try:
        return _Answer(terminal, fingerprint, unanswered).to(terminal.settings.ssh_request)
    except WizardError as error:
        return replace(unanswered, error=_refusal(error.failure))
    except Exception:
        log.exception("internal-error: an answer broke off")
        return replace(unanswered, error=_refusal(Failure("internal-error")))


def _refusal(failure: Failure) -> KeyRefusal:
    is_open = failure.code in codes_with("details_for_other_machines")
    details = failure.details if is_open else {}
    return KeyRefusal(failure.code, details, failure.temporary, failure.retry_at)


class _Answer:
    """The answer to one request of one key."""

    def __init__(self, terminal: Terminal, fingerprint: str, unanswered: KeyAnswer) -> None:
        self._terminal = terminal
        self._fingerprint = fingerprint
        self._unanswered = unanswered
        allowed = self._allowed()
        self._names = tuple(allowed)
        self._key = key_details(fingerprint, next(iter(allowed.values()), ""))

    def _allowed(self) -> Mapping[str, str]:
        """The key's comment by the names of its connections."""
        terminal = self._terminal
        if terminal.settings.paths.is_empty:
            return {}
        if terminal.service_socket:
            settings = terminal.settings
            environment = {**settings.child_environment, **settings.service_environment}
            return dict(read_database(environment, PERMISSIONS, self._fingerprint))
        given = terminal.services.store.key_permissions.of_key(self._fingerprint)
        return {each.connection: each.comment for each in given}

    def to(self, line: str) -> KeyAnswer:
        request = parse(line)
        if request is None:
            version = protocol_of(line)
            if version not in (None, PROTOCOL):
                raise fail("token-host-version", theirs=str(PROTOCOL), ours=str(version))
            raise fail("ssh-request-refused")
        if refused := [each for each in request.names if each not in self._names]:
            self._record_refusal(refused[0], "key-not-allowed")
            raise fail("key-not-allowed")
        if not self._names:
            raise fail("key-not-allowed")
        if request.action == "token":
            return replace(self._unanswered, token=self._token(request))
        return replace(self._unanswered, report=self._report(request))

    def _report(self, request: SshRequest) -> ConnectionList | ConnectionDetails | CheckReport:
        if self._terminal.service_socket:
            raise fail("key-missing")
        if request.action == "show":
            return self._details(request.names[0])
        names = request.names or self._names
        return self._list(names) if request.action == "list" else self._check(names)

    def _token(self, request: SshRequest) -> ServedToken:
        if not request.names and len(self._names) > 1:
            raise fail("connection-needed", names=", ".join(self._names))
        name = (request.names or self._names)[0]
        rejected = ""
        if request.is_rejected:
            rejected = reported_token(sys.stdin.buffer.readline(MAX_TOKEN_CHARACTERS + 2))
            self._record("token-reported", name)
        try:
            token = issue_token(self._terminal, name, request.min_ttl_seconds, rejected=rejected)
        except WizardError as error:
            self._record_refusal(name, error.failure.code)
            if error.failure.code == "refresh-token-rejected":
                self._defer_notification(name)
            raise
        self._record("token-served", name, generation=str(token.generation))
        document = to_json_value(token.document)
        return ServedToken(
            access_token=token.value,
            generation=token.generation,
            expires_in=document["expires_in"],
            document=to_json({**document, "expires_in": 0}, indent=2),
            variables=token.variables,
        )

    def _defer_notification(self, name: str) -> None:
        if not self._terminal.service_socket:
            self._terminal.defer(partial(notify_rejected, self._terminal, name))

    def _list(self, names: Sequence[str]) -> ConnectionList:
        now = self._terminal.clock()
        with self._terminal.services.store.snapshot() as view:
            overviews, refreshed = view.overviews.all(names), view.overviews.last_refreshes()
        summaries = (
            connection_summary(row, refreshed.get(row.connection.name), now) for row in overviews
        )
        return ConnectionList(tuple(summaries), None, ())

    def _details(self, name: str) -> ConnectionDetails:
        """Without what names users, destinations and other connections."""
        return replace(connection_details(self._terminal, name), history=(), cautions=())

    def _check(self, names: Sequence[str]) -> CheckReport:
        """Without incidents, which name other connections."""
        terminal = self._terminal
        results = [e for e in terminal.services.checks.check(names) if e.name in names]
        statuses = check_statuses(terminal, results)
        outcomes = (
            VerificationOutcome(
                each.name,
                each.grant,
                each.steps,
                explain_failure(
                    replace(each.failure, details={"name": each.name}, exchange=None),
                    terminal.clock(),
                )
                if each.failure
                else None,
            )
            for each in results
        )
        return CheckReport(tuple(each.result(statuses[each.name]) for each in outcomes), ())

    def _record(self, kind: str, name: str, **details: str) -> None:
        terminal = self._terminal
        if not terminal.service_socket:
            event = Event(terminal.clock(), name, kind, {**self._key, **details})
            terminal.services.store.events.record_token_serving(event)
        elif kind == "token-served":  # the service knows only this process
            key = " ".join(self._key.values())
            served_log = terminal.settings.paths.served_log
            served_tokens.note(served_log, name, int(details["generation"]), os.getppid(), key)

    def _record_refusal(self, name: str, code: str) -> None:
        if self._terminal.settings.paths.is_empty or self._terminal.service_socket:
            return
        store, now = self._terminal.services.store, self._terminal.clock()
        was_just_refused = any(
            event.kind == "token-refused"
            and event.details.get("fingerprint") == self._fingerprint
            and now - event.at < REFUSAL_LOG_INTERVAL
            for event in store.events.of_connection(name)
        )
        if store.connections.exists(name) and not was_just_refused:
            self._record("token-refused", name, code=code)
