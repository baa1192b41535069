"""Deliveries: what programs read, what is refused, what can be undone."""

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
from typing import Any

import pytest
from dotenv import dotenv_values
from sqlalchemy import delete, select, update
from support.claims import over_rows
from support.delivery import deliver, raises_failure, reauthorize
from support.harness import Harness

from wizard.delivery import destination_files
from wizard.delivery.profiles import profile, profile_problem, profiles
from wizard.errors import WizardError
from wizard.model import Grant
from wizard.model.states import DestinationState
from wizard.services import Services
from wizard.store import Destination, schema


@pytest.fixture
def grant(harness: Harness) -> Grant:
    return harness.add_verified_connection("crm")


def test_a_dotenv_is_delivered_with_private_mode_and_read_back(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / ".env"
    target.write_text("# mine\nDEBUG=1\nZOHO_REFRESH_TOKEN=\n")
    made = deliver(harness, "dotenv", target)
    assert target.read_text().startswith("# mine\nDEBUG=1\nZOHO_REFRESH_TOKEN=1000.")
    found = dotenv_values(target)
    assert found["ZOHO_REFRESH_TOKEN"] == grant.refresh_token
    assert found["ZOHO_CLIENT_SECRET"] == harness.registered_client["secrets"]["eu"]
    assert found["ZOHO_DC"] == "eu"
    assert found["ZOHO_API_DOMAIN"] == f"{harness.simulator.url}/eu/www"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(harness.directory.glob(".env?*")) == []
    status = harness.services.delivery.check(made)
    assert (status.state, status.found_generation, status.needs_delivery) == (
        DestinationState.CURRENT,
        1,
        False,
    )
    assert made.reloaded_at is None


def test_what_somebody_without_the_key_changed_in_the_database_gets_nothing(
    harness: Harness, grant: Grant
) -> None:
    services, stolen = harness.services, harness.directory / "stolen"
    chosen = deliver(harness, "dotenv", harness.directory / ".env", field_names={})
    services.store.connections.rename("crm", "sales")
    (renamed,) = services.store.destinations.all()
    services.delivery.deliver(renamed)
    for column, value in {
        "reload_command": f"touch {stolen}",
        "target": str(stolen),
        "field_names": {"ZOHO_REFRESH_TOKEN": "B"},
        "file_mode": "0640",
    }.items():
        before = getattr(chosen, column)
        for changed in (value, before):
            with services.store.database.write() as c:
                c.execute(update(schema.destinations).values({column: changed}))
            (found,) = services.store.destinations.all()
            if changed == before:
                services.delivery.deliver(found)
                continue
            for attempt in (services.delivery.deliver, services.delivery.undo):
                with raises_failure("destination-altered"):
                    attempt(found)
            services.store.connections.rename("sales", "renamed")
            services.store.connections.rename("renamed", "sales")
            with raises_failure("destination-altered"):
                services.delivery.deliver(services.store.destinations.all()[0])
    assert not stolen.exists()


def test_an_undo_restores_no_content_of_another_destination(harness: Harness, grant: Grant) -> None:
    services, shared = harness.services, harness.directory / "shared.env"
    destinations = [
        deliver(harness, "dotenv", each) for each in (harness.directory / ".env", shared)
    ]
    renewed, before = reauthorize(harness), shared.read_text()
    first, second = (services.delivery.deliver(each, renewed) for each in destinations)
    table = schema.destinations
    with services.store.database.write() as c:
        contents = select(table.c.previous_content).where(table.c.id == first.id)
        content = c.scalars(contents).one()
        c.execute(delete(table).where(table.c.id == first.id))
        c.execute(update(table).values(id=first.id, previous_content=content))
    (altered,) = services.store.destinations.all()
    delivered = shared.read_text()
    with raises_failure("destination-altered"):
        services.delivery.undo(altered)
    assert before != shared.read_text() == delivered
    assert second.target == altered.target


def test_a_field_uses_the_chosen_name(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    names = {"ZOHO_REFRESH_TOKEN": "CRM_TOKEN"}
    made = deliver(harness, "dotenv", target, field_names=names)
    found = dotenv_values(target)
    assert found["CRM_TOKEN"] == grant.refresh_token
    assert "ZOHO_REFRESH_TOKEN" not in found
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT


@pytest.mark.parametrize("profile_id", [i for i, row in profiles().items() if not row.is_command])
def test_a_profile_reads_back_what_it_writes(
    harness: Harness, grant: Grant, profile_id: str
) -> None:
    if profile_id in ("singer", "mcp"):
        harness.services.store.connections.remove("crm")
        grant = add_us_connection(harness)
    target = harness.directory / "credentials"
    made = deliver(harness, profile_id, target)
    [found] = profile(profile_id).find_entries(target.read_text())
    assert found.values["refresh_token"] == grant.refresh_token
    assert found.values["client_id"] == grant.client_id
    assert found.values["client_secret"] in harness.registered_client["secrets"].values()
    assert found.values.get("location", grant.location) == grant.location
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT
    before = target.read_text()
    harness.services.delivery.deliver(made)
    assert target.read_text() == before


def add_us_connection(harness: Harness) -> Grant:
    person = harness.controls.add_user(
        "amy@zylker.example",
        location="us",
        password="made-up-Passw0rd",
        first_name="Amy",
        last_name="Young",
    )
    client = harness.register_client("American", owner=str(person["email"]))
    harness.add_connection("crm", client, scope=("AaaServer.profile.READ",))
    done = harness.authorize("crm", "amy@zylker.example")
    assert done.generation is not None, done.failure
    harness.verify("crm", done.generation)
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    return grant


def test_a_program_without_the_data_center_setting_is_refused(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / "config.json"
    with raises_failure("profile-data-center") as failure:
        deliver(harness, "singer", target)
    assert failure.details["location"] == "eu"
    assert not target.exists()
    assert harness.services.store.destinations.all() == ()


def test_two_connections_share_a_file_but_never_its_fields(harness: Harness, grant: Grant) -> None:
    harness.add_verified_connection("books")
    target = harness.directory / "rclone.conf"
    deliver(harness, "rclone", target)
    deliver(harness, "rclone", target, connection="books")
    assert len(profile("rclone").find_entries(target.read_text())) == 2
    deliver(harness, "dotenv", harness.directory / ".env")
    with raises_failure("destination-taken"):
        deliver(harness, "dotenv", harness.directory / ".env", connection="books")
    with raises_failure("destination-exists"):
        deliver(harness, "dotenv", harness.directory / ".env")
    other = {"ZOHO_REFRESH_TOKEN": "BOOKS_TOKEN"}
    deliver(harness, "dotenv", harness.directory / ".env", connection="books", field_names=other)


def test_a_preview_writes_nothing_and_shows_no_secret(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    target.write_text("ZOHO_DC=com\nMINE=1\n")
    target.chmod(0o644)
    delivery = harness.services.delivery
    preview = delivery.preview(delivery.describe(Destination("crm", "dotenv", str(target))))
    kinds = {change.name: (change.kind, change.is_secret) for change in preview.changes}
    assert kinds["ZOHO_DC"] == ("changed", False)
    assert kinds["ZOHO_REFRESH_TOKEN"] == ("added", True)
    assert "MINE" not in kinds
    assert (preview.is_new, preview.mode) == (False, "0644")
    assert grant.refresh_token not in repr(preview)
    assert target.read_text() == "ZOHO_DC=com\nMINE=1\n"


def test_a_new_grant_is_delivered_and_undone_byte_for_byte(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    made = deliver(harness, "dotenv", target)
    first = target.read_bytes()
    new = reauthorize(harness)
    status = harness.services.delivery.check(made)
    assert (status.state, status.found_generation) == (DestinationState.OUT_OF_DATE, 1)
    made = harness.services.delivery.deliver(made)
    assert dotenv_values(target)["ZOHO_REFRESH_TOKEN"] == new.refresh_token
    made = harness.services.delivery.undo(made)
    assert target.read_bytes() == first
    assert made.generation == 1
    made = harness.services.delivery.undo(made)
    assert dotenv_values(target)["ZOHO_REFRESH_TOKEN"] == new.refresh_token


def test_undoing_the_first_delivery_restores_the_original_file(
    harness: Harness, grant: Grant
) -> None:
    new, old = harness.directory / "new.env", harness.directory / "old.env"
    old.write_text("MINE=1\r\n")
    for target in (new, old):
        made = harness.services.delivery.undo(deliver(harness, "dotenv", target))
        assert harness.services.delivery.check(made).state is DestinationState.NOT_DELIVERED
        with raises_failure("nothing-to-undo"):
            harness.services.delivery.undo(made)
    assert not new.exists()
    assert old.read_bytes() == b"MINE=1\r\n"


def test_a_grant_that_no_longer_works_is_not_restored(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    made = deliver(harness, "dotenv", target)
    reauthorize(harness)
    made = harness.services.delivery.deliver(made)
    content = target.read_bytes()
    replaced = harness.services.store.grants.get("crm", grant.generation)
    assert replaced is not None
    harness.services.tokens.revoke(replaced)
    with raises_failure("grant-revoked"):
        harness.services.delivery.undo(made)
    assert target.read_bytes() == content


def test_undoing_in_a_file_that_its_program_changed_restores_the_previous_grant_and_keeps_the_rest(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / "rclone.conf"
    made = deliver(harness, "rclone", target)
    reauthorize(harness)
    made = harness.services.delivery.deliver(made)
    target.write_text(target.read_text() + "root_folder_id = abc\n")
    harness.services.delivery.undo(made)
    [found] = profile("rclone").find_entries(target.read_text())
    assert found.values["refresh_token"] == grant.refresh_token
    assert "root_folder_id = abc" in target.read_text()


def test_a_first_delivery_that_someone_changed_is_left_to_the_user(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / ".env"
    made = deliver(harness, "dotenv", target)
    target.write_text(target.read_text() + "MINE=1\n")
    with raises_failure("destination-changed-since"):
        harness.services.delivery.undo(made)
    assert target.read_text().endswith("MINE=1\n")


def test_changes_are_detected_from_the_content_of_the_file(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    made = deliver(harness, "dotenv", target)
    good = target.read_text()
    look = harness.services.delivery.check
    target.write_text(good.replace("ZOHO_DC=eu", "ZOHO_DC=com"))
    assert (look(made).state, look(made).changed_fields) == (DestinationState.CHANGED, ("ZOHO_DC",))
    target.write_text(good.replace(grant.refresh_token, "1000.some.body"))
    assert look(made).state is DestinationState.UNKNOWN_TOKEN
    target.write_text("A B\n")
    failure = look(made).failure
    assert failure is not None
    assert (failure.code, failure.details["line"]) == ("destination-broken", "1")
    target.write_text("")
    assert look(made).state is DestinationState.MISSING
    target.unlink()
    assert look(made).state is DestinationState.MISSING
    harness.services.delivery.deliver(made)
    assert look(made).state is DestinationState.CURRENT


def test_an_access_token_written_by_a_program_is_no_change_and_is_removed_with_its_grant(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / "rclone.conf"
    made = deliver(harness, "rclone", target)
    target.write_text(target.read_text().replace('"expired"', '"1000.its.own"'))
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT
    harness.services.delivery.deliver(made)
    assert "1000.its.own" in target.read_text()
    reauthorize(harness)
    harness.services.delivery.deliver(made)
    assert "1000.its.own" not in target.read_text()


def test_values_set_by_the_user_are_not_overwritten(harness: Harness, grant: Grant) -> None:
    target = harness.directory / "airbyte.json"
    target.write_text('{"edition": "Ultimate", "start_datetime": "2024-01-01T00:00:00Z"}')
    deliver(harness, "airbyte-crm", target)
    found = json.loads(target.read_text())
    assert (found["edition"], found["start_datetime"]) == ("Ultimate", "2024-01-01T00:00:00Z")
    assert (found["dc_region"], found["environment"]) == ("EU", "Production")


def test_fields_are_set_in_the_spelling_of_the_program(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    own = {
        "TOKEN_URL": "{token_endpoint}",
        "ZOHO_DC": "{location_upper}",
        "REGIONS": "{location} {domain_suffix} {data_center}",
        "PLAIN": "{not a placeholder}",
    }
    made = deliver(harness, "dotenv", target, field_values=own)
    found = dotenv_values(target)
    endpoint = harness.services.zoho.data_center("eu").token_endpoint
    assert (found["TOKEN_URL"], found["ZOHO_DC"]) == (endpoint, "EU")
    assert (found["REGIONS"], found["PLAIN"]) == ("eu eu eu", "{not a placeholder}")
    (stored,) = harness.services.store.destinations.all("crm")
    assert stored.field_values == own
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT
    target.write_text(target.read_text().replace("ZOHO_DC=EU", "ZOHO_DC=US"))
    assert harness.services.delivery.check(made).changed_fields == ("ZOHO_DC",)


def test_a_hint_is_shown_until_the_users_fields_follow_it() -> None:
    rclone, mcp = profile("rclone"), profile("mcp")
    assert rclone.with_fields({"description": "ours"}).hint == rclone.hint
    assert rclone.with_fields({"root_folder_id": "abc"}).hint == ""
    assert mcp.with_fields({"ZOHO_USER": "{email}"}).hint == mcp.hint
    assert mcp.with_fields({"ZOHO_ACCOUNTS_URL": "{token_endpoint}"}).hint == ""


def test_an_mcp_server_gets_credentials_of_another_data_center_only_with_its_field(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / "mcp.json"
    own = {"ZOHO_ACCOUNTS_URL": "{token_endpoint}"}
    deliver(harness, "mcp", target, field_values=own)
    written = json.loads(target.read_text())["mcpServers"]["crm"]["env"]
    endpoint = harness.services.zoho.data_center("eu").token_endpoint
    assert written["ZOHO_ACCOUNTS_URL"] == endpoint


def test_a_profile_of_the_user_is_a_file(harness: Harness, grant: Grant) -> None:
    own = harness.directory / "mine.toml"
    own.write_text(
        'title = "Our importer"\nfile_format = "json"\nentry_path = ["zoho", "{entry}"]\n'
        '[fields]\nsecret = "{client_secret}"\ntoken = "{refresh_token}"\nid = "{client_id}"\n'
        'where = "{location_upper}"\n[defaults]\nretries = "3"\n'
    )
    target = harness.directory / "importer.json"
    made = deliver(harness, str(own), target)
    written = json.loads(target.read_text())["zoho"]["crm"]
    assert (written["token"], written["where"]) == (grant.refresh_token, "EU")
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT
    text = own.read_text()
    for old, new, fields in (
        ("location_upper", "location", ("where",)),
        ('"zoho", ', "", ()),
    ):
        own.write_text(text.replace(old, new))
        status = harness.services.delivery.check(made)
        assert (status.state, status.changed_fields) == (
            DestinationState.FIELDS_OUT_OF_DATE,
            fields,
        )
    made = harness.services.delivery.deliver(made)
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT
    own.unlink()
    status = harness.services.delivery.check(made)
    assert status.failure is not None
    assert (status.state, status.failure.code) == (DestinationState.UNREADABLE, "profile-invalid")


@over_rows(
    "row",
    [
        {"file_format": "json"},
        {"file_format": "yaml", "fields": {"t": "{refresh_token}"}},
        {"file_format": "command", "fields": {"t": "{refresh_token}"}},
        {"file_format": "json", "fields": {"t": "{refresh_token}", "x": "{nothing}"}},
        {"file_format": "json", "fields": {"t": "{refresh_token}", "x": 1}},
        {"file_format": "json", "fields": {"t": "{refresh_token}"}, "other": "x"},
        {"file_format": "json", "fields": {"t": "{refresh_token}"}, "id": "dotenv"},
        {"file_format": "json", "fields": {"t": "{refresh_token}"}, "entry_path": "x"},
    ],
)
def test_an_invalid_profile_of_the_user_is_refused(row: dict[str, Any]) -> None:
    assert profile_problem(row)
    good = {"title": "x", "file_format": "json", "fields": {"t": "{refresh_token}"}}
    assert not profile_problem(good)


def test_a_windows_file_keeps_its_line_endings(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    target.write_bytes(b"MINE=1\r\nZOHO_DC=x\r\n")
    deliver(harness, "dotenv", target)
    content = target.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 2


WRITERS = 6


def test_concurrent_deliveries_to_one_file_lose_nothing(harness: Harness) -> None:
    target = harness.directory / "rclone.conf"
    names = [f"crm-{number}" for number in range(WRITERS)]
    for name in names:
        harness.add_verified_connection(name)
    barrier = threading.Barrier(WRITERS)

    def give(name: str) -> None:
        barrier.wait()
        deliver(harness, "rclone", target, connection=name)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(give, names))
    assert {found.entry for found in profile("rclone").find_entries(target.read_text())} == set(
        names
    )


DELIVER = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from support.harness import settings_for
from sqlalchemy import event
from wizard.services import Services
from wizard.store import Destination

directory, simulator, time, target = sys.argv[1:5]
now = datetime.fromisoformat(time)
"""
KILL_AFTER_RENAME = f"""{DELIVER}
with Services.open(settings_for(Path(directory), simulator), lambda: now) as services:
    renamed = []

    def audit(what, details):
        if what == "os.rename" and details[1] == Path(target).name:
            renamed.append(what)

    sys.addaudithook(audit)
    engine = services.store.database.engine
    event.listen(engine, "begin", lambda _: renamed and os.kill(os.getpid(), signal.SIGKILL))
    services.delivery.add(services.delivery.describe(Destination("crm", "dotenv", target)))
"""

KILL_AT = f"""{DELIVER}
def audit(what, details):
    if what == sys.argv[5] and ".env" in str(details[1]):
        os.kill(os.getpid(), signal.SIGKILL)

with Services.open(settings_for(Path(directory), simulator), lambda: now) as services:
    described = services.delivery.describe(Destination("crm", "dotenv", target))
    sys.addaudithook(audit)
    services.delivery.add(described)
"""

WRITE_FOREVER = """
import itertools, sys
from wizard.delivery import destination_files
for number in itertools.count():
    seen = destination_files.read_file(sys.argv[1])
    destination_files.replace_file(sys.argv[1], f"A={number % 10}\\n" * 20_000, seen)
    print(number, flush=True)
"""


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_the_old_or_the_new_version(tmp_path: Path, kills: int) -> None:
    target = tmp_path / ".env"
    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(target)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        writer.kill()
        writer.wait(30)
        writer.stdout.close()
        lines = target.read_text().splitlines()
        assert (len(lines), len(set(lines))) == (20_000, 1)
    destination_files.replace_file(
        str(target), "A=done\n", destination_files.read_file(str(target))
    )
    assert listing(tmp_path) == {".env": b"A=done\n"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write into others' files")
def test_a_preview_names_the_owner_of_a_file_of_a_different_user(
    harness: Harness, grant: Grant, tmp_path: Path
) -> None:
    target = tmp_path / ".env"
    target.write_text("MINE=1\n")
    delivery = harness.services.delivery
    made = delivery.describe(Destination("crm", "dotenv", str(target)))
    assert delivery.preview(made).owner == ""
    os.chown(target, 65534, 65534)
    assert delivery.preview(made).owner == "nobody"


def run_until_killed(script: str, harness: Harness, target: Path, *arguments: str) -> None:
    given = [str(harness.directory), harness.simulator.url, harness.now().isoformat(), str(target)]
    killed = subprocess.run(
        [sys.executable, "-c", script, *given, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.local_store
def test_a_killed_delivery_leaves_no_credentials_beside_the_file(
    harness: Harness, grant: Grant, tmp_path: Path
) -> None:
    directory = tmp_path / "app"
    directory.mkdir()
    target = directory / ".env"
    target.write_text("MINE=1\n")
    if hasattr(os, "O_TMPFILE"):
        run_until_killed(KILL_AT, harness, target, "os.link")
        assert listing(directory) == {".env": b"MINE=1\n"}, "written, and without a name"
        [made] = harness.services.store.destinations.all("crm")
        harness.services.delivery.remove(made)
    run_until_killed(KILL_AT, harness, target, "os.rename")
    assert grant.refresh_token in (directory / ".env.zoho-wizard").read_text()
    with Services.open(harness.services.settings):
        assert listing(directory) == {".env": b"MINE=1\n"}
    assert not os.path.exists(harness.services.paths.delivery_marker)


@pytest.mark.slow
@pytest.mark.local_store
def test_a_delivery_killed_before_it_was_recorded_keeps_the_replaced_version(
    harness: Harness, grant: Grant, tmp_path: Path
) -> None:
    target = tmp_path / ".env"
    target.write_text("MINE=1\n")
    run_until_killed(KILL_AFTER_RENAME, harness, target)
    assert grant.refresh_token in target.read_text(), "it was put in its place"

    (destination,) = harness.services.store.destinations.all("crm")
    delivered = harness.services.delivery.deliver(destination)
    harness.services.delivery.undo(delivered)

    assert target.read_text() == "MINE=1\n"


# --- refusals before anything is written ----------------------------------------------------------


def test_a_path_that_is_not_a_regular_file_of_ours_is_refused(
    harness: Harness, grant: Grant
) -> None:
    directory = harness.directory / "place"
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
        with raises_failure(code):
            deliver(harness, "dotenv", directory / name)
    assert listing(directory) == before
    assert harness.services.store.destinations.all() == ()


def test_a_directory_writable_by_all_is_refused_unless_it_is_sticky(
    harness: Harness, grant: Grant
) -> None:
    open_to_all = harness.directory / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with raises_failure("destination-open-directory"):
        deliver(harness, "dotenv", open_to_all / ".env")
    open_to_all.chmod(0o1777)
    deliver(harness, "dotenv", open_to_all / ".env")


def test_a_file_below_a_link_is_refused_unless_the_link_is_the_systems_own(
    harness: Harness, grant: Grant
) -> None:
    real, link = harness.directory / "real" / "app", harness.directory / "link"
    real.mkdir(parents=True)
    link.symlink_to(real.parent)
    with raises_failure("destination-linked-directory") as failure:
        deliver(harness, "dotenv", link / "app" / ".env")
    assert failure.details["link"] == str(link)
    assert listing(real) == {}
    for each in (path for path in Path("/").iterdir() if path.is_symlink() and path.is_dir()):
        assert destination_files.read_file(str(each / "no-such-file")).text is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write into others' files")
def test_root_writes_no_credentials_into_a_file_that_its_owner_put_where_everyone_can(
    harness: Harness, grant: Grant
) -> None:
    directory = harness.directory / "theirs"
    directory.mkdir()
    target = directory / ".env"
    target.write_text("")
    os.chown(target, 65534, 65534)
    deliver(harness, "dotenv", target)
    target.write_text("")
    directory.chmod(0o1777)
    [made] = harness.services.store.destinations.all("crm")
    with raises_failure("destination-not-ours"):
        harness.services.delivery.deliver(made)
    assert target.read_text() == ""


def test_a_service_can_read_the_file_of_its_group(harness: Harness, grant: Grant) -> None:
    group = 65534 if os.geteuid() == 0 else os.getegid()
    target = harness.directory / ".env"
    target.write_text("MINE=1\n")
    os.chown(target, -1, group)
    target.chmod(0o640)
    made = deliver(harness, "dotenv", target, file_group=str(group))
    reauthorize(harness)
    for change in (harness.services.delivery.deliver, harness.services.delivery.undo):
        made = change(made)
        status = target.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o640, group)


def test_a_preview_names_the_directories_that_a_group_can_write_to(
    harness: Harness, grant: Grant
) -> None:
    directory = harness.directory / "shared"
    directory.mkdir()
    delivery = harness.services.delivery
    described = delivery.describe(Destination("crm", "dotenv", str(directory / ".env")))
    assert delivery.preview(described).group_writable == ()
    foreign = 65534 if os.geteuid() == 0 else next(iter({*os.getgroups()} - {os.getegid()}), -1)
    os.chown(directory, -1, foreign)
    directory.chmod(0o770)
    expected = (str(directory),) if foreign >= 0 else ()
    assert delivery.preview(described).group_writable == expected


def listing(directory: Path) -> dict[str, bytes | None]:
    return {
        each.name: each.read_bytes() if each.is_file() else None for each in directory.iterdir()
    }


RUN_AS_NOBODY = """
import os, sys
from wizard.delivery import destination_files
from wizard.errors import WizardError
path = sys.argv[1]
top = os.path.dirname(path)
if os.geteuid() == 0:  # root may write everything: run as nobody, in nobody's directory
    os.chown(top, 65534, 65534)
    os.chown(path, 65534, 65534)
    os.seteuid(65534)
os.chmod(top, 0o500)
for target in (path, "/etc/passwd"):
    try:
        destination_files.replace_file(target, "B=2\\n", destination_files.read_file(target))
    except WizardError as error:
        print(error.failure.code)
"""


def test_a_file_without_write_permission_is_left_unchanged() -> None:
    # Not below pytest's directory, which only its owner may enter.
    with tempfile.TemporaryDirectory() as top:
        target = Path(top, ".env")
        target.write_text("A=1\n")
        said = run_script(RUN_AS_NOBODY, str(target))
        assert said.split() == ["destination-unwritable", "destination-not-ours"]
        assert listing(Path(top)) == {".env": b"A=1\n"}


ON_A_FULL_DISK = """
import resource, sys
from wizard.delivery import destination_files
from wizard.errors import WizardError
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
try:
    before = destination_files.read_file(sys.argv[1])
    destination_files.replace_file(sys.argv[1], "B=2\\n" * 1000, before)
except WizardError as error:
    print(error.failure.code)
"""


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("A=1\n")
    assert run_script(ON_A_FULL_DISK, str(target)) == "destination-full"
    assert listing(tmp_path) == {".env": b"A=1\n"}


def run_script(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr
    return done.stdout.strip()


def test_a_concurrent_edit_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("A=1\n")
    seen = destination_files.read_file(str(target))
    target.write_text("A=2\n")
    with pytest.raises(WizardError, match="changed-meanwhile"):
        destination_files.replace_file(str(target), "A=3\n", seen)
    assert listing(tmp_path) == {".env": b"A=2\n"}


def test_an_edit_just_before_the_rename_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("A=1\n")

    class EditedMeanwhile(str):
        """Someone edits the file after it was compared, while this is written."""

        __slots__ = ()

        def encode(self, *_: str) -> bytes:
            target.write_text("A=2, edited\n")
            return b"A=3\n"

    seen = destination_files.read_file(str(target))
    with pytest.raises(WizardError, match="changed-meanwhile"):
        destination_files.replace_file(str(target), EditedMeanwhile(), seen)
    assert listing(tmp_path) == {".env": b"A=2, edited\n"}


def test_a_file_that_does_not_read_back_gets_its_old_content_again(
    harness: Harness, grant: Grant
) -> None:
    """A field with the name of the column that finds the entry hides the entry."""
    target = harness.directory / "tokens.csv"
    heading = profile("sdk-python").initial_content
    target.write_text(f"{heading}other{',' * heading.count(',')}\n")
    before = target.read_text()
    with raises_failure("destination-not-read-back"):
        deliver(harness, "sdk-python", target, field_names={"client_id": "id"})
    assert target.read_text() == before


def test_a_broken_file_is_reported_by_line_and_column_and_left_unchanged(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / "config.json"
    target.write_text('{\n  "a": 1,\n}')
    with raises_failure("destination-broken") as failure:
        deliver(harness, "json", target)
    assert (failure.details["line"], failure.details["column"]) == ("3", "1")
    assert target.read_text() == '{\n  "a": 1,\n}'


def test_a_connection_without_a_usable_grant_is_not_delivered(
    harness: Harness, grant: Grant
) -> None:
    harness.add_connection("later")
    with raises_failure("no-grant"):
        deliver(harness, "dotenv", harness.directory / ".env", connection="later")
    harness.services.tokens.revoke(grant)
    with raises_failure("grant-revoked"):
        deliver(harness, "dotenv", harness.directory / ".env")
    assert not (harness.directory / ".env").exists()


@pytest.mark.parametrize(
    ("profile_id", "options", "code"),
    [
        ("dotnev", {}, "unknown-profile"),
        ("rclone", {"entry": "[x]"}, "bad-entry"),
        ("dotenv", {"field_names": {"NIX": "X"}}, "bad-field"),
        ("dotenv", {"field_names": {"ZOHO_DC": "a b"}}, "bad-field"),
        ("dotenv", {"field_values": {"X": "{client_id.x}{nothing}"}}, "bad-field-value"),
        ("dotenv", {"field_values": {"ZOHO_REFRESH_TOKEN": "mine"}}, "bad-field-value"),
        ("rclone", {"field_values": {"token.expiry": "x"}}, "bad-field-value"),
        ("mcp", {}, "profile-default-data-center"),
        ("mcp", {"field_values": {"ZOHO_USER": "{email}"}}, "profile-default-data-center"),
        ("/no/such/profile.toml", {}, "profile-invalid"),
        ("dotenv", {"reload_command": "no-such-program now"}, "command-missing"),
        ("dotenv", {"file_mode": "0644"}, "bad-file-mode"),
        ("dotenv", {"file_group": "no-such-group"}, "unknown-group"),
        ("dotenv", {"file_group": "9" * 5000}, "unknown-group"),
        ("dotenv", {"file_group": str(2**32)}, "unknown-group"),
        ("dotenv", {"file_group": "٣"}, "unknown-group"),
        ("command", {"file_mode": "0640"}, "file-options-of-command"),
        ("command", {}, "command-missing"),
        ("dotenv", {"reload_command": "echo 'open"}, "command-not-understood"),
    ],
)
def test_an_invalid_destination_is_refused(
    harness: Harness, grant: Grant, profile_id: str, options: dict[str, Any], code: str
) -> None:
    with raises_failure(code):
        deliver(harness, profile_id, harness.directory / "there", **options)
    assert harness.services.store.destinations.all() == ()


@over_rows(
    "text",
    [
        "a=" + "[" * 100_000,
        ".".join("a" * 20_000) + "=1",
        "a=" + "9" * 5000,
        "extends = []",
        'file_format = "json"\n[fields]\ntoken = "{refresh_token}"\n#' + "x" * 100_000,
    ],
)
def test_a_profile_that_no_program_could_read_is_refused(
    harness: Harness, grant: Grant, text: str
) -> None:
    own = harness.directory / "own.toml"
    own.write_text(text)
    with raises_failure("profile-invalid"):
        deliver(harness, str(own), harness.directory / "there")


def test_the_previous_version_is_kept_encrypted(harness: Harness, grant: Grant) -> None:
    target = harness.directory / ".env"
    target.write_text("PASSWORD=before-canary\n")
    deliver(harness, "dotenv", target)
    [kept] = harness.services.store.destinations.all("crm")
    assert kept.previous_content == "PASSWORD=before-canary\n"
    assert "canary" not in repr(kept)
    files = (each for each in (harness.directory / "data").rglob("*") if each.is_file())
    assert not any(b"before-canary" in each.read_bytes() for each in files)


def rotated(harness: Harness) -> Grant:
    """The current grant after the server has replaced its refresh token."""
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    harness.advance(hours=2)
    harness.services.tokens.access_token("crm")
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    return grant


def test_a_destination_is_out_of_date_after_rotation_and_gets_the_new_refresh_token(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / "app.env"
    made = deliver(harness, "dotenv", target)
    new = rotated(harness)
    assert (new.generation, new.refresh_token == grant.refresh_token) == (grant.generation, False)
    status = harness.services.delivery.check(made)
    assert (status.state, status.found_generation) == (DestinationState.ROTATED, grant.generation)
    assert status.needs_delivery
    made = harness.services.delivery.deliver(
        made, grant
    )  # as a program that opened it before sees it
    assert new.refresh_token in target.read_text()
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT
    target.write_text(target.read_text().replace(new.refresh_token, "1000.of.another"))
    assert harness.services.delivery.check(made).state is DestinationState.UNKNOWN_TOKEN


def test_a_command_that_got_a_replaced_refresh_token_is_out_of_date(
    harness: Harness, grant: Grant
) -> None:
    made = deliver(harness, "command", "/bin/cat")
    assert harness.services.delivery.check(made).state is DestinationState.UNVERIFIABLE
    rotated(harness)
    assert harness.services.delivery.check(made).state is DestinationState.ROTATED
    made = harness.services.delivery.deliver(made)
    assert harness.services.delivery.check(made).state is DestinationState.UNVERIFIABLE


def test_a_command_whose_profile_has_changed_since_is_out_of_date(
    harness: Harness, grant: Grant
) -> None:
    own = harness.directory / "mine.toml"
    own.write_text(
        'file_format = "command"\npayload_format = "json"\n[fields]\ntoken = "{refresh_token}"\n'
    )
    made = deliver(harness, str(own), "/bin/cat")
    assert harness.services.delivery.check(made).state is DestinationState.UNVERIFIABLE
    own.write_text(own.read_text() + 'where = "{location}"\n')
    assert harness.services.delivery.check(made).state is DestinationState.FIELDS_OUT_OF_DATE
    made = harness.services.delivery.deliver(made)
    assert harness.services.delivery.check(made).state is DestinationState.UNVERIFIABLE


def test_a_rollback_delivers_the_newest_refresh_token_of_the_previous_grant(
    harness: Harness, grant: Grant
) -> None:
    target = harness.directory / "app.env"
    made = deliver(harness, "dotenv", target)
    before = rotated(harness)
    reauthorize(harness)
    made = harness.services.delivery.undo(harness.services.delivery.deliver(made))
    assert before.refresh_token in target.read_text()
    assert grant.refresh_token not in target.read_text()
    assert harness.services.delivery.check(made).found_generation == before.generation
