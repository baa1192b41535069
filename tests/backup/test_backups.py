"""Backups from one data directory to another."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from support.harness import ANNA, SCOPE, Harness, settings_for
from support.records import raises_failure

from wizard.backup import RestoreResult, open_backup, service
from wizard.backup.service import Backup, dump, load
from wizard.errors import WizardError
from wizard.model import Account, ClientSecret, Grant, GrantState, Identifier, Organization
from wizard.services import Services
from wizard.store import Destination, StoreContents
from wizard.vault import Vault, passphrase

PASSPHRASE = "four words make one"


@pytest.fixture(autouse=True)
def least_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the smallest accepted key-derivation cost.

    The real one would make these tests take a minute; ``test_passphrase`` uses it.
    """
    monkeypatch.setattr(passphrase, "SCRYPT_COSTS", passphrase.ACCEPTED_SCRYPT_COSTS[0])


@pytest.fixture
def other(harness: Harness) -> Iterator[Harness]:
    """A second, empty data directory on another machine with the same Zoho."""
    directory = harness.directory / "another machine"
    directory.mkdir()
    with Services.open(
        settings_for(directory, harness.simulator.url), harness.simulator.clock
    ) as services:
        yield Harness(services, harness.simulator, directory)


@pytest.fixture
def file(harness: Harness) -> Path:
    return harness.directory / "wizard.backup"


def write(harness: Harness, file: Path, *, move: bool = False) -> None:
    harness.services.backups.write(file, PASSPHRASE, deactivate=move)


def restore(harness: Harness, file: Path, *names: str) -> RestoreResult:
    found = open_backup(file, PASSPHRASE, harness.services.zoho.instance)
    return harness.services.backups.restore(found, names)


def grant_of(harness: Harness, name: str = "crm") -> Grant:
    grant = harness.services.store.grants.get(name)
    assert grant is not None
    return grant


def test_a_backup_is_private_and_unreadable_without_its_passphrase(
    harness: Harness, file: Path
) -> None:
    token = harness.add_verified_connection().refresh_token
    write(harness, file)

    content = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for secret in (
        token,
        harness.registered_client["client_id"],
        *harness.registered_client["secrets"].values(),
    ):
        assert secret.encode() not in content


def test_a_restored_connection_works_elsewhere_once_it_is_verified(
    harness: Harness, other: Harness, file: Path
) -> None:
    before = harness.add_verified_connection()
    harness.services.store.destinations.add(
        Destination("crm", "dotenv", "/srv/.env", reload_command="true")
    )
    write(harness, file)

    assert restore(other, file).connections == ("crm",)

    restored = grant_of(other)
    assert restored == replace(before, state=GrantState.NOT_VERIFIED)
    assert other.services.store.clients.get(before.client_id).secrets
    (destination,) = other.services.store.destinations.all("crm")
    assert (destination.target, destination.reload_command) == ("/srv/.env", "true")
    assert destination.generation == 0, "this installation has delivered nothing"

    other.verify("crm", restored.generation)
    assert grant_of(other).state is GrantState.VERIFIED
    assert other.services.tokens.access_token("crm").value


def test_a_backup_depends_on_no_key_of_the_machine(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file)
    assert harness.services.vault.key != other.services.vault.key
    os.unlink(harness.services.paths.key_file)

    assert restore(other, file).connections == ("crm",)


def test_part_of_a_backup_can_be_restored(harness: Harness, other: Harness, file: Path) -> None:
    harness.add_verified_connection("crm")
    harness.add_verified_connection("books")
    write(harness, file)

    assert restore(other, file, "books").connections == ("books",)

    assert [each.name for each in other.services.store.connections.all()] == ["books"]
    assert [each.name for each in other.services.store.clients.all()] == ["books"]


def test_names_missing_from_the_backup_change_nothing(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file)
    with raises_failure("not-in-backup"):
        restore(other, file, "crm", "desk")
    assert other.services.store.connections.all() == ()


BAD_VALUES: dict[str, tuple[str, dict[str, Any]]] = {
    "location": ("clients", {"location": "nowhere"}),
    "redirect_uri": ("clients", {"redirect_uri": "javascript:alert(1)"}),
    "destination": ("destinations", {"field_names": {"ZOHO_DC": "A\nB"}}),
    "short scope": ("connections", {"scope": ("a.b",)}),
    "empty scope": ("connections", {"scope": ("",)}),
    "no scope": ("connections", {"scope": ()}),
    "escape sequence": ("clients", {"name": "\x1b[2Jcrm"}),
    "bell": ("clients", {"name": "crm\a"}),
    "text direction": ("clients", {"name": "crm\u202e"}),
    "no name": ("clients", {"name": " "}),
    "client secret": ("clients", {"secrets": (ClientSecret("com", "a\r\nb"),)}),
    "refresh token": ("grants", {"refresh_token": "a b"}),
    "no refresh token": ("grants", {"refresh_token": ""}),
    "account": ("grants", {"account": Account(cast("Identifier", "1/../2"), "anna@example.com")}),
    "organization": (
        "grants",
        {"organizations": (Organization("crm", cast("Identifier", ""), "Example"),)},
    ),
}


@pytest.mark.parametrize("field", BAD_VALUES)
def test_a_value_that_no_form_accepts_is_refused(
    harness: Harness, other: Harness, field: str
) -> None:
    harness.add_verified_connection()
    target = str(harness.directory / ".env")
    harness.services.store.destinations.add(Destination("crm", "dotenv", target))
    contents = harness.services.store.transfers.export_contents()
    kind, changes = BAD_VALUES[field]
    changed = replace(contents, **{kind: (replace(getattr(contents, kind)[0], **changes),)})
    backup = Backup(harness.now(), "", harness.services.zoho.instance, changed)
    with raises_failure("backup-bad-value"):
        other.services.backups.restore(load(dump(backup)))
    assert other.services.store.connections.all() == ()
    other.services.backups.restore(replace(backup, contents=contents))


@pytest.mark.parametrize("client_id", ["1000.X Y", "", "../1000.X"])
def test_a_client_id_that_no_form_accepts_is_refused(
    harness: Harness, other: Harness, client_id: str
) -> None:
    harness.add_verified_connection()
    contents = harness.services.store.transfers.export_contents()
    changed = StoreContents(
        tuple(replace(each, client_id=client_id) for each in contents.clients),
        tuple(replace(each, client_id=client_id) for each in contents.connections),
        tuple(replace(each, client_id=client_id) for each in contents.grants),
    )
    backup = Backup(harness.now(), "", harness.services.zoho.instance, changed)
    with raises_failure("backup-bad-value"):
        other.services.backups.restore(load(dump(backup)))
    assert other.services.store.connections.all() == ()


def test_the_connection_of_a_self_client_is_restored(
    harness: Harness, other: Harness, file: Path
) -> None:
    made = harness.controls.register_client(ANNA, [], name="Self", kind="self-client")
    ((_, secret),) = made["secrets"].items()
    client = harness.services.clients.register(
        f"{made['client_id']} {secret}", name="Self", redirect_uri="", location="eu"
    )
    harness.add_connection("crm", client)
    code = harness.controls.generate_code(client.client_id, ",".join(SCOPE))
    harness.services.authorization.complete_self_client("crm", code)
    write(harness, file)
    assert restore(other, file).connections == ("crm",)


def test_a_backup_with_damaged_secrets_is_still_restored(harness: Harness, other: Harness) -> None:
    grant = harness.add_verified_connection()
    contents = harness.services.store.transfers.export_contents()
    (client,), (secret,) = contents.clients, contents.clients[0].secrets
    damaged = replace(grant, refresh_token="", state=GrantState.NEEDS_REAUTHORIZATION)
    changed = replace(
        contents,
        clients=(replace(client, secrets=(replace(secret, value=""),)),),
        grants=(damaged,),
    )
    backup = Backup(harness.now(), "", harness.services.zoho.instance, changed)
    assert other.services.backups.restore(load(dump(backup))).connections == ("crm",)


def test_a_value_of_another_type_is_refused(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.store.destinations.add(Destination("crm", "dotenv", "/srv/.env"))
    contents = harness.services.store.transfers.export_contents()
    stored = json.loads(dump(Backup(harness.now(), "", harness.services.zoho.instance, contents)))
    accepted = []
    for path in paths_of_values(stored):
        *parents, last = path
        row = stored
        for each in parents:
            row = row[each]
        before = row[last]
        no_times = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z")
        is_time = str(last).endswith("_at")
        for value in ([7], {"x": 7}, 2**70, "a\0b", *(no_times if is_time else ())):
            row[last] = value
            try:
                load(json.dumps(stored).encode())
            except WizardError:
                continue
            accepted.append((path, value))
        row[last] = before
    assert accepted == []


def paths_of_values(stored: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a JSON document that isn't an object or a list."""
    if isinstance(stored, dict | list):
        for key, value in stored.items() if isinstance(stored, dict) else enumerate(stored):
            yield from paths_of_values(value, (*path, key))
    else:
        yield path


def test_restoring_twice_changes_nothing_the_second_time(harness: Harness, file: Path) -> None:
    before = harness.add_verified_connection()
    write(harness, file)
    taken = restore(harness, file)
    assert (taken.connections, taken.already_present) == ((), ("crm",))
    assert grant_of(harness) == before


def test_a_connection_newer_than_the_backup_is_not_replaced(harness: Harness, file: Path) -> None:
    harness.add_verified_connection("books")
    write(harness, file)
    harness.services.tokens.remove_connection("books")
    client = harness.services.store.clients.all()[0]
    harness.add_connection("books", client)
    harness.authorize("books")
    younger = harness.services.store.grants.of_connection("books")

    with raises_failure("restore-name-taken"):
        restore(harness, file)
    assert harness.services.store.grants.of_connection("books") == younger


def test_a_client_that_is_already_stored_is_shared(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file)
    client = harness.services.store.clients.all()[0]
    other.services.store.clients.add(replace(client, name="known here as this"))

    restore(other, file)

    assert [each.name for each in other.services.store.clients.all()] == ["known here as this"]
    assert grant_of(other).client_id == client.client_id


def test_a_rejected_grant_stays_rejected_and_is_not_requested(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    harness.advance(hours=2)
    with raises_failure("refresh-token-rejected"):
        harness.services.tokens.access_token("crm")
    write(harness, file)
    asked = len(harness.refresh_requests())

    restore(other, file)

    with raises_failure("refresh-token-rejected"):
        other.services.tokens.access_token("crm")
    assert len(harness.refresh_requests()) == asked


def test_a_moved_installation_sends_nothing_to_zoho(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file, move=True)
    asked = len(harness.logged_requests())

    with raises_failure("installation-deactivated"):
        harness.services.tokens.access_token("crm")
    with raises_failure("installation-deactivated"):
        harness.services.authorization.begin("crm")
    assert len(harness.logged_requests()) == asked
    restore(other, file)
    assert other.services.tokens.access_token("crm").value


def test_a_moved_installation_works_again_after_everything_is_restored(
    harness: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file, move=True)
    with raises_failure("installation-deactivated"):
        restore(harness, file, "crm")

    assert restore(harness, file).already_present == ("crm",)

    assert harness.services.tokens.access_token("crm").value


def test_a_move_that_cannot_be_written_deactivates_nothing(
    harness: Harness, tmp_path: Path
) -> None:
    harness.add_verified_connection()
    with raises_failure("backup-unwritable"):
        write(harness, tmp_path / "nowhere" / "file", move=True)
    assert harness.services.store.installation.deactivated_at() is None
    assert harness.services.store.installation.backed_up_at() is None


def test_a_backup_that_cannot_be_read_back_is_reported_and_not_counted(
    harness: Harness, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_verified_connection()
    small = replace(passphrase.BACKUP, max_bytes=64)  # no file of this size can be read
    monkeypatch.setattr(service, "BACKUP", small)
    with raises_failure("backup-not-one"):
        write(harness, file, move=True)
    assert harness.services.store.installation.backed_up_at() is None
    assert harness.services.store.installation.deactivated_at() is None


def test_rows_that_belong_to_nothing_or_exist_twice_are_refused(
    harness: Harness, file: Path
) -> None:
    grant = harness.add_verified_connection()
    write(harness, file)
    kept = open_backup(file, PASSPHRASE, harness.services.zoho.instance)
    contents = kept.contents
    stray, twice = "backup-stray-row", "backup-duplicate-row"
    for changed, code, row, name in (
        ({"grants": (replace(grant, connection="nobody"),)}, stray, "authorization", "nobody 1"),
        (
            {"destinations": (Destination("nobody", "dotenv", "/.env"),)},
            stray,
            "destination",
            "nobody /.env",
        ),
        ({"clients": ()}, stray, "connection", "crm"),
        ({"grants": (replace(grant, client_id="1000.X"),)}, stray, "authorization", "crm 1"),
        ({"clients": contents.clients * 2}, twice, "client", grant.client_id),
        ({"connections": contents.connections * 2}, twice, "connection", "crm"),
        ({"grants": contents.grants * 2}, twice, "authorization", "crm 1"),
    ):
        with raises_failure(code) as raised:
            load(dump(replace(kept, contents=replace(contents, **changed))))
        details = raised.value.failure.details
        assert (details["row"], details["name"]) == (row, name)


def test_the_data_directory_records_when_it_was_backed_up(harness: Harness, file: Path) -> None:
    assert harness.services.store.installation.backed_up_at() is None
    before = harness.now()
    write(harness, file)
    at = harness.services.store.installation.backed_up_at()
    assert at is not None
    assert before <= at <= harness.now()


def test_a_backup_is_overwritten_only_by_the_next_backup(harness: Harness, file: Path) -> None:
    write(harness, file)
    harness.add_verified_connection()
    write(harness, file)
    found = open_backup(file, PASSPHRASE, harness.services.zoho.instance)
    assert [each.name for each in found.contents.connections] == ["crm"]
    assert [path.name for path in file.parent.glob("wizard.backup*")] == ["wizard.backup"]


def test_a_file_that_is_not_a_backup_is_not_overwritten(harness: Harness, tmp_path: Path) -> None:
    notes, link = tmp_path / "notes", tmp_path / "link"
    notes.write_text("dear diary")
    link.symlink_to(notes)
    for path in (notes, link, tmp_path):
        with raises_failure("backup-file-taken"):
            write(harness, path)
    assert notes.read_text() == "dear diary"


@pytest.mark.parametrize("weak", ["", "short", "eleven char"])
def test_a_weak_passphrase_is_refused(harness: Harness, file: Path, weak: str) -> None:
    with raises_failure("passphrase-too-short"):
        harness.services.backups.write(file, weak, deactivate=True)
    assert not file.exists()
    assert harness.services.store.installation.deactivated_at() is None


def test_a_backup_of_a_different_zoho_environment_is_refused(harness: Harness, file: Path) -> None:
    write(harness, file)
    with raises_failure("backup-foreign-zoho"):
        open_backup(file, PASSPHRASE, "live")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with raises_failure("backup-unreadable"):
        open_backup(tmp_path / "none", PASSPHRASE, "live")


# --- Two installations must not use one grant ----------------------------------------------------


def warning_codes(harness: Harness, name: str = "") -> list[str]:
    result = (
        harness.services.cautions.of_connection(name)
        if name
        else harness.services.cautions.of_installation()
    )
    return [each.code for each in result]


def test_a_restore_is_reported_until_the_original_is_deactivated(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file)
    restore(other, file)
    assert warning_codes(other) == warning_codes(other, "crm") == ["two-installations"]
    (caution,) = other.services.cautions.of_connection("crm")
    assert "crm came from a backup made on" in caution.cause
    assert warning_codes(harness) == []

    write(harness, file, move=True)
    assert restore(other, file).already_present == ("crm",)

    assert warning_codes(other) == warning_codes(other, "crm") == []


def test_confirming_that_the_original_is_gone_ends_the_caution(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file)
    restore(other, file)
    other.services.store.shared_grants.forget()
    assert warning_codes(other, "crm") == []
    other.services.tokens.remove_connection("crm")
    found = open_backup(file, PASSPHRASE, harness.services.zoho.instance)
    other.services.backups.restore(found, is_original_inactive=True)
    assert warning_codes(other, "crm") == []


def test_a_grant_authorized_here_since_the_restore_has_no_caution(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file)
    restore(other, file)
    other.verify("crm", 1)
    other.verify("crm", other.authorize("crm").generation or 0)
    assert warning_codes(other, "crm") == []


def test_restoring_into_the_same_data_directory_has_no_caution(
    harness: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file)
    harness.services.tokens.remove_connection("crm")
    restore(harness, file)
    assert warning_codes(harness, "crm") == []


def test_restoring_a_moved_connection_warns_of_where_it_was_moved(
    harness: Harness, file: Path
) -> None:
    harness.add_verified_connection()
    write(harness, file, move=True)
    restore(harness, file)
    assert warning_codes(harness) == warning_codes(harness, "crm") == ["installation-came-back"]


def test_a_restored_refresh_token_that_was_replaced_since_is_reported_as_lost(
    harness: Harness, other: Harness, file: Path
) -> None:
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    kept = harness.add_verified_connection()
    write(harness, file)
    harness.advance(hours=2)
    harness.services.tokens.access_token("crm")
    restore(other, file)
    restored = grant_of(other)
    assert (restored.refresh_token, restored.rotated_at) == (kept.refresh_token, kept.rotated_at)
    with raises_failure("refresh-token-rejected"):
        other.services.tokens.refresh_grant(restored)
    finding = other.services.diagnosis.status_of("crm").explanation
    assert finding is not None
    [lost] = [each for each in finding.causes if each.code == "rotated-token-lost"]
    assert "The server has replaced refresh tokens before" in lost.evidence_for[0]


def test_a_backup_from_before_rotation_was_detected_is_read(harness: Harness, file: Path) -> None:
    harness.add_verified_connection()
    write(harness, file)
    found = open_backup(file, PASSPHRASE, harness.services.zoho.instance)
    older = json.loads(dump(found))
    for grant in older["contents"]["grants"]:
        del grant["rotated_at"]
    assert load(json.dumps(older).encode()) == found


def test_restoring_a_grant_whose_refresh_token_was_replaced_keeps_the_new_one(
    harness: Harness, file: Path
) -> None:
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    harness.add_verified_connection()
    write(harness, file)
    harness.advance(hours=2)
    harness.services.tokens.access_token("crm")
    newest = grant_of(harness)
    restore(harness, file)
    assert grant_of(harness) == newest


@contextmanager
def shared_machine(harness: Harness, name: str, url: str) -> Iterator[Harness]:
    """A machine that uses a shared store."""
    directory = harness.directory / name
    settings = settings_for(directory, harness.simulator.url, url)
    settings.paths.prepare()
    key_of_first = harness.directory / "first" / "config" / "key"
    if key_of_first.exists():
        shutil.copy(key_of_first, settings.paths.key_file)
    Vault.open(settings.paths, for_new_store=True)
    with Services.open(settings, harness.simulator.clock) as services:
        yield Harness(services, harness.simulator, directory)


@pytest.mark.slow
def test_a_backup_of_one_engine_is_restored_on_the_other(
    harness: Harness, other: Harness, file: Path, postgresql_url: str
) -> None:
    before = harness.add_verified_connection()
    harness.services.store.destinations.add(Destination("crm", "dotenv", "/srv/.env"))
    write(harness, file, move=True)
    with shared_machine(harness, "first", postgresql_url) as shared:
        assert restore(shared, file).connections == ("crm",)
        assert grant_of(shared) == replace(before, state=GrantState.NOT_VERIFIED)
        shared.verify("crm", before.generation)
        assert shared.services.tokens.access_token("crm").value
        back = shared.directory / "wizard.backup"
        write(shared, back, move=True)
        with raises_failure("installation-deactivated"):
            shared.services.tokens.access_token("crm", force_refresh=True)
    assert restore(other, back).connections == ("crm",)
    assert grant_of(other) == replace(before, state=GrantState.NOT_VERIFIED)
    assert [each.target for each in other.services.store.destinations.all()] == ["/srv/.env"]


def test_machines_that_share_a_store_are_one_installation_to_a_backup(
    harness: Harness, file: Path, postgresql_url: str
) -> None:
    with (
        shared_machine(harness, "first", postgresql_url) as first,
        shared_machine(harness, "second", postgresql_url) as second,
    ):
        first.add_verified_connection()
        write(first, file)
        first.services.store.connections.remove("crm")
        assert restore(second, file).connections == ("crm",)
        assert second.services.store.shared_grants.all() == ()
