"""What is stored can be read on a full disk, on a read-only file system, and if a part of it can't
be decrypted."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests
from support.harness import Harness
from support.shell import Shell
from support.web_visitor import Visitor

from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

READ_ONLY = "mount --bind {home} {home} && mount -o remount,bind,ro {home}"
FULL = (
    "mkdir {home}.full && mount -t tmpfs -o size=4m tmpfs {home}.full && cp -a {home} {home}.full/"
    " && rm -f {home}.full/home/data/simulator/wizard.db-shm"
    " && (dd if=/dev/zero of={home}.full/fill bs=1k 2>/dev/null || true)"
    " && mount --bind {home}.full/home {home}"
)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize(
    ("mount", "code"),
    [(READ_ONLY, "store-unwritable"), (FULL, "disk-full")],
)
def test_list_and_status_work_where_nothing_can_be_written(
    shell: Shell, shell_harness: Harness, mount: str, code: str
) -> None:
    """A change that is only in the WAL is read, too. A command that writes says why it can't."""
    shell_harness.add_verified_connection("crm")
    home = shell.environment["ZOHO_WIZARD_HOME"]
    with closing(sqlite3.connect(shell_harness.services.paths.database)) as other:
        other.execute("SELECT name FROM connections").fetchone()
        shell_harness.add_verified_connection("books")

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            script = f'{mount.format(home=home)} && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, "sh", *shell.command(*arguments)]
            try:
                return subprocess.run(
                    command, env=shell.environment, capture_output=True, text=True, check=False
                )
            finally:
                if Path(f"{home}.full").is_dir():
                    Path(f"{home}.full").rmdir()

        listed = json.loads(run("list", "--json").stdout)["connections"]
        assert [each["name"] for each in listed] == ["books", "crm"]
        assert json.loads(run("status", "--json").stdout)["connections"] == 2
        edited = run("edit", "crm", "--owner", "ops", "--json")
        assert json.loads(edited.stderr.splitlines()[-1])["error"]["code"] == code


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_serve_keeps_its_pages_in_a_read_only_file_system(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    home = shell.environment["ZOHO_WIZARD_HOME"]
    mount = READ_ONLY.format(home=home)
    serve = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    serving = subprocess.Popen(
        [*serve, *shell.command("serve", "--json")],
        env=shell.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with serving, requests.Session() as browser:
        assert serving.stdout is not None
        try:
            event = json.loads(serving.stdout.readline())
            assert browser.get(event["browser_link"], timeout=30).status_code == 200
            for path in ("/", "/status", "/connections/crm"):
                assert browser.get(event["base_url"] + path, timeout=30).status_code == 200
        finally:
            serving.terminate()
            serving.communicate(timeout=60)
    assert serving.returncode == 0


WRITE_ONCE_POSSIBLE = """
import subprocess, sys
from wizard.errors import WizardError
from wizard.model import Event
from wizard.services import Services
from wizard.settings import from_environment
from wizard.store import sqlite
from wizard.store.history import EventFilter

home = sys.argv[1]
sqlite.COPY_LIFETIME_SECONDS = 0
settings = from_environment({"HOME": home, "ZOHO_WIZARD_HOME": home})

def mount(*options):
    subprocess.run(["mount", *options, home], check=True)

Services.open(settings).close()
mount("--bind", home)
mount("-o", "remount,bind,ro")
with Services.open(settings) as services:
    for mode in ("ro", "rw"):
        mount("-o", f"remount,bind,{mode}")
        try:
            services.store.events.record(Event(services.clock(), "crm", "edited"))
        except WizardError as error:
            print(error.failure.code)
    print(len(list(services.store.events.search(EventFilter()))))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_process_that_reads_a_copy_writes_as_soon_as_it_can(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = ["unshare", "--mount", sys.executable, "-c", WRITE_ONCE_POSSIBLE, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["store-unwritable", "1"]


def test_a_record_that_cannot_be_decrypted_does_not_hide_the_others(harness: Harness) -> None:
    harness.add_verified_connection("books")
    harness.add_verified_connection("crm")
    with closing(sqlite3.connect(harness.services.paths.database)) as raw, raw:
        raw.execute("UPDATE grants SET refresh_token = zeroblob(60) WHERE connection = 'crm'")
        raw.execute("UPDATE attempts SET code_verifier = zeroblob(60) WHERE connection = 'crm'")
        raw.execute("UPDATE client_secrets SET value = zeroblob(60)")
    with harness.services.snapshot() as services:
        failures = {
            row.connection.name: row.grant.failure.code if row.grant and row.grant.failure else ""
            for row in services.store.overviews.all()
        }
    assert failures == {"books": "", "crm": "sealed-record-damaged"}
    link_tokens = LinkTokens()
    app = create_app(harness.services, link_tokens=link_tokens)
    visitor = Visitor(app.test_client(), harness.services, link_tokens)
    visitor.sign_in("/status")
    for path in (
        "/",
        "/status",
        "/clients",
        "/connections/books",
        "/connections/crm",
        "/connections/crm/remove",
    ):
        assert (path, visitor.get(path).status_code) == (path, 200)
