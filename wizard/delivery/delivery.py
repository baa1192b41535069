"""A connection's credentials, brought to the programs that renew tokens themselves."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from wizard.broker import Broker
from wizard.broker.lock import held
from wizard.delivery import command, file
from wizard.delivery.facts import SECRET, facts_of, usable
from wizard.delivery.intent import digest, intended, was_cut_off
from wizard.delivery.profiles import profile
from wizard.delivery.shape import Broken
from wizard.delivery.sight import Condition, Preview, Sight, changes, compare, unseen
from wizard.errors import WizardError, fail, phrase
from wizard.home import Home
from wizard.model import Clock, Event, Failure, Grant
from wizard.store import Destination, Store
from wizard.zoho import Zoho

_ENTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,62}")
"""Fit for a section of rclone, a cell of the SDKs and a key of JSON, unquoted in each."""
_WRITE_DEADLINE = 10.0  # seconds; a small file is written in milliseconds
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


class Delivery:
    """Describes destinations, delivers to them, looks at them, and takes deliveries back."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        zoho: Zoho,
        home: Home,
        clock: Clock,
        environment: Mapping[str, str],
        patience: float = command.PATIENCE_SECONDS,
    ) -> None:
        self._store = store
        self._broker = broker
        self._zoho = zoho
        self._home = home
        self._clock = clock
        self._environment = environment
        self._patience = patience

    # describing

    def describe(
        self,
        name: str,
        profile_id: str,
        target: str,
        *,
        entry: str = "",
        names: Mapping[str, str] | None = None,
        reload: str = "",
    ) -> Destination:
        """A destination of connection `name`, checked but not stored.

        `target` is a path, or a command line where the profile wants one; `entry` the name of our
        entry in a file of several (default: the connection's); `names` the fields that go by
        other names there. Raises ``unknown-connection``, ``unknown-profile``, ``bad-entry``,
        ``bad-field``, ``destination-taken``, and what `command.settle` raises.
        """
        self._store.connection(name)
        wanted, names = profile(profile_id), dict(names or {})
        entry = entry or (name if wanted.named else "")
        if entry and not _ENTRY.fullmatch(entry):
            raise fail("bad-entry", given=entry[:60])
        for known, chosen in names.items():
            if known not in wanted.vocabulary or not _FIELD.fullmatch(chosen):
                given, fields = f"{known}={chosen}"[:120], ", ".join(wanted.vocabulary)
                raise fail("bad-field", given=given, known=fields)
        if wanted.is_command:
            target = command.settle(target, self._environment)
        else:
            target = os.path.abspath(os.path.expanduser(target))
        reload = command.settle(reload, self._environment) if reload else ""
        described = Destination(name, profile_id, target, entry, names, reload)
        self._refuse_taken(described)
        return described

    def _refuse_taken(self, described: Destination) -> None:
        """Two connections that write the same fields would undo each other for ever."""
        for other in self._store.destinations():
            same = (other.target, other.entry) == (described.target, described.entry)
            if (
                same
                and other.connection != described.connection
                and _fields_shared(other, described)
            ):
                raise fail("destination-taken", target=other.target, other=other.connection)

    def preview(self, destination: Destination) -> Preview:
        """What delivering the current grant would change. Raises as `deliver` does before
        anything is written."""
        wanted, grant = profile(destination.profile), self._current(destination.connection)
        facts = self._facts(destination, grant)
        seen = file.Seen() if wanted.is_command else file.look(destination.target)
        with _readable(destination):
            before = wanted.read(seen.text or "", facts["entry"]) or {}
            text = wanted.write(seen.text, facts, destination.names)
            after = wanted.read(text, facts["entry"]) or {}
        ours = wanted.wanted(facts, destination.names)
        shown = {n: value for n, value in after.items() if n in ours or before.get(n) != value}
        mode = "" if seen.text is None or seen.mode == file.PRIVATE else f"{seen.mode:04o}"
        return Preview(
            destination,
            grant.generation,
            changes(before, shown, [facts[each] for each in SECRET]),
            new=seen.text is None,
            mode=mode,
            owner=file.stranger(seen),
        )

    # delivering

    def add(self, destination: Destination) -> Destination:
        """Store a described destination and deliver to it for the first time.

        Raises as `deliver` does; a destination that could not be served is not kept.
        """
        self.preview(destination)
        added = self._store.add_destination(destination)
        try:
            return self.deliver(added)
        except BaseException:
            if self._store.destination(added.id).delivered_at is None:
                self._store.remove_destination(added.id)
            raise

    def deliver(self, destination: Destination, grant: Grant | None = None) -> Destination:
        """Bring a grant (default: the connection's current one) to a destination; returns it as
        it is now. The reload command, where there is one, then says whether it is in use: if that
        fails, the destination carries the failure and is delivered all the same.

        Raises ``no-grant``, ``not-proved``, ``grant-dead``, ``grant-revoked``, ``missing-secret``,
        ``profile-data-centre``, what `file.look` and `file.replace` raise, ``command-failed``,
        ``command-timeout``: then the destination holds what it held before.
        """
        try:
            grant = grant or self._current(destination.connection)
            facts = self._facts(destination, grant)
            is_new = grant.generation != destination.generation or not destination.delivered_at
            before, written = self._hand_over(destination, facts, is_new=is_new)
        except WizardError as error:
            failed = replace(destination, failure=error.failure)
            self._store.deliver_destination(failed, destination.generation)
            self._note("delivery-failed", destination, reason=error.failure.code)
            raise
        delivered = replace(
            destination,
            generation=grant.generation,
            delivered_at=self._clock(),
            in_use_at=None,
            written=written,
            failure=None,
            token_digest=digest(facts["refresh_token"]),
        )
        if is_new:
            delivered = replace(delivered, before=before, before_generation=destination.generation)
        self._store.deliver_destination(delivered, destination.generation)
        self._note("delivered", delivered, generation=str(delivered.generation))
        return self._reloaded(delivered)

    def undo(self, destination: Destination) -> Destination:
        """Put the version before the last delivery back, and reload; undone twice, it is back.

        A file that nobody touched since gets its old content back byte for byte, or goes where
        there was none. One that its program has written to is given the grant of before, and so is
        one whose old content has a refresh token that may have been replaced since. Raises
        ``nothing-to-undo``, ``destination-changed-since`` where neither is possible, and as
        `deliver` does.
        """
        name, before = destination.connection, destination.before_generation
        is_command = profile(destination.profile).is_command
        grant = self._store.grant(name, before) if before else None
        nothing = destination.delivered_at is None or before == destination.generation
        if nothing or (is_command and grant is None):
            raise fail("nothing-to-undo", name=name, target=destination.target)
        seen = file.Seen() if is_command else file.look(destination.target)
        rotated = grant is not None and grant.rotated_at is not None
        if rotated or seen.text is None or digest(seen.text) != destination.written:
            if grant is None:
                raise fail("destination-changed-since", name=name, target=destination.target)
            return self.deliver(destination, usable(grant))
        return self._put_back(destination, seen, grant)

    def remove(self, destination: Destination) -> None:
        """Deliver there no more; what it holds stays, for it is another program's."""
        self._store.remove_destination(destination.id)
        self._note("destination-removed", destination)

    # looking

    def look(self, destination: Destination) -> Sight:
        """How a destination stands now. Nothing is raised for what is found there."""
        name, wanted = destination.connection, profile(destination.profile)
        if destination.delivered_at is None:
            return Sight(destination, Condition.WAITING, failure=destination.failure)
        current = self._store.grant(name)
        if wanted.is_command:
            return unseen(destination, current)
        try:
            seen = file.look(destination.target)
            with _readable(destination):
                entry = wanted.read(seen.text or "", destination.entry) or {}
            token = entry.get(wanted.token_field(destination.names))
            sight = compare(destination, token, self._store.grants(name), current)
            if current is None or sight.condition is not Condition.CURRENT or wanted.rewritten:
                return sight
            ours = wanted.wanted(self._facts(destination, current), destination.names)
        except WizardError as error:
            return Sight(destination, Condition.UNREADABLE, failure=error.failure)
        edited = tuple(each for each, value in ours.items() if entry.get(each) != value)
        return replace(sight, condition=Condition.EDITED, fields=edited) if edited else sight

    # the parts of a delivery

    def _hand_over(
        self, destination: Destination, facts: Mapping[str, str], *, is_new: bool
    ) -> tuple[str | None, str]:
        """Write, and read back; returns the text before and the digest of what stands now. Where it
        `is_new` there, what is going to be replaced is written down first."""
        wanted = profile(destination.profile)
        if wanted.is_command:
            given = wanted.write(None, facts, destination.names)
            self._run(destination, destination.target, given)
            return None, ""
        with self._writing(destination), _readable(destination):
            seen = file.look(destination.target)
            text = wanted.write(seen.text, facts, destination.names)
            before = self._replaced(destination, seen)
            if is_new:
                intent = intended(destination, before, text, facts["refresh_token"])
                self._store.deliver_destination(intent, destination.generation)
            now = file.replace(destination.target, text, seen)
            entry = wanted.read(now.text or "", facts["entry"]) or {}
        if wanted.wanted(facts, destination.names).items() - entry.items():
            file.put_back(destination.target, seen.text, now)
            raise fail("destination-not-read-back", target=destination.target)
        return before, digest(now.text or "")

    def _replaced(self, destination: Destination, seen: file.Seen) -> str | None:
        """The version that a delivery replaces: what stands there, or what an earlier one replaced
        that was cut off."""
        wanted = profile(destination.profile)
        entry = wanted.read(seen.text or "", destination.entry) or {}
        token = entry.get(wanted.token_field(destination.names))
        grants = self._store.grants(destination.connection)
        cut_off = was_cut_off(destination, seen.text, token, grants)
        return destination.before if cut_off else seen.text

    def _put_back(
        self, destination: Destination, seen: file.Seen, grant: Grant | None
    ) -> Destination:
        generation = destination.before_generation
        with self._writing(destination):
            now = file.put_back(destination.target, destination.before, seen)
        restored = replace(
            destination,
            generation=generation,
            delivered_at=self._clock() if generation else None,
            in_use_at=None,
            written=digest(now.text or ""),
            failure=None,
            before_generation=destination.generation if generation else 0,
            before=seen.text if generation else None,
            token_digest=digest(grant.refresh_token) if grant else None,
        )
        self._store.deliver_destination(restored, destination.generation)
        self._note("delivery-undone", restored, generation=str(generation))
        return self._reloaded(restored)

    def _reloaded(self, destination: Destination) -> Destination:
        if not destination.reload:
            return destination
        try:
            self._run(destination, destination.reload)
            reloaded = replace(destination, in_use_at=self._clock())
            self._note("in-use", destination, generation=str(destination.generation))
        except WizardError as error:
            known = error.failure.details
            ended = phrase("reloads", error.failure.code, **known)
            details = {"target": destination.target, "said": "nothing", **known, "ended": ended}
            reloaded = replace(destination, failure=Failure("reload-failed", details=details))
            self._note("reload-failed", destination, reason=error.failure.code)
        self._store.deliver_destination(reloaded, destination.generation)
        return reloaded

    @contextmanager
    def _writing(self, destination: Destination) -> Iterator[None]:
        """Two deliveries into one file follow one another: each must see what the other wrote."""
        lock = self._home.lock_file(":delivery")
        name = destination.connection
        with held(lock, _WRITE_DEADLINE, "delivery-under-way", name):
            yield

    def _run(self, destination: Destination, line: str, given: str = "") -> None:
        """Run a command; whatever it may know of this connection is masked in what it says."""
        grants = self._store.grants(destination.connection)
        clients = [self._store.client(each) for each in {grant.client_id for grant in grants}]
        secrets = {each.refresh_token for each in grants}
        secrets |= {secret.value for client in clients for secret in client.secrets}
        command.run(line, self._environment, given=given, secrets=secrets, patience=self._patience)

    # what is known

    def _current(self, name: str) -> Grant:
        self._store.connection(name)
        grant = self._store.grant(name)
        if grant is None:
            raise fail("not-proved" if self._store.candidate(name) else "no-grant", name=name)
        return usable(grant)

    def _facts(self, destination: Destination, grant: Grant) -> dict[str, str]:
        # Whoever names the grant may have read it before its refresh token was rotated.
        grant = self._store.grant(grant.connection, grant.generation) or grant
        spelling = profile(destination.profile).spelling_of(grant.location)
        client = self._store.client(grant.client_id)
        secret = self._broker.secret(client, grant.location)
        data_centre = self._zoho.data_centre(grant.location)
        entry = destination.entry
        return facts_of(grant, client, secret, data_centre, entry=entry, spelling=spelling)

    def _note(self, kind: str, destination: Destination, **details: str) -> None:
        told = {"target": destination.target, **details}
        self._store.note(Event(self._clock(), destination.connection, kind, told))


@contextmanager
def _readable(destination: Destination) -> Iterator[None]:
    try:
        yield
    except Broken as broken:
        raise file.complaint(destination.target, broken) from None


def _fields_shared(one: Destination, other: Destination) -> bool:
    token_fields = [profile(each.profile).token_field(each.names) for each in (one, other)]
    return token_fields[0] == token_fields[1]
