"""A client's file for colleagues: what it contains, who can open it, what an import changes."""

import html
import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from support.claims import over_rows
from support.harness import Harness, settings_for
from support.records import raises_failure
from support.shell import Shell
from support.web_visitor import Visitor, authorize

from wizard.client_files import ClientFile
from wizard.errors import message_table
from wizard.model import Client
from wizard.services import Services
from wizard.vault import passphrase
from wizard.vault.passphrase import CLIENT_FILE
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

PASSPHRASE = "four words make one"
OTHER_SECRET = "f" * 42


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "SCRYPT_COSTS", passphrase.ACCEPTED_SCRYPT_COSTS[0])


@pytest.fixture
def client(harness: Harness) -> Client:
    """A client with a secret in two data centers."""
    client = harness.register_client("Zylker")
    secret = harness.controls.enable_data_center(client.client_id, "in")
    harness.services.clients.set_secret(client.client_id, secret, "in")
    return harness.services.store.clients.get(client.client_id)


@pytest.fixture
def file(harness: Harness, client: Client) -> Path:
    path = harness.directory / "zylker.zoho-client"
    harness.services.client_files.write(path, client.client_id, ["crm-read-leads"], PASSPHRASE)
    return path


@pytest.fixture
def colleague(harness: Harness) -> Iterator[Services]:
    """Another installation with the same Zoho."""
    settings = settings_for(harness.directory / "colleague", harness.simulator.url)
    with Services.open(settings, harness.simulator.clock) as services:
        yield services


def opened(services: Services, file: Path) -> ClientFile:
    return services.client_files.open(CLIENT_FILE.read(file), PASSPHRASE)


def test_an_imported_client_has_all_secrets_and_the_suggested_presets(
    harness: Harness, client: Client, file: Path, colleague: Services
) -> None:
    found = opened(colleague, file)
    stored = colleague.client_files.store(found)

    assert replace(stored, created_at=client.created_at) == client
    assert stored.locations == ("eu", "in")
    assert found.preset_ids == ("crm-read-leads",)
    assert client.secrets[0].value.encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert colleague.client_files.store(found) == stored


def test_a_stored_client_gains_secrets_and_never_loses_one(
    client: Client, file: Path, colleague: Services
) -> None:
    own, other = client.secrets
    colleague.store.clients.add(replace(client, name="Ours", secrets=(own,)))
    stored = colleague.client_files.store(opened(colleague, file))
    assert (stored.name, stored.locations) == ("Ours", ("eu", "in"))

    colleague.store.clients.set_secret(client.client_id, other.location, OTHER_SECRET)
    before = colleague.store.clients.all()
    with raises_failure("client-file-other-secret"):
        colleague.client_files.store(opened(colleague, file))
    assert colleague.store.clients.all() == before


def test_a_client_that_zoho_rejects_is_not_stored(
    harness: Harness, client: Client, file: Path, colleague: Services
) -> None:
    harness.controls.rotate_secret(client.client_id, "in")
    with raises_failure("wrong-secret"):
        colleague.client_files.store(opened(colleague, file))
    assert colleague.store.clients.all() == ()


def test_a_name_that_is_taken_gets_a_number(
    harness: Harness, client: Client, file: Path, colleague: Services
) -> None:
    other = replace(client, client_id=f"1000.{'A' * 30}", secrets=())
    colleague.store.clients.add(other)
    assert colleague.client_files.store(opened(colleague, file)).name == "Zylker 2"


CHANGES: dict[str, dict[str, Any]] = {
    "client-file-newer-version": {"format": 2},
    "client-file-foreign-zoho": {"zoho_instance": "live"},
}
BAD_VALUES: dict[str, Any] = {
    "client_id": "1000.A\nB",
    "name": "",
    "location": "moon",
    "redirect_uri": "javascript:alert(1)",
    "secrets": {"moon": "0" * 42},
}


def test_a_file_with_other_values_is_refused(file: Path, colleague: Services) -> None:
    document = json.loads(CLIENT_FILE.decrypt(file.read_bytes(), PASSPHRASE))
    cases = [*CHANGES.items(), *(("client-file-bad-value", {k: v}) for k, v in BAD_VALUES.items())]
    cases += [("client-file-newer-version", {key: None}) for key in ("name", "secrets")]
    contents = [(code, json.dumps({**document, **change}).encode()) for code, change in cases]
    del document["zoho_instance"]
    contents.append(("client-file-newer-version", json.dumps(document).encode()))
    for code, content in [*contents, ("client-file-newer-version", b"[" * 30_000)]:
        with raises_failure(code):
            colleague.client_files.open(CLIENT_FILE.encrypt(content, PASSPHRASE), PASSPHRASE)


@over_rows("code", ["client-file-not-one", "client-file-damaged", "wrong-passphrase"])
def test_a_file_that_does_not_open_is_refused_by_the_page_and_stores_nothing(
    file: Path, colleague: Services, code: str
) -> None:
    content = file.read_bytes()
    given = {
        "client-file-not-one": (b"ZOHO_CLIENT_ID=1000.X", PASSPHRASE),
        "client-file-damaged": (content[:-40] + b"x" + content[-39:], PASSPHRASE),
        "wrong-passphrase": (content, "four words make two"),
    }[code]
    visitor = visitor_of(colleague)
    answer = send_file(visitor, *given)
    assert answer.status_code == 422
    assert html.escape(str(message_table()[code]["title"])) in answer.text
    assert colleague.store.clients.all() == ()


def visitor_of(services: Services) -> Visitor:
    link_tokens = LinkTokens()
    app = create_app(services, link_tokens=link_tokens)
    visitor = Visitor(app.test_client(), services, link_tokens)
    visitor.sign_in()
    return visitor


def send_file(visitor: Visitor, content: bytes, entered: str = PASSPHRASE) -> Any:
    fields: Any = {
        "csrf_token": visitor.csrf_token(),
        "file": (BytesIO(content), "zylker.zoho-client"),
        "passphrase": entered,
    }
    return visitor.post("/clients/import", fields)


def test_the_page_leads_from_the_file_to_a_verified_connection(
    harness: Harness, file: Path, colleague: Services
) -> None:
    visitor = visitor_of(colleague)
    assert "I have a client file" in visitor.get("/").text
    answer = send_file(visitor, file.read_bytes())
    assert answer.status_code == 303
    authorize(visitor, harness.simulator, answer.headers["Location"])
    grant = colleague.store.grants.get("crm-read-leads")
    assert grant is not None
    assert grant.email == "anna@zylker.example"
    assert "I have a client file" not in visitor.get("/connections/new").text


def test_an_export_writes_over_nothing_but_a_client_file(
    harness: Harness, client: Client, file: Path
) -> None:
    other = harness.directory / "notes.txt"
    other.write_text("mine")
    service = harness.services.client_files
    with raises_failure("client-file-taken"):
        service.write(other, client.client_id, [], PASSPHRASE)
    with raises_failure("passphrase-too-short"):
        service.write(file, client.client_id, [], "short")
    service.write(file, client.client_id, [], PASSPHRASE)
    assert opened(harness.services, file).preset_ids == ()


@pytest.mark.slow
def test_a_colleague_connects_with_a_command_a_passphrase_and_a_consent(
    shell: Shell, shell_harness: Harness
) -> None:
    client = shell_harness.register_client("CRM client")
    exported = shell.run(
        *("client", "export", "CRM client", "--preset", "crm-read-leads", "--json"),
        stdin_text=f"{PASSPHRASE}\n",
    )
    assert exported.exit_code == 0, exported.stderr
    file = json.loads(exported.stdout)["file"]
    assert Path(file).name == "crm-client.zoho-client"
    elsewhere = {"ZOHO_WIZARD_HOME": str(shell.directory / "colleague")}

    running = shell.start("connect", "--client-file", file, "--no-browser", "--json", **elsewhere)
    running.send_line(PASSPHRASE)
    url = running.wait_for_stderr(r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+")
    running.send_line(shell.simulator.controls.authorize(url, "anna@zylker.example"))
    done = running.finish()

    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "crm-read-leads"
    again = shell.run("client", "import", file, "--json", stdin_text=f"{PASSPHRASE}\n", **elsewhere)
    assert json.loads(again.stdout)["client"]["client_id"] == client.client_id
    assert json.loads(again.stdout)["presets"] == ["crm-read-leads"]
