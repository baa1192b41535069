"""Everything out of one home and into another."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from core import ANNA, Core, settings_for
from made import refused

from wizard.backup import TakenIn, open_backup
from wizard.backup.document import dump, load
from wizard.house import House
from wizard.model import Grant, GrantState
from wizard.store import Destination
from wizard.vault import passphrase

PASSPHRASE = "four words make one"


@pytest.fixture(autouse=True)
def least_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file says what a guess at its passphrase costs. Here it is the least that is accepted:
    ours would take these tests a minute. ``test_passphrase`` pays the full price."""
    monkeypatch.setattr(passphrase, "COSTS", passphrase.ACCEPTED[0])


@pytest.fixture
def other(core: Core) -> Iterator[Core]:
    """A second, empty home on another machine, beside the same Zoho."""
    directory = core.directory / "another machine"
    directory.mkdir()
    with House.open(settings_for(directory, core.sandbox.url), core.sandbox.clock) as house:
        yield Core(house, core.sandbox, directory)


@pytest.fixture
def file(core: Core) -> Path:
    return core.directory / "wizard.backup"


def write(core: Core, file: Path, *, move: bool = False) -> None:
    core.house.backups.write(file, PASSPHRASE, move=move)


def take_in(core: Core, file: Path, *only: str) -> TakenIn:
    found = open_backup(file, PASSPHRASE, core.house.zoho.mark)
    return core.house.backups.take_in(found, only)


def grant_of(core: Core, name: str = "crm") -> Grant:
    grant = core.house.store.grant(name)
    assert grant is not None
    return grant


def test_a_backup_is_private_and_tells_nothing_without_its_passphrase(
    core: Core, file: Path
) -> None:
    token = core.proved().refresh_token
    write(core, file)

    content = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for secret in (token, core.registered["client_id"], *core.registered["secrets"].values()):
        assert secret.encode() not in content


def test_what_is_restored_elsewhere_works_there_once_it_is_proved(
    core: Core, other: Core, file: Path
) -> None:
    before = core.proved()
    core.house.store.add_destination(Destination("crm", "dotenv", "/srv/.env", reload="true"))
    write(core, file)

    assert take_in(other, file).connections == ("crm",)

    restored = grant_of(other)
    assert restored == replace(before, state=GrantState.UNPROVED)
    assert other.house.store.client(before.client_id).secrets
    (destination,) = other.house.store.destinations("crm")
    assert (destination.target, destination.reload) == ("/srv/.env", "true")
    assert destination.generation == 0, "this home has delivered nothing"

    other.climb("crm", restored.generation)
    assert grant_of(other).state is GrantState.PROVED
    assert other.house.broker.access_token("crm").value


def test_a_backup_depends_on_no_key_of_the_machine(core: Core, other: Core, file: Path) -> None:
    core.proved()
    write(core, file)
    assert core.house.vault.key != other.house.vault.key
    os.unlink(core.house.home.key_file)

    assert take_in(other, file).connections == ("crm",)


def test_part_of_a_backup_can_be_restored(core: Core, other: Core, file: Path) -> None:
    core.proved("crm")
    core.proved("books")
    write(core, file)

    assert take_in(other, file, "books").connections == ("books",)

    assert [each.name for each in other.house.store.connections()] == ["books"]
    assert [each.name for each in other.house.store.clients()] == ["books"]


def test_names_that_are_not_in_the_backup_change_nothing(
    core: Core, other: Core, file: Path
) -> None:
    core.proved()
    write(core, file)
    with refused("not-in-backup"):
        take_in(other, file, "crm", "desk")
    assert other.house.store.connections() == ()


def test_restoring_twice_changes_nothing_the_second_time(core: Core, file: Path) -> None:
    before = core.proved()
    write(core, file)
    taken = take_in(core, file)
    assert (taken.connections, taken.already) == ((), ("crm",))
    assert grant_of(core) == before


def test_a_connection_that_is_younger_than_the_backup_is_not_replaced(
    core: Core, file: Path
) -> None:
    core.proved("books")
    write(core, file)
    core.house.broker.forget("books")
    client = core.house.store.clients()[0]
    core.connection("books", client)
    core.authorize("books")
    younger = core.house.store.grants("books")

    with refused("restore-name-taken"):
        take_in(core, file)
    assert core.house.store.grants("books") == younger


def test_a_client_that_is_here_already_is_shared(core: Core, other: Core, file: Path) -> None:
    core.proved()
    write(core, file)
    client = core.house.store.clients()[0]
    other.house.store.add_client(replace(client, name="known here as this"))

    take_in(other, file)

    assert [each.name for each in other.house.store.clients()] == ["known here as this"]
    assert grant_of(other).client_id == client.client_id


def test_a_dead_grant_stays_dead_and_is_not_asked_for(core: Core, other: Core, file: Path) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    core.advance(hours=2)
    with refused("grant-dead"):
        core.house.broker.access_token("crm")
    write(core, file)
    asked = len(core.refreshes())

    take_in(other, file)

    with refused("grant-dead"):
        other.house.broker.access_token("crm")
    assert len(core.refreshes()) == asked


def test_a_home_that_was_moved_asks_nothing_of_zoho(core: Core, other: Core, file: Path) -> None:
    core.proved()
    write(core, file, move=True)
    asked = len(core.asked())

    with refused("home-retired"):
        core.house.broker.access_token("crm")
    with refused("home-retired"):
        core.house.authorization.begin("crm")
    assert len(core.asked()) == asked
    take_in(other, file)
    assert other.house.broker.access_token("crm").value


def test_a_moved_home_works_again_when_everything_comes_back(core: Core, file: Path) -> None:
    core.proved()
    write(core, file, move=True)
    with refused("home-retired"):
        take_in(core, file, "crm")

    assert take_in(core, file).already == ("crm",)

    assert core.house.broker.access_token("crm").value


def test_a_move_that_cannot_be_written_retires_nothing(core: Core, tmp_path: Path) -> None:
    core.proved()
    with refused("backup-unwritable"):
        write(core, tmp_path / "nowhere" / "file", move=True)
    assert core.house.store.retired_at() is None
    assert core.house.store.backed_up_at() is None


def test_the_home_remembers_when_it_was_backed_up(core: Core, file: Path) -> None:
    assert core.house.store.backed_up_at() is None
    before = core.now()
    write(core, file)
    at = core.house.store.backed_up_at()
    assert at is not None
    assert before <= at <= core.now()


def test_a_backup_is_written_over_by_the_next_one_only(core: Core, file: Path) -> None:
    write(core, file)
    core.proved()
    write(core, file)
    found = open_backup(file, PASSPHRASE, core.house.zoho.mark)
    assert [each.name for each in found.belongings.connections] == ["crm"]
    assert [path.name for path in file.parent.glob("wizard.backup*")] == ["wizard.backup"]


def test_what_is_no_backup_is_not_written_over(core: Core, tmp_path: Path) -> None:
    notes, link = tmp_path / "notes", tmp_path / "link"
    notes.write_text("dear diary")
    link.symlink_to(notes)
    for path in (notes, link, tmp_path):
        with refused("backup-file-taken"):
            write(core, path)
    assert notes.read_text() == "dear diary"


@pytest.mark.parametrize("weak", ["", "short", "eleven char"])
def test_a_weak_passphrase_is_refused(core: Core, file: Path, weak: str) -> None:
    with refused("passphrase-too-short"):
        core.house.backups.write(file, weak, move=True)
    assert not file.exists()
    assert core.house.store.retired_at() is None


def test_a_backup_of_another_zoho_is_refused(core: Core, file: Path) -> None:
    write(core, file)
    with refused("backup-foreign-zoho"):
        open_backup(file, PASSPHRASE, "live")


def test_a_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    with refused("backup-unreadable"):
        open_backup(tmp_path / "none", PASSPHRASE, "live")


# --- Two homes must not tend one grant -----------------------------------------------------------


def cautions(core: Core, name: str = "") -> list[str]:
    looked = core.house.cautions.of(name) if name else core.house.cautions.of_home()
    return [each.code for each in looked]


def test_what_was_restored_while_its_home_goes_on_is_told_until_that_one_is_retired(
    core: Core, other: Core, file: Path
) -> None:
    core.proved()
    write(core, file)
    take_in(other, file)
    assert cautions(other) == cautions(other, "crm") == ["two-homes"]
    (caution,) = other.house.cautions.of("crm")
    assert "crm: restored from a backup of" in caution.cause
    assert cautions(core) == []

    write(core, file, move=True)
    assert take_in(other, file).already == ("crm",)

    assert cautions(other) == cautions(other, "crm") == []


def test_the_persons_word_that_the_other_home_is_gone_ends_the_caution(
    core: Core, other: Core, file: Path
) -> None:
    core.proved()
    write(core, file)
    take_in(other, file)
    other.house.store.forget_twins()
    assert cautions(other, "crm") == []
    other.house.broker.forget("crm")
    found = open_backup(file, PASSPHRASE, core.house.zoho.mark)
    other.house.backups.take_in(found, alone=True)
    assert cautions(other, "crm") == []


def test_a_grant_that_was_made_here_since_is_tended_here_alone(
    core: Core, other: Core, file: Path
) -> None:
    core.proved()
    write(core, file)
    take_in(other, file)
    other.climb("crm", 1)
    other.climb("crm", other.authorize("crm").generation or 0)
    assert cautions(other, "crm") == []


def test_a_backup_that_comes_back_into_its_own_home_warns_of_nobody(core: Core, file: Path) -> None:
    core.proved()
    write(core, file)
    core.house.broker.forget("crm")
    take_in(core, file)
    assert cautions(core, "crm") == []


def test_a_home_that_takes_back_what_was_moved_away_warns_of_where_it_went(
    core: Core, file: Path
) -> None:
    core.proved()
    write(core, file, move=True)
    take_in(core, file)
    assert cautions(core) == cautions(core, "crm") == ["home-came-back"]


def test_a_restored_refresh_token_that_was_replaced_meanwhile_is_named_as_lost(
    core: Core, other: Core, file: Path
) -> None:
    core.admin.change_settings(refresh_token_rotation="reuse-detection")
    kept = core.proved()
    write(core, file)
    core.advance(hours=2)
    core.house.broker.access_token("crm")
    take_in(other, file)
    restored = grant_of(other)
    assert (restored.refresh_token, restored.rotated_at) == (kept.refresh_token, kept.rotated_at)
    with refused("grant-dead"):
        other.house.broker.refresh_grant(restored)
    finding = other.house.diagnosis.step_of("crm").finding
    assert finding is not None
    [lost] = [each for each in finding.causes if each.code == "rotated-token-lost"]
    assert "The server has replaced refresh tokens before" in lost.evidence_for[0]


def test_a_backup_from_before_rotation_was_known_is_read(core: Core, file: Path) -> None:
    core.proved()
    write(core, file)
    found = open_backup(file, PASSPHRASE, core.house.zoho.mark)
    older = json.loads(dump(found))
    for grant in older["belongings"]["grants"]:
        del grant["rotated_at"]
    assert load(json.dumps(older).encode()) == found


def test_restoring_over_a_grant_whose_refresh_token_was_replaced_keeps_the_new_one(
    core: Core, file: Path
) -> None:
    core.admin.change_settings(refresh_token_rotation="reuse-detection")
    core.proved()
    write(core, file)
    core.advance(hours=2)
    core.house.broker.access_token("crm")
    newest = grant_of(core)
    take_in(core, file)
    assert grant_of(core) == newest
