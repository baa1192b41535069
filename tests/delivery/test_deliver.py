"""Deliveries: what programs find, what is refused beforehand, what is taken back."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from core import Core
from dotenv import dotenv_values
from giving import deliver, failing, renew

from wizard.cli.deliver import CONDITION_WORDS
from wizard.delivery import Condition, file, profile, profiles
from wizard.errors import WizardError
from wizard.model import Grant
from wizard.web.destinations import STATUSES


@pytest.fixture
def grant(core: Core) -> Grant:
    return core.proved("crm")


def test_a_dotenv_is_delivered_private_and_read_back(core: Core, grant: Grant) -> None:
    target = core.directory / ".env"
    target.write_text("# mine\nDEBUG=1\nZOHO_REFRESH_TOKEN=\n")
    made = deliver(core, "dotenv", target)
    assert target.read_text().startswith("# mine\nDEBUG=1\nZOHO_REFRESH_TOKEN=1000.")
    found = dotenv_values(target)
    assert found["ZOHO_REFRESH_TOKEN"] == grant.refresh_token
    assert found["ZOHO_CLIENT_SECRET"] == core.registered["secrets"]["eu"]
    assert found["ZOHO_DC"] == "eu"
    assert found["ZOHO_API_DOMAIN"] == f"{core.sandbox.url}/eu/www"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(core.directory.glob(".env?*")) == []
    sight = core.house.delivery.look(made)
    assert (sight.condition, sight.generation, sight.drifted) == (Condition.CURRENT, 1, False)
    assert made.in_use_at is None


def test_a_field_goes_by_the_name_that_was_chosen(core: Core, grant: Grant) -> None:
    target = core.directory / ".env"
    names = {"ZOHO_REFRESH_TOKEN": "CRM_TOKEN"}
    made = deliver(core, "dotenv", target, names=names)
    found = dotenv_values(target)
    assert found["CRM_TOKEN"] == grant.refresh_token
    assert "ZOHO_REFRESH_TOKEN" not in found
    assert core.house.delivery.look(made).condition is Condition.CURRENT


@pytest.mark.parametrize("profile_id", [i for i, row in profiles().items() if not row.is_command])
def test_what_a_profile_writes_it_finds_again(core: Core, grant: Grant, profile_id: str) -> None:
    if profile_id == "singer":
        core.house.store.remove_connection("crm")
        grant = american(core)
    target = core.directory / "credentials"
    made = deliver(core, profile_id, target)
    [found] = profile(profile_id).find(target.read_text())
    assert found.facts["refresh_token"] == grant.refresh_token
    assert found.facts["client_id"] == grant.client_id
    assert found.facts["client_secret"] in core.registered["secrets"].values()
    assert found.facts.get("location", grant.location) == grant.location
    assert core.house.delivery.look(made).condition is Condition.CURRENT
    before = target.read_text()
    core.house.delivery.deliver(made)
    assert target.read_text() == before


def american(core: Core) -> Grant:
    person = core.admin.add_person(
        "amy@zylker.example",
        location="us",
        password="made-up-Passw0rd",
        first_name="Amy",
        last_name="Young",
    )
    client = core.client("American", owner=str(person["email"]))
    core.connection("crm", client, scope=("AaaServer.profile.READ",))
    done = core.authorize("crm", "amy@zylker.example")
    assert done.generation is not None, done.failure
    core.climb("crm", done.generation)
    grant = core.house.store.grant("crm")
    assert grant is not None
    return grant


def test_a_program_that_does_not_know_the_data_centre_is_not_given_its_token(
    core: Core, grant: Grant
) -> None:
    target = core.directory / "config.json"
    with failing("profile-data-centre") as failure:
        deliver(core, "singer", target)
    assert failure.details["location"] == "eu"
    assert not target.exists()
    assert core.house.store.destinations() == ()


def test_two_connections_share_a_file_but_never_its_fields(core: Core, grant: Grant) -> None:
    core.proved("books")
    target = core.directory / "rclone.conf"
    deliver(core, "rclone", target)
    deliver(core, "rclone", target, connection="books")
    assert len(profile("rclone").find(target.read_text())) == 2
    deliver(core, "dotenv", core.directory / ".env")
    with failing("destination-taken"):
        deliver(core, "dotenv", core.directory / ".env", connection="books")
    with failing("destination-exists"):
        deliver(core, "dotenv", core.directory / ".env")
    other = {"ZOHO_REFRESH_TOKEN": "BOOKS_TOKEN"}
    deliver(core, "dotenv", core.directory / ".env", connection="books", names=other)


def test_a_preview_writes_nothing_and_shows_no_secret(core: Core, grant: Grant) -> None:
    target = core.directory / ".env"
    target.write_text("ZOHO_DC=com\nMINE=1\n")
    target.chmod(0o644)
    delivery = core.house.delivery
    preview = delivery.preview(delivery.describe("crm", "dotenv", str(target)))
    kinds = {change.name: (change.kind, change.secret) for change in preview.changes}
    assert kinds["ZOHO_DC"] == ("changed", False)
    assert kinds["ZOHO_REFRESH_TOKEN"] == ("added", True)
    assert "MINE" not in kinds
    assert (preview.new, preview.mode) == (False, "0644")
    assert grant.refresh_token not in repr(preview)
    assert target.read_text() == "ZOHO_DC=com\nMINE=1\n"


def test_a_new_grant_is_delivered_and_taken_back_byte_for_byte(core: Core, grant: Grant) -> None:
    target = core.directory / ".env"
    made = deliver(core, "dotenv", target)
    first = target.read_bytes()
    new = renew(core)
    sight = core.house.delivery.look(made)
    assert (sight.condition, sight.generation) == (Condition.BEHIND, 1)
    made = core.house.delivery.deliver(made)
    assert dotenv_values(target)["ZOHO_REFRESH_TOKEN"] == new.refresh_token
    made = core.house.delivery.undo(made)
    assert target.read_bytes() == first
    assert made.generation == 1
    made = core.house.delivery.undo(made)
    assert dotenv_values(target)["ZOHO_REFRESH_TOKEN"] == new.refresh_token


def test_the_first_delivery_is_taken_back_to_what_was_there(core: Core, grant: Grant) -> None:
    new, old = core.directory / "new.env", core.directory / "old.env"
    old.write_text("MINE=1\r\n")
    for target in (new, old):
        made = core.house.delivery.undo(deliver(core, "dotenv", target))
        assert core.house.delivery.look(made).condition is Condition.WAITING
        with failing("nothing-to-undo"):
            core.house.delivery.undo(made)
    assert not new.exists()
    assert old.read_bytes() == b"MINE=1\r\n"


def test_a_file_that_its_program_wrote_to_gets_the_grant_of_before_and_keeps_the_rest(
    core: Core, grant: Grant
) -> None:
    target = core.directory / "rclone.conf"
    made = deliver(core, "rclone", target)
    renew(core)
    made = core.house.delivery.deliver(made)
    target.write_text(target.read_text() + "root_folder_id = abc\n")
    core.house.delivery.undo(made)
    [found] = profile("rclone").find(target.read_text())
    assert found.facts["refresh_token"] == grant.refresh_token
    assert "root_folder_id = abc" in target.read_text()


def test_a_first_delivery_that_others_changed_is_left_to_the_person(
    core: Core, grant: Grant
) -> None:
    target = core.directory / ".env"
    made = deliver(core, "dotenv", target)
    target.write_text(target.read_text() + "MINE=1\n")
    with failing("destination-changed-since"):
        core.house.delivery.undo(made)
    assert target.read_text().endswith("MINE=1\n")


def test_drift_is_told_by_what_stands_in_the_file(core: Core, grant: Grant) -> None:
    target = core.directory / ".env"
    made = deliver(core, "dotenv", target)
    good = target.read_text()
    look = core.house.delivery.look
    target.write_text(good.replace("ZOHO_DC=eu", "ZOHO_DC=com"))
    assert (look(made).condition, look(made).fields) == (Condition.EDITED, ("ZOHO_DC",))
    target.write_text(good.replace(grant.refresh_token, "1000.some.body"))
    assert look(made).condition is Condition.FOREIGN
    target.write_text("A B\n")
    failure = look(made).failure
    assert failure is not None
    assert (failure.code, failure.details["line"]) == ("destination-broken", "1")
    target.write_text("")
    assert look(made).condition is Condition.MISSING
    target.unlink()
    assert look(made).condition is Condition.MISSING
    core.house.delivery.deliver(made)
    assert look(made).condition is Condition.CURRENT


def test_an_access_token_that_a_program_wrote_is_no_drift_and_ends_with_its_grant(
    core: Core, grant: Grant
) -> None:
    target = core.directory / "rclone.conf"
    made = deliver(core, "rclone", target)
    target.write_text(target.read_text().replace('"expired"', '"1000.its.own"'))
    assert core.house.delivery.look(made).condition is Condition.CURRENT
    core.house.delivery.deliver(made)
    assert "1000.its.own" in target.read_text()
    renew(core)
    core.house.delivery.deliver(made)
    assert "1000.its.own" not in target.read_text()


def test_what_the_person_set_is_not_overwritten(core: Core, grant: Grant) -> None:
    target = core.directory / "airbyte.json"
    target.write_text('{"edition": "Ultimate", "start_datetime": "2024-01-01T00:00:00Z"}')
    deliver(core, "airbyte-crm", target)
    found = json.loads(target.read_text())
    assert (found["edition"], found["start_datetime"]) == ("Ultimate", "2024-01-01T00:00:00Z")
    assert (found["dc_region"], found["environment"]) == ("EU", "Production")


def test_a_windows_file_keeps_its_line_ends(core: Core, grant: Grant) -> None:
    target = core.directory / ".env"
    target.write_bytes(b"MINE=1\r\nZOHO_DC=x\r\n")
    deliver(core, "dotenv", target)
    content = target.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 2


STORM = 6


def test_deliveries_into_one_file_at_the_same_moment_lose_nothing(core: Core) -> None:
    target = core.directory / "rclone.conf"
    names = [f"crm-{number}" for number in range(STORM)]
    for name in names:
        core.proved(name)
    barrier = threading.Barrier(STORM)

    def give(name: str) -> None:
        barrier.wait()
        deliver(core, "rclone", target, connection=name)

    with ThreadPoolExecutor(STORM) as pool:
        list(pool.map(give, names))
    assert {found.entry for found in profile("rclone").find(target.read_text())} == set(names)


DIE_AFTER_THE_RENAME = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from core import settings_for
from sqlalchemy import event
from wizard.house import House

directory, sandbox, time, target = sys.argv[1:]
now = datetime.fromisoformat(time)
with House.open(settings_for(Path(directory), sandbox), lambda: now) as house:
    renamed = []

    def audit(what, details):
        if what == "os.rename" and details[1] == Path(target).name:
            renamed.append(what)

    sys.addaudithook(audit)
    engine = house.store.database.engine
    event.listen(engine, "begin", lambda _: renamed and os.kill(os.getpid(), signal.SIGKILL))
    house.delivery.add(house.delivery.describe("crm", "dotenv", target))
"""

WRITE_FOR_EVER = """
import itertools, sys
from wizard.delivery import file
for number in itertools.count():
    seen = file.look(sys.argv[1])
    file.replace(sys.argv[1], f"A={number % 10}\\n" * 20_000, seen)
    print(number, flush=True)
"""


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_one_version_or_the_other(tmp_path: Path, kills: int) -> None:
    target = tmp_path / ".env"
    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(target)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        writer.kill()
        writer.wait(30)
        writer.stdout.close()
        lines = target.read_text().splitlines()
        assert (len(lines), len(set(lines))) == (20_000, 1)
    file.replace(str(target), "A=done\n", file.look(str(target)))
    assert listing(tmp_path) == {".env": b"A=done\n"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write into others' files")
def test_a_preview_says_whose_file_it_is_where_it_is_somebody_elses(
    core: Core, grant: Grant, tmp_path: Path
) -> None:
    target = tmp_path / ".env"
    target.write_text("MINE=1\n")
    delivery = core.house.delivery
    made = delivery.describe("crm", "dotenv", str(target))
    assert delivery.preview(made).owner == ""
    os.chown(target, 65534, 65534)
    assert delivery.preview(made).owner == "nobody"


def test_a_delivery_killed_before_it_was_written_down_keeps_what_it_replaced(
    core: Core, grant: Grant, tmp_path: Path
) -> None:
    target = tmp_path / ".env"
    target.write_text("MINE=1\n")
    arguments = [str(core.directory), core.sandbox.url, core.now().isoformat(), str(target)]
    died = subprocess.run(
        [sys.executable, "-c", DIE_AFTER_THE_RENAME, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL
    assert grant.refresh_token in target.read_text(), "it was put in its place"

    (destination,) = core.house.store.destinations("crm")
    delivered = core.house.delivery.deliver(destination)
    core.house.delivery.undo(delivered)

    assert target.read_text() == "MINE=1\n"


# --- what is refused before anything is written ---------------------------------------------------


def test_a_place_that_is_no_file_of_ours_is_refused(core: Core, grant: Grant) -> None:
    directory = core.directory / "place"
    directory.mkdir()
    (directory / "real").write_text("MINE=1\n")
    (directory / "link").symlink_to(directory / "real")
    os.mkfifo(directory / "pipe")
    (directory / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    (directory / "binary").write_bytes(b"A=1\nB=\xff\n")
    refused = {
        ".": "destination-directory",
        "link": "destination-symlink",
        "pipe": "destination-not-file",
        "large": "destination-too-large",
        "binary": "destination-broken",
        "nowhere/.env": "destination-no-directory",
        "real/.env": "destination-no-directory",
    }
    before = listing(directory)
    for name, code in refused.items():
        with failing(code):
            deliver(core, "dotenv", directory / name)
    assert listing(directory) == before
    assert core.house.store.destinations() == ()


def test_a_directory_open_to_all_is_refused_unless_it_is_sticky(core: Core, grant: Grant) -> None:
    open_to_all = core.directory / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with failing("destination-open-directory"):
        deliver(core, "dotenv", open_to_all / ".env")
    open_to_all.chmod(0o1777)
    deliver(core, "dotenv", open_to_all / ".env")


def listing(directory: Path) -> dict[str, bytes | None]:
    return {
        each.name: each.read_bytes() if each.is_file() else None for each in directory.iterdir()
    }


AS_NOBODY = """
import os, sys
from wizard.delivery import file
from wizard.errors import WizardError
path = sys.argv[1]
top = os.path.dirname(path)
if os.geteuid() == 0:  # nothing is withheld from root: be nobody, in nobody's directory
    os.chown(top, 65534, 65534)
    os.chown(path, 65534, 65534)
    os.seteuid(65534)
os.chmod(top, 0o500)
for target in (path, "/etc/passwd"):
    try:
        file.replace(target, "B=2\\n", file.look(target))
    except WizardError as error:
        print(error.failure.code)
"""


def test_a_file_that_the_system_withholds_is_left_intact() -> None:
    # Not below pytest's own directory, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory() as top:
        target = Path(top, ".env")
        target.write_text("A=1\n")
        said = run(AS_NOBODY, str(target))
        assert said.split() == ["destination-unwritable", "destination-not-ours"]
        assert listing(Path(top)) == {".env": b"A=1\n"}


ON_A_FULL_DISK = """
import resource, sys
from wizard.delivery import file
from wizard.errors import WizardError
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
try:
    file.replace(sys.argv[1], "B=2\\n" * 1000, file.look(sys.argv[1]))
except WizardError as error:
    print(error.failure.code)
"""


def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("A=1\n")
    assert run(ON_A_FULL_DISK, str(target)) == "destination-full"
    assert listing(tmp_path) == {".env": b"A=1\n"}


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr
    return done.stdout.strip()


def test_an_edit_by_another_at_the_same_moment_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("A=1\n")
    seen = file.look(str(target))
    target.write_text("A=2\n")
    with pytest.raises(WizardError, match="changed-meanwhile"):
        file.replace(str(target), "A=3\n", seen)
    assert listing(tmp_path) == {".env": b"A=2\n"}


def test_a_broken_file_is_told_by_line_and_column_and_left_as_it_is(
    core: Core, grant: Grant
) -> None:
    target = core.directory / "config.json"
    target.write_text('{\n  "a": 1,\n}')
    with failing("destination-broken") as failure:
        deliver(core, "json", target)
    assert (failure.details["line"], failure.details["column"]) == ("3", "1")
    assert target.read_text() == '{\n  "a": 1,\n}'


def test_a_connection_without_a_usable_grant_is_delivered_nowhere(core: Core, grant: Grant) -> None:
    core.connection("later")
    with failing("no-grant"):
        deliver(core, "dotenv", core.directory / ".env", connection="later")
    core.house.broker.revoke(grant)
    with failing("grant-revoked"):
        deliver(core, "dotenv", core.directory / ".env")
    assert not (core.directory / ".env").exists()


@pytest.mark.parametrize(
    ("profile_id", "options", "code"),
    [
        ("dotnev", {}, "unknown-profile"),
        ("rclone", {"entry": "[x]"}, "bad-entry"),
        ("dotenv", {"names": {"NIX": "X"}}, "bad-field"),
        ("dotenv", {"names": {"ZOHO_DC": "a b"}}, "bad-field"),
        ("dotenv", {"reload": "no-such-program now"}, "command-missing"),
        ("command", {}, "command-missing"),
        ("dotenv", {"reload": "echo 'open"}, "command-not-understood"),
    ],
)
def test_a_destination_that_makes_no_sense_is_refused(
    core: Core, grant: Grant, profile_id: str, options: dict[str, object], code: str
) -> None:
    with failing(code):
        deliver(core, profile_id, core.directory / "there", **options)
    assert core.house.store.destinations() == ()


def test_the_version_before_is_kept_sealed(core: Core, grant: Grant) -> None:
    target = core.directory / ".env"
    target.write_text("PASSWORD=before-canary\n")
    deliver(core, "dotenv", target)
    [kept] = core.house.store.destinations("crm")
    assert kept.before == "PASSWORD=before-canary\n"
    assert "canary" not in repr(kept)
    files = (each for each in (core.directory / "data").rglob("*") if each.is_file())
    assert not any(b"before-canary" in each.read_bytes() for each in files)


def rotated(core: Core) -> Grant:
    """The current grant, after the server has replaced its refresh token."""
    core.admin.change_settings(refresh_token_rotation="reuse-detection")
    core.advance(hours=2)
    core.house.broker.access_token("crm")
    grant = core.house.store.grant("crm")
    assert grant is not None
    return grant


def test_a_destination_drifts_when_the_refresh_token_is_replaced_and_is_brought_the_new_one(
    core: Core, grant: Grant
) -> None:
    target = core.directory / "app.env"
    made = deliver(core, "dotenv", target)
    new = rotated(core)
    assert (new.generation, new.refresh_token == grant.refresh_token) == (grant.generation, False)
    sight = core.house.delivery.look(made)
    assert (sight.condition, sight.generation) == (Condition.ROTATED, grant.generation)
    assert sight.drifted
    made = core.house.delivery.deliver(made, grant)  # as whoever read it before sees it
    assert new.refresh_token in target.read_text()
    assert core.house.delivery.look(made).condition is Condition.CURRENT
    target.write_text(target.read_text().replace(new.refresh_token, "1000.of.another"))
    assert core.house.delivery.look(made).condition is Condition.FOREIGN


def test_a_command_that_was_given_a_replaced_refresh_token_has_drifted(
    core: Core, grant: Grant
) -> None:
    made = deliver(core, "command", "/bin/cat")
    assert core.house.delivery.look(made).condition is Condition.UNSEEN
    rotated(core)
    assert core.house.delivery.look(made).condition is Condition.ROTATED
    made = core.house.delivery.deliver(made)
    assert core.house.delivery.look(made).condition is Condition.UNSEEN


def test_a_roll_back_brings_the_newest_refresh_token_of_the_grant_before(
    core: Core, grant: Grant
) -> None:
    target = core.directory / "app.env"
    made = deliver(core, "dotenv", target)
    before = rotated(core)
    renew(core)
    made = core.house.delivery.undo(core.house.delivery.deliver(made))
    assert before.refresh_token in target.read_text()
    assert grant.refresh_token not in target.read_text()
    assert core.house.delivery.look(made).generation == before.generation


@pytest.mark.parametrize("words", [CONDITION_WORDS, STATUSES])
def test_every_condition_has_its_words(words: dict[Condition, object]) -> None:
    behind = {Condition.BEHIND} if words is STATUSES else set()  # said with the number of its grant
    assert set(Condition) == set(words) | behind
