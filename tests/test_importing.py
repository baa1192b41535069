"""Credentials are found in any format, and verified before they are stored."""

import json
import os
from pathlib import Path

import pytest
from support.claims import over_rows
from support.harness import Harness
from support.shell import CommandResult, Shell

from wizard.delivery.destination_files import FormatError
from wizard.delivery.profiles import Profile, profiles
from wizard.importing import FoundCredentials, find_credentials

VALUES = {
    "client_id": "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ1234",
    "client_secret": "0123456789abcdef0123456789abcdef0123456789",
    "refresh_token": "1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef",
    "redirect_uri": "http://localhost:8723/callback",
    "scope": "ZohoCRM.org.READ",
    "location": "us",
    "data_center": "us",
    "accounts_server": "https://accounts.zoho.com",
    "authorization_endpoint": "https://accounts.zoho.com/oauth/v2/auth",
    "token_endpoint": "https://accounts.zoho.com/oauth/v2/token",
    "api_domain": "https://www.zohoapis.com",
    "organization_id": "1",
    "environment": "Production",
    "entry": "crm",
}
FILES = [each for each in profiles().values() if not each.is_command]


def required_values(credentials: FoundCredentials) -> dict[str, str]:
    return {
        name: credentials.values[name] for name in ("client_id", "client_secret", "refresh_token")
    }


EXPECTED = {name: VALUES[name] for name in ("client_id", "client_secret", "refresh_token")}


@over_rows("profile", FILES)
def test_delivered_files_can_be_imported(profile: Profile) -> None:
    text = profile.write(None, VALUES, {})
    (found,) = find_credentials(text)
    assert required_values(found) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        (
            "export ZOHO_CRM_CLIENT_ID='{client_id}'\nZOHO_CRM_CLIENT_SECRET={client_secret}\n"
            "# a comment\nOTHER=1\nZOHO_CRM_REFRESH_TOKEN={refresh_token}\nZOHO_REGION=EU\n"
        ),
        "clientId={client_id}\r\nclientSecret={client_secret}\r\nrefreshToken={refresh_token}\r\n",
    ],
)
def test_names_are_read_by_their_meaning(text: str) -> None:
    (found,) = find_credentials(text.format(**VALUES))
    assert required_values(found) == EXPECTED
    assert found.profile == ""


def test_json_of_an_unknown_program_is_read_by_meaning() -> None:
    content = {
        "zohoClientId": VALUES["client_id"],
        "zohoClientSecret": VALUES["client_secret"],
        "zohoRefreshToken": VALUES["refresh_token"],
    }
    (found,) = find_credentials(json.dumps(content))
    assert required_values(found) == EXPECTED


def test_missing_values_are_named() -> None:
    (found,) = find_credentials(f"ZOHO_CLIENT_ID={VALUES['client_id']}\n")
    assert found.missing == ("client_secret", "refresh_token")


@over_rows("text", ["", "\n", "# nothing\n", "{}", "NAME=value\n"])
def test_a_file_without_credentials_has_no_entries(text: str) -> None:
    assert find_credentials(text) == ()


@over_rows("text", ["{", '{"client_id": }', "= =\n"])
def test_a_broken_file_reports_line_and_column(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        find_credentials(text)
    assert (caught.value.line, caught.value.column > 0) == (1, True)


def test_a_parsed_entry_shows_no_secret() -> None:
    (found,) = find_credentials(f"ZOHO_REFRESH_TOKEN={VALUES['refresh_token']}\n")
    assert VALUES["refresh_token"] not in repr(found)


def refresh_token(harness: Harness) -> dict[str, str]:
    """Credentials of another program, with a client and a consent that we don't know."""
    grant = harness.add_verified_connection("theirs")
    client = harness.services.store.clients.get(grant.client_id)
    facts = {
        "ZOHO_CLIENT_ID": client.client_id,
        "ZOHO_CLIENT_SECRET": client.secret_for("eu") or "",
        "ZOHO_REFRESH_TOKEN": grant.refresh_token,
    }
    harness.services.tokens.remove_connection("theirs")
    harness.services.clients.remove(client.client_id)
    return facts


def env_file(shell: Shell, values: dict[str, str]) -> Path:
    file = shell.directory / "program.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    file.chmod(0o600)
    return file


def run_import(shell: Shell, *arguments: str, stdin_text: str = "") -> CommandResult:
    return shell.run("import", *arguments, "--json", stdin_text=stdin_text)


def is_store_empty(harness: Harness) -> bool:
    return harness.services.store.connections.all() == () == harness.services.store.clients.all()


def test_a_refresh_token_from_a_file_is_verified_and_stored(
    shell: Shell, shell_harness: Harness
) -> None:
    file = env_file(shell, refresh_token(shell_harness))
    before = file.read_bytes()

    done = run_import(shell, str(file), "--name", "mine")

    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["name"], said["location"]) == ("mine", "eu")
    assert said["verification"]["is_verified"]
    assert said["profile"] == "dotenv"
    assert "anna@zylker.example" in said["verification"]["headline"]
    assert shell.run("token", "mine").exit_code == 0
    assert file.read_bytes() == before


def test_no_secret_is_printed(shell: Shell, shell_harness: Harness) -> None:
    facts = refresh_token(shell_harness)
    file = env_file(shell, facts)
    for done in (run_import(shell, str(file)), shell.run("import", str(file))):
        for name in ("ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN"):
            assert facts[name] not in done.stdout + done.stderr


def test_an_import_reads_stdin_and_names_the_connection_after_its_preset(
    shell: Shell, shell_harness: Harness
) -> None:
    text = env_file(shell, refresh_token(shell_harness)).read_text()
    done = run_import(shell, stdin_text=text)
    assert (done.exit_code, json.loads(done.stdout)["name"]) == (0, "crm")


def test_a_new_secret_of_a_stored_client_is_confirmed_and_never_dropped(
    shell: Shell, shell_harness: Harness
) -> None:
    facts = refresh_token(shell_harness)
    file = env_file(shell, facts)
    old = facts["ZOHO_CLIENT_SECRET"]
    shell_harness.services.clients.register(
        f"{facts['ZOHO_CLIENT_ID']} {old}", redirect_uri="http://localhost/", location="eu"
    )
    new = shell_harness.controls.rotate_secret(facts["ZOHO_CLIENT_ID"])
    file.write_text(file.read_text().replace(old, new))
    shell_harness.advance(minutes=11)

    script = run_import(shell, str(file))
    assert (script.exit_code, "secret-differs" in script.stderr) == (2, True)
    assert shell_harness.services.store.connections.all() == ()
    shell_harness.advance(minutes=11)

    asked = [("Use the new secret?", "y")]
    done = shell.run_in_terminal("import", str(file), "--name", "mine", replies=asked)
    assert done.exit_code == 0, done.stdout
    assert shell_harness.services.store.clients.get(facts["ZOHO_CLIENT_ID"]).secret_for("eu") == new


def test_a_user_is_prompted_for_each_value(shell: Shell, shell_harness: Harness) -> None:
    facts = refresh_token(shell_harness)
    asked = [
        ("Client ID", facts["ZOHO_CLIENT_ID"]),
        ("Client Secret", facts["ZOHO_CLIENT_SECRET"]),
        ("Refresh token", facts["ZOHO_REFRESH_TOKEN"]),
    ]
    done = shell.run_in_terminal("import", "--name", "mine", replies=asked)
    assert done.exit_code == 0, done.stdout
    assert facts["ZOHO_REFRESH_TOKEN"] not in done.stdout
    assert shell_harness.services.store.grants.get("mine")


def test_the_data_center_is_found_with_a_random_secret(
    shell: Shell, shell_harness: Harness
) -> None:
    facts = refresh_token(shell_harness)
    secret = facts["ZOHO_CLIENT_SECRET"]
    shell_harness.advance(hours=2)  # a result of the last hour is reused
    shell_harness.controls.clear_journal()

    assert run_import(shell, str(env_file(shell, facts))).exit_code == 0

    asked = [entry for entry in shell_harness.logged_requests() if entry["location"] != "eu"]
    assert [entry["location"] for entry in asked] == ["us"]
    assert all(secret not in json.dumps(entry) for entry in asked)


def test_a_wrong_hint_is_corrected(shell: Shell, shell_harness: Harness) -> None:
    facts = {**refresh_token(shell_harness), "ZOHO_DC": "in"}
    done = run_import(shell, str(env_file(shell, facts)))
    assert (done.exit_code, json.loads(done.stdout)["location"]) == (0, "eu")
    assert "in Europe" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ZOHO_REFRESH_TOKEN", f"1000.{'0' * 32}.{'0' * 32}", "import-refused"),
        ("ZOHO_CLIENT_SECRET", "f" * 42, "wrong-secret"),
        ("ZOHO_CLIENT_ID", f"1000.{'A' * 30}", "client-unknown-everywhere"),
        ("ZOHO_CLIENT_ID", "", "import-incomplete"),
    ],
)
def test_a_token_that_zoho_rejects_is_not_stored(
    shell: Shell, shell_harness: Harness, name: str, value: str, code: str
) -> None:
    facts = {**refresh_token(shell_harness), name: value}
    done = run_import(shell, str(env_file(shell, facts)))
    assert done.exit_code != 0
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == code
    assert is_store_empty(shell_harness)


def test_a_stored_token_is_not_imported_twice(shell: Shell, shell_harness: Harness) -> None:
    file = env_file(shell, refresh_token(shell_harness))
    assert run_import(shell, str(file), "--name", "mine").exit_code == 0
    asked = len(shell_harness.refresh_requests())

    again = run_import(shell, str(file), "--name", "other")

    assert (again.exit_code, "import-known" in again.stderr) == (2, True)
    assert len(shell_harness.refresh_requests()) == asked


def test_a_token_without_the_account_scope_is_verified_by_a_read(
    shell: Shell, shell_harness: Harness
) -> None:
    client = shell_harness.register_client("theirs")
    shell_harness.add_connection("theirs", client, scope=("ZohoCRM.org.READ",))
    done = shell_harness.authorize("theirs")
    assert done.generation
    facts = {
        "client_id": client.client_id,
        "client_secret": client.secret_for("eu"),
        "refresh_token": shell_harness.services.store.grants.of_connection("theirs")[
            0
        ].refresh_token,
    }
    shell_harness.services.tokens.remove_connection("theirs")

    said = json.loads(run_import(shell, "--name", "mine", stdin_text=json.dumps(facts)).stdout)

    steps = {each["name"]: each["state"] for each in said["verification"]["steps"]}
    assert (steps["identity"], steps["read:crm"]) == ("skipped", "passed")
    assert steps["scope"] == "partial", "the next consent also requests the account scope"
    assert shell.run("token", "mine").exit_code == 0


def test_several_entries_require_a_choice(shell: Shell, shell_harness: Harness) -> None:
    facts = refresh_token(shell_harness)
    servers = {
        "zoho": {"env": facts},
        "other": {"env": {**facts, "ZOHO_REFRESH_TOKEN": f"1000.{'1' * 32}.{'2' * 32}"}},
    }
    text = json.dumps({"mcpServers": servers})
    refused = run_import(shell, stdin_text=text)
    assert (refused.exit_code, "import-which" in refused.stderr) == (2, True)

    assert (
        json.loads(run_import(shell, "--entry", "zoho", stdin_text=text).stdout)["name"] == "zoho"
    )


@pytest.mark.parametrize(
    ("content", "code"), [("", "import-nothing"), ("= =\n", "import-unreadable")]
)
def test_a_file_that_cannot_be_parsed_changes_nothing(
    shell: Shell, shell_harness: Harness, content: str, code: str
) -> None:
    file = shell.directory / "file.env"
    file.write_text(content)
    file.chmod(0o600)
    done = run_import(shell, str(file))
    assert (done.exit_code != 0, code in done.stderr) == (True, True)
    assert is_store_empty(shell_harness)


@pytest.mark.parametrize("kind", ["pipe", "large", "binary"])
def test_what_is_no_file_of_credentials_is_refused_in_the_words_of_an_import(
    shell: Shell, shell_harness: Harness, kind: str
) -> None:
    path = shell.directory / kind
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"x" * 2**21 if kind == "large" else b"\xff")
    done = run_import(shell, str(path))
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (done.exit_code, error["code"]) == (2, "import-unreadable")
    assert error["details"]["reason"]
    assert "written" not in done.stderr
    assert is_store_empty(shell_harness)


def test_an_empty_stdin_is_named(shell: Shell) -> None:
    done = run_import(shell, "-")
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (error["code"], error["details"]["path"]) == ("import-nothing", "stdin")


def test_a_link_is_followed_and_a_dangling_one_is_called_missing(
    shell: Shell, shell_harness: Harness
) -> None:
    file = shell.directory / "file.env"
    file.write_text(
        "".join(f"{key}={value}\n" for key, value in refresh_token(shell_harness).items())
    )
    file.chmod(0o600)
    link = shell.directory / "link.env"
    link.symlink_to(file)
    assert run_import(shell, str(link)).exit_code == 0

    file.unlink()
    circle = shell.directory / "circle.env"
    circle.symlink_to(circle)
    for place in (file, link, circle):
        missing = run_import(shell, str(place))
        assert missing.exit_code == 2
        assert "import-missing" in missing.stderr


# --- A server that rotates refresh tokens --------------------------------------------------------


def test_the_refresh_token_that_replaces_an_imported_one_is_stored(
    shell: Shell, shell_harness: Harness
) -> None:
    file = env_file(shell, refresh_token(shell_harness))
    shell_harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    done = run_import(shell, str(file), "--name", "mine")
    assert done.exit_code == 0, done.stderr
    assert "The one you imported no longer works" in done.stderr
    shell_harness.advance(hours=2)
    assert shell.run("token", "mine").exit_code == 0


def test_a_redirect_uri_that_no_client_can_have_is_refused_before_anything_is_sent(
    shell: Shell, shell_harness: Harness
) -> None:
    values = refresh_token(shell_harness)
    asked = len(shell_harness.refresh_requests())
    for uri in ("javascript:alert(1)", "http://user@localhost/callback", "https://a/\u202ebc"):
        file = env_file(shell, {**values, "ZOHO_REDIRECT_URI": uri})
        error = json.loads(run_import(shell, str(file)).stderr.splitlines()[-1])["error"]
        assert (error["code"], error["details"]["odd"]) == ("import-malformed", "redirect_uri")
    assert is_store_empty(shell_harness)
    assert len(shell_harness.refresh_requests()) == asked


@pytest.mark.parametrize(("name", "code"), [("taken", "connection-exists"), ("a b", "bad-name")])
def test_an_invalid_name_is_refused_before_the_refresh_token_is_used(
    shell: Shell, shell_harness: Harness, name: str, code: str
) -> None:
    file = env_file(shell, refresh_token(shell_harness))
    shell_harness.add_verified_connection("taken")
    asked = len(shell_harness.refresh_requests())
    done = run_import(shell, str(file), "--name", name)
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == code
    assert len(shell_harness.refresh_requests()) == asked
