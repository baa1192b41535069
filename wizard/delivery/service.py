"""Deliver a connection's credentials to programs that refresh tokens themselves."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from wizard import files
from wizard.delivery import commands, destination_files
from wizard.delivery.destination_files import DISK_FULL_ERRORS, FileAccess, FormatError
from wizard.delivery.profiles import (
    PLACEHOLDERS,
    PROFILE_FILE_SUFFIX,
    SECRET_NAMES,
    Profile,
    credential_values,
    profile,
    profile_of,
    unknown_placeholders,
)
from wizard.errors import WizardError, fail, message
from wizard.locks import hold_lock
from wizard.model import Clock, Event, Failure, Grant
from wizard.model.states import DestinationState
from wizard.paths import Paths, user_or_group_number
from wizard.store import Destination, Store
from wizard.tokens.request_log import ClientRequests
from wizard.zoho import Zoho


@dataclass(frozen=True)
class DestinationStatus:
    """The result of checking a destination."""

    destination: Destination
    state: DestinationState
    found_generation: int = 0
    """The generation of the refresh token there; 0: unknown or none."""
    changed_fields: tuple[str, ...] = ()
    """Fields that someone else changed."""
    failure: Failure | None = None

    @property
    def details(self) -> dict[str, str]:
        """The placeholders of the state's messages."""
        fields = ", ".join(self.changed_fields)
        return {"generation": str(self.found_generation), "fields": fields}

    @property
    def needs_delivery(self) -> bool:
        """Whether the program there may not use the current grant."""
        return self.state not in (DestinationState.CURRENT, DestinationState.UNVERIFIABLE)

    @property
    def problem(self) -> Failure | None:
        """Why the program there may not use the current grant; None if all is well, or if nothing
        was delivered yet, or the first delivery was undone."""
        if self.failure or not self.needs_delivery or self.state is DestinationState.NOT_DELIVERED:
            return self.failure
        details = {"target": self.destination.target, "destination_state": self.state.value}
        return Failure("destination-not-current", details={**details, **self.details})


@dataclass(frozen=True)
class FieldChange:
    """One field of a preview."""

    name: str
    kind: str
    """``added``, ``changed`` or ``same``."""
    is_secret: bool
    value: str = field(repr=False)


@dataclass(frozen=True)
class DeliveryPreview:
    """What a delivery would change."""

    destination: Destination
    generation: int
    changes: tuple[FieldChange, ...]
    is_new: bool
    """The file doesn't exist yet."""
    mode: str = ""
    """The file's current mode if the delivery changes it, such as ``0644``; otherwise empty."""
    owner: str = ""
    """The file's owner if that is a different user, who can read the new content; else empty."""
    group_writable: tuple[str, ...] = ()
    """The directories above the file in which a group can replace it."""


def field_changes(
    before: Mapping[str, str], after: Mapping[str, str], secrets: Iterable[str]
) -> tuple[FieldChange, ...]:
    """The fields of an entry after a delivery, compared with those before it."""
    secrets = tuple(secrets)
    return tuple(
        FieldChange(
            name, _change_kind(before.get(name), value), any(s in value for s in secrets), value
        )
        for name, value in after.items()
    )


def _change_kind(before: str | None, after: str) -> str:
    if before is None:
        return "added"
    return "same" if before == after else "changed"


def compare_token(
    destination: Destination,
    token: str | None,
    grants: tuple[Grant, ...],
    current: Grant | None,
) -> DestinationStatus:
    """The status by the refresh token found at a destination and the connection's grants."""
    if token is None:
        return DestinationStatus(destination, DestinationState.MISSING)
    found = next((each for each in grants if each.refresh_token == token), None)
    if found is None and content_digest(token) == destination.token_digest:
        return DestinationStatus(destination, DestinationState.ROTATED, destination.generation)
    if found is None:
        return DestinationStatus(destination, DestinationState.UNKNOWN_TOKEN)
    same = current is not None and current.generation == found.generation
    condition = DestinationState.CURRENT if same else DestinationState.OUT_OF_DATE
    return DestinationStatus(destination, condition, found.generation)


def unseen(destination: Destination, current: Grant | None) -> DestinationStatus:
    """The status of a command's destination, which can't be read back."""
    condition = DestinationState.OUT_OF_DATE
    if current is not None and current.generation == destination.generation:
        given = destination.token_digest
        same = given is None or given == content_digest(current.refresh_token)
        condition = DestinationState.UNVERIFIABLE if same else DestinationState.ROTATED
    return DestinationStatus(destination, condition, destination.generation)


def recorded_state(destination: Destination, current: Grant | None) -> DestinationState:
    """The state of a destination on another machine, which can't be read here, by its last
    delivery."""
    if destination.delivered_at is None:
        return DestinationState.NOT_DELIVERED
    same = current is not None and current.generation == destination.generation
    return DestinationState.CURRENT if same else DestinationState.OUT_OF_DATE


def content_digest(text: str) -> str:
    """A digest that recognizes a content or token. Tokens are long and random, so it reveals
    nothing."""
    return hashlib.sha256(text.encode()).hexdigest()


def with_write_intent(
    destination: Destination, previous_content: str | None, text: str, token: str
) -> Destination:
    """The destination with the intent to replace `previous_content` by `text`, which contains the
    refresh token `token`."""
    return replace(
        destination,
        content_sha256=content_digest(text),
        previous_content=previous_content,
        previous_generation=destination.generation,
        token_digest=content_digest(token),
    )


def was_interrupted(
    destination: Destination, text: str | None, token: str | None, grants: Iterable[Grant]
) -> bool:
    """Whether `text` with refresh token `token` is from a delivery that was interrupted after the
    write: its intent is stored, but the generation is still the previous one."""
    return (
        None not in (text, token)
        and content_digest(str(text)) == destination.content_sha256
        and destination.previous_generation == destination.generation
        and content_digest(str(token))
        in {destination.token_digest, *(content_digest(grant.refresh_token) for grant in grants)}
    )


_ENTRY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,62}")
"""Valid without quotes as a section of rclone, a cell of the SDKs and a key of JSON."""
_WRITE_LOCK_TIMEOUT_SECONDS = 10.0
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
FILE_MODES = ("0600", "0640", "0660")
"""The modes that a file with credentials may have."""
GROUP_READABLE = "0640"


class DeliveryService:
    """Describes and checks destinations, delivers to them, and undoes deliveries."""

    def __init__(
        self,
        store: Store,
        client_requests: ClientRequests,
        zoho: Zoho,
        paths: Paths,
        clock: Clock,
        environment: Mapping[str, str],
        command_timeout_seconds: float = commands.COMMAND_TIMEOUT_SECONDS,
    ) -> None:
        self._store = store
        self._client_requests = client_requests
        self._zoho = zoho
        self._paths = paths
        self._clock = clock
        self._environment = environment
        self._command_timeout_seconds = command_timeout_seconds

    # describe

    def describe(self, wanted: Destination) -> Destination:
        """`wanted`, resolved and checked but not stored.

        Its target is a path, or a command line if its profile is a command. Its entry is the name
        of the entry in a file with several; by default, the connection's. Its `field_values` can
        contain `PLACEHOLDERS`. A `file_group` without a `file_mode` can read the file. Raises
        ``unknown-connection``, ``unknown-profile``, ``bad-entry``, ``bad-field``,
        ``bad-file-mode``, ``unknown-group``, ``file-options-of-command``, ``destination-taken``,
        and what `commands.resolve_command` raises.
        """
        self._store.connections.get(wanted.connection)
        destination = self.resolve(wanted)
        require_not_taken(destination, self._store.destinations.all())
        return destination

    def resolve(self, wanted: Destination) -> Destination:
        """As `describe`, for a connection that may not be stored yet, and without regard to other
        destinations."""
        profile_id, target, file_mode = wanted.profile, wanted.target, wanted.file_mode
        if profile_id.endswith(PROFILE_FILE_SUFFIX):
            profile_id = os.path.abspath(os.path.expanduser(profile_id))
        chosen = profile(profile_id)
        entry = wanted.entry or (wanted.connection if chosen.has_named_entries else "")
        check_names(chosen, entry, wanted.field_names, wanted.field_values)
        if wanted.file_group:
            file_mode = file_mode or GROUP_READABLE
        file_access(file_mode, wanted.file_group)
        if chosen.is_command and file_mode:
            raise fail("file-options-of-command")
        if chosen.is_command:
            target = commands.resolve_command(target, self._environment)
        else:
            target = os.path.abspath(os.path.expanduser(target))
        command = wanted.reload_command
        return replace(
            wanted,
            profile=profile_id,
            target=target,
            entry=entry,
            reload_command=commands.resolve_command(command, self._environment) if command else "",
            file_mode=file_mode,
        )

    def require_directory(self, destination: Destination) -> None:
        """Raise ``destination-no-directory`` if the directory of its file is missing."""
        directory = os.path.dirname(destination.target)
        if not profile(destination.profile).is_command and not os.path.isdir(directory):
            raise fail("destination-no-directory", target=destination.target, directory=directory)

    def preview(self, destination: Destination) -> DeliveryPreview:
        """What a delivery of the current grant would change. Raises as `deliver` does before it
        writes."""
        wanted, grant = profile_of(destination), self._current_grant(destination.connection)
        values = self._values_for(destination, grant)
        snapshot = (
            destination_files.FileSnapshot()
            if wanted.is_command
            else destination_files.read_file(destination.target)
        )
        with _translate_format_errors(destination):
            before = wanted.read(snapshot.text or "", values["entry"]) or {}
            text = wanted.write(snapshot.text, values, destination.field_names)
            after = wanted.read(text, values["entry"]) or {}
        ours = wanted.required_fields(values, destination.field_names)
        shown = {n: value for n, value in after.items() if n in ours or before.get(n) != value}
        unchanged = snapshot.text is None or snapshot.mode == _access_of(destination).mode
        mode = "" if unchanged else f"{snapshot.mode:04o}"
        return DeliveryPreview(
            destination,
            grant.generation,
            field_changes(before, shown, [values[each] for each in SECRET_NAMES]),
            is_new=snapshot.text is None,
            mode=mode,
            owner=destination_files.other_owner(snapshot),
            group_writable=snapshot.group_writable,
        )

    # deliver

    def add(self, destination: Destination) -> Destination:
        """Store a described destination and deliver to it for the first time. Raises as `deliver`
        does, and then doesn't keep the destination."""
        self.preview(destination)
        added = self._store.destinations.add(destination)
        try:
            return self.deliver(added)
        except BaseException:
            if self._store.destinations.get(added.id).delivered_at is None:
                self._store.destinations.remove(added.id)
            raise

    def deliver(self, destination: Destination, grant: Grant | None = None) -> Destination:
        """Deliver a grant (default: the connection's current one) and run the reload command;
        returns the destination as it is now. If the reload fails, the destination is delivered and
        has the failure.

        Raises ``no-grant``, ``not-verified``, ``refresh-token-rejected``, ``grant-revoked``,
        ``missing-secret``, ``profile-data-center``, what `read_file` and `replace_file` raise,
        ``command-failed``, ``command-timeout``, ``destination-altered``. The destination then keeps
        its content.
        """
        try:
            self._store.destinations.require_unaltered(destination)
            grant = grant or self._current_grant(destination.connection)
            values = self._values_for(destination, grant)
            is_new = grant.generation != destination.generation or not destination.delivered_at
            before, written = self._write(destination, values, is_new=is_new)
        except WizardError as error:
            failed = replace(destination, failure=error.failure)
            self._store.destinations.record_delivery(failed, destination.generation)
            self._record_event("delivery-failed", destination, reason=error.failure.code)
            raise
        delivered = replace(
            destination,
            generation=grant.generation,
            delivered_at=self._clock(),
            reloaded_at=None,
            content_sha256=written,
            failure=None,
            token_digest=content_digest(values["refresh_token"]),
        )
        if is_new:
            delivered = replace(
                delivered, previous_content=before, previous_generation=destination.generation
            )
        self._store.destinations.record_delivery(delivered, destination.generation)
        self._record_event("delivered", delivered, generation=str(delivered.generation))
        return self._reload(delivered)

    def undo(self, destination: Destination) -> Destination:
        """Restore the version before the last delivery, and reload. A second undo reverses it,
        unless it was the first delivery.

        A file that wasn't changed since gets its previous content byte for byte, or is removed if
        there was none. If it was changed, or if the previous refresh token may have rotated, the
        previous grant is delivered. Raises ``nothing-to-undo``, ``destination-changed-since`` if
        neither is possible, and as `deliver` does.
        """
        self._store.destinations.require_unaltered(destination)
        name, before = destination.connection, destination.previous_generation
        is_command = profile_of(destination).is_command
        grant = self._store.grants.get(name, before) if before else None
        nothing = destination.delivered_at is None or before == destination.generation
        if nothing or (is_command and grant is None):
            raise fail("nothing-to-undo", name=name, target=destination.target)
        if grant is not None:
            _usable(grant)
        snapshot = (
            destination_files.FileSnapshot()
            if is_command
            else destination_files.read_file(destination.target)
        )
        rotated = grant is not None and grant.rotated_at is not None
        if (
            rotated
            or snapshot.text is None
            or content_digest(snapshot.text) != destination.content_sha256
        ):
            if grant is None:
                raise fail("destination-changed-since", name=name, target=destination.target)
            return self.deliver(destination, grant)
        return self._restore(destination, snapshot, grant)

    def remove(self, destination: Destination) -> None:
        """Stop delivering to a destination; its content stays."""
        self._store.destinations.remove(destination.id)
        self._record_event("destination-removed", destination)

    # check

    def check(self, destination: Destination) -> DestinationStatus:
        """The status of a destination; failures are in the status, also that of the last delivery
        or reload."""
        try:
            status = self._compare(destination)
        except WizardError as error:  # the user's profile can't be read anymore
            unreadable = DestinationState.UNREADABLE
            return DestinationStatus(destination, unreadable, failure=error.failure)
        return status if status.failure else replace(status, failure=destination.failure)

    def problems(self) -> list[DestinationStatus]:
        """The destinations, of all connections, that have a problem. Runs no command."""
        every = self._store.destinations.all()
        self._store.include(each.connection for each in every)
        return [status for each in every if (status := self.check(each)).problem]

    def _compare(self, destination: Destination) -> DestinationStatus:
        name, wanted = destination.connection, profile_of(destination)
        if destination.delivered_at is None:
            return DestinationStatus(destination, DestinationState.NOT_DELIVERED)
        current = self._store.grants.get(name)
        if wanted.is_command:
            return self._compare_command(destination, wanted, current)
        try:
            snapshot = destination_files.read_file(destination.target)
            with _translate_format_errors(destination):
                entry = wanted.read(snapshot.text or "", destination.entry) or {}
            token = entry.get(wanted.token_field(destination.field_names))
            status = compare_token(
                destination, token, self._store.grants.of_connection(name), current
            )
            is_as_delivered = content_digest(snapshot.text or "") == destination.content_sha256
            if is_as_delivered and status.state is DestinationState.MISSING:
                return replace(status, state=DestinationState.FIELDS_OUT_OF_DATE)
            if (
                current is None
                or status.state is not DestinationState.CURRENT
                or wanted.is_rewritten_by_program
            ):
                return status
            ours = wanted.required_fields(
                self._values_for(destination, current), destination.field_names
            )
        except WizardError as error:
            return DestinationStatus(
                destination, DestinationState.UNREADABLE, failure=error.failure
            )
        different = tuple(each for each, value in ours.items() if entry.get(each) != value)
        if not different:
            return status
        state = DestinationState.FIELDS_OUT_OF_DATE if is_as_delivered else DestinationState.CHANGED
        return replace(status, state=state, changed_fields=different)

    def _compare_command(
        self, destination: Destination, wanted: Profile, current: Grant | None
    ) -> DestinationStatus:
        status = unseen(destination, current)
        if current is not None and status.state is DestinationState.UNVERIFIABLE:
            values = self._values_for(destination, current)
            text = wanted.write(None, values, destination.field_names)
            if content_digest(text) != destination.content_sha256:
                return replace(status, state=DestinationState.FIELDS_OUT_OF_DATE)
        return status

    # steps of a delivery

    def _write(
        self, destination: Destination, values: Mapping[str, str], *, is_new: bool
    ) -> tuple[str | None, str]:
        """Write and read back; returns the previous text and the new digest. For a grant that
        `is_new` there, stores the intent first."""
        wanted = profile_of(destination)
        if wanted.is_command:
            stdin_text = wanted.write(None, values, destination.field_names)
            self._run_command(destination, destination.target, stdin_text)
            return None, content_digest(stdin_text)
        with self._write_lock(destination), _translate_format_errors(destination):
            snapshot = destination_files.read_file(destination.target)
            text = wanted.write(snapshot.text, values, destination.field_names)
            before = self._replaced_content(destination, snapshot)
            if is_new:
                intent = with_write_intent(destination, before, text, values["refresh_token"])
                self._store.destinations.record_delivery(intent, destination.generation)
            access = _access_of(destination)
            now = destination_files.replace_file(destination.target, text, snapshot, access)
            entry = wanted.read(now.text or "", values["entry"]) or {}
        if wanted.required_fields(values, destination.field_names).items() - entry.items():
            destination_files.restore_file(destination.target, snapshot.text, now, access)
            raise fail("destination-not-read-back", target=destination.target)
        return before, content_digest(now.text or "")

    def _replaced_content(
        self, destination: Destination, snapshot: destination_files.FileSnapshot
    ) -> str | None:
        """The version to restore by an undo: the content, or if the last delivery was interrupted,
        what that replaced."""
        wanted = profile_of(destination)
        entry = wanted.read(snapshot.text or "", destination.entry) or {}
        token = entry.get(wanted.token_field(destination.field_names))
        grants = self._store.grants.of_connection(destination.connection)
        cut_off = was_interrupted(destination, snapshot.text, token, grants)
        return destination.previous_content if cut_off else snapshot.text

    def _restore(
        self,
        destination: Destination,
        snapshot: destination_files.FileSnapshot,
        grant: Grant | None,
    ) -> Destination:
        generation = destination.previous_generation
        with self._write_lock(destination):
            now = destination_files.restore_file(
                destination.target, destination.previous_content, snapshot, _access_of(destination)
            )
        restored = replace(
            destination,
            generation=generation,
            delivered_at=self._clock() if generation else None,
            reloaded_at=None,
            content_sha256=content_digest(now.text or ""),
            failure=None,
            previous_generation=destination.generation if generation else 0,
            previous_content=snapshot.text if generation else None,
            token_digest=content_digest(grant.refresh_token) if grant else None,
        )
        self._store.destinations.record_delivery(restored, destination.generation)
        self._record_event("delivery-undone", restored, generation=str(generation))
        return self._reload(restored)

    def _reload(self, destination: Destination) -> Destination:
        if not destination.reload_command:
            return destination
        try:
            self._run_command(destination, destination.reload_command)
            reloaded = replace(destination, reloaded_at=self._clock())
            self._record_event("reloaded", destination, generation=str(destination.generation))
        except WizardError as error:
            known = error.failure.details
            ended = message("reloads", error.failure.code, **known)
            details = {"target": destination.target, "stderr": "", **known, "ended": ended}
            reloaded = replace(destination, failure=Failure("reload-failed", details=details))
            self._record_event("reload-failed", destination, reason=error.failure.code)
        self._store.destinations.record_delivery(reloaded, destination.generation)
        return reloaded

    @contextmanager
    def _write_lock(self, destination: Destination) -> Iterator[None]:
        """Hold the lock for writing: each delivery must see what the previous one wrote.

        Meanwhile a file names the destination, so that `remove_unfinished` finds it.
        """
        lock, marker = self._paths.lock_file(":delivery"), self._paths.delivery_marker
        name = destination.connection
        with hold_lock(lock, _WRITE_LOCK_TIMEOUT_SECONDS, "delivery-under-way", name):
            try:
                self._clean_up()
                files.create(marker, os.fsencode(destination.target))
            except OSError as error:
                code = "disk-full" if error.errno in DISK_FULL_ERRORS else "store-unwritable"
                raise fail(code, path=marker, reason=os.strerror(error.errno or 0)) from error
            try:
                yield
            finally:
                files.remove(marker)

    def remove_unfinished(self) -> None:
        """Remove what a killed delivery left beside a destination. Does nothing while another
        process delivers, or if the file can't be removed now."""
        lock = self._paths.lock_file(":delivery")
        with suppress(WizardError, OSError), hold_lock(lock, 0, "delivery-under-way", ""):
            self._clean_up()

    def _clean_up(self) -> None:
        marker = self._paths.delivery_marker
        if os.path.lexists(marker):
            with open(marker, "rb") as file:
                target = os.fsdecode(file.read())
            if os.path.isabs(target):  # else it was killed before it wrote anything
                with suppress(WizardError):
                    destination_files.remove_unfinished(target)
            files.remove(marker)

    def _run_command(
        self, destination: Destination, command_line: str, stdin_text: str = ""
    ) -> None:
        """Run a command, and mask the secrets of this connection in its stderr."""
        grants = self._store.grants.of_connection(destination.connection)
        clients = [self._store.clients.get(each) for each in {grant.client_id for grant in grants}]
        secrets = {each.refresh_token for each in grants}
        secrets |= {secret.value for client in clients for secret in client.secrets}
        commands.run_command(
            command_line,
            self._environment,
            stdin_text=stdin_text,
            secrets=secrets,
            timeout_seconds=self._command_timeout_seconds,
        )

    # values

    def _current_grant(self, name: str) -> Grant:
        self._store.connections.get(name)
        grant = self._store.grants.get(name)
        if grant is None:
            raise fail(
                "not-verified" if self._store.grants.candidate(name) else "no-grant", name=name
            )
        return _usable(grant)

    def _values_for(self, destination: Destination, grant: Grant) -> dict[str, str]:
        # The caller may have read the grant before its refresh token rotated.
        grant = self._store.grants.get(grant.connection, grant.generation) or grant
        spelling = profile_of(destination).data_center_name(grant.location)
        client = self._store.clients.get(grant.client_id)
        secret = self._client_requests.secret_for(client, grant.location)
        data_center = self._zoho.data_center(grant.location)
        entry = destination.entry
        return credential_values(
            grant, client, secret, data_center, entry=entry, data_center_name=spelling
        )

    def _record_event(self, kind: str, destination: Destination, **details: str) -> None:
        event_details = {"target": destination.target, **details}
        self._store.events.record(Event(self._clock(), destination.connection, kind, event_details))


@contextmanager
def _translate_format_errors(destination: Destination) -> Iterator[None]:
    try:
        yield
    except FormatError as broken:
        raise destination_files.format_failure(destination.target, broken) from None


def require_not_taken(destination: Destination, others: Iterable[Destination]) -> None:
    """Raise ``destination-taken`` if one of `others`, of a different connection, writes the same
    fields."""
    for other in others:
        same = (other.target, other.entry) == (destination.target, destination.entry)
        if (
            same
            and other.connection != destination.connection
            and _shares_token_field(other, destination)
        ):
            raise fail("destination-taken", target=other.target, other=other.connection)


def check_names(
    wanted: Profile, entry: str, field_names: Mapping[str, str], field_values: Mapping[str, str]
) -> None:
    """Judge the name of an entry (empty: none), the chosen names of fields, and the fields that the
    user sets. Raises ``bad-entry``, ``bad-field``, ``bad-field-value``."""
    if entry and not _ENTRY_NAME.fullmatch(entry):
        raise fail("bad-entry", value=entry[:60])
    for known, chosen in field_names.items():
        if known not in wanted.renamable_fields or not _FIELD_NAME.fullmatch(chosen):
            given, fields = f"{known}={chosen}"[:120], ", ".join(wanted.renamable_fields)
            raise fail("bad-field", value=given, known=fields)
    for name, template in field_values.items():
        kept = (*wanted.reset_fields, wanted.token_field({}))
        if (
            not _FIELD_NAME.fullmatch(name)
            or name in kept
            or not template
            or unknown_placeholders([template])
        ):
            given = f"{name}={template}"[:120]
            raise fail("bad-field-value", value=given, known=", ".join(PLACEHOLDERS))


def check_file_mode(file_mode: str) -> None:
    """Raise ``bad-file-mode`` unless it's empty or one of `FILE_MODES`."""
    if file_mode and file_mode not in FILE_MODES:
        raise fail("bad-file-mode", value=file_mode[:20], known=", ".join(FILE_MODES))


def file_access(file_mode: str, file_group: str) -> FileAccess:
    """The access that a mode in octal and a group (name or number) describe; empty ones are the
    default. Raises ``bad-file-mode`` and ``unknown-group``."""
    check_file_mode(file_mode)
    mode = int(file_mode, 8) if file_mode else files.FILE_MODE
    if not file_group:
        return FileAccess(mode)
    try:
        import grp  # not on every system

        number = user_or_group_number(file_group)
        group = grp.getgrnam(file_group).gr_gid if number is None else number
    except (ImportError, KeyError):
        raise fail("unknown-group", group=file_group[:60]) from None
    return FileAccess(mode, group)


def _access_of(destination: Destination) -> FileAccess:
    return file_access(destination.file_mode, destination.file_group)


def _shares_token_field(one: Destination, other: Destination) -> bool:
    token_fields = [profile_of(each).token_field(each.field_names) for each in (one, other)]
    return token_fields[0] == token_fields[1]


def _usable(grant: Grant) -> Grant:
    """`grant` if it can be delivered; raises ``refresh-token-rejected`` or ``grant-revoked``."""
    if ended := grant.end_failure:
        raise WizardError(ended)
    return grant
