"""``import``: proved before it is stored, whoever had it before."""

import json
from pathlib import Path

import pytest
from core import Core
from shell import Result, Shell


def refresh_token(core: Core) -> dict[str, str]:
    """Credentials as another program got them: a client and a consent that we know nothing of."""
    grant = core.proved("theirs")
    client = core.house.store.client(grant.client_id)
    facts = {
        "ZOHO_CLIENT_ID": client.client_id,
        "ZOHO_CLIENT_SECRET": client.secret_for("eu") or "",
        "ZOHO_REFRESH_TOKEN": grant.refresh_token,
    }
    core.house.broker.forget("theirs")
    core.house.clients.remove(client.client_id)
    return facts


def env_file(shell: Shell, facts: dict[str, str]) -> Path:
    file = shell.directory / "program.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in facts.items()))
    file.chmod(0o600)
    return file


def run(shell: Shell, *arguments: str, given: str = "") -> Result:
    return shell.run("import", *arguments, "--json", given=given)


def nothing_stored(core: Core) -> bool:
    return core.house.store.connections() == () == core.house.store.clients()


def test_a_refresh_token_from_a_file_is_proved_and_tended(shell: Shell, stored: Core) -> None:
    file = env_file(shell, refresh_token(stored))
    before = file.read_bytes()

    done = run(shell, str(file), "--name", "mine")

    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["name"], said["proved"], said["location"]) == ("mine", True, "eu")
    assert said["profile"] == "dotenv"
    assert "anna@zylker.example" in said["headline"]
    assert shell.run("token", "mine").code == 0
    assert file.read_bytes() == before


def test_no_secret_is_said(shell: Shell, stored: Core) -> None:
    facts = refresh_token(stored)
    file = env_file(shell, facts)
    for done in (run(shell, str(file)), shell.run("import", str(file))):
        for name in ("ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN"):
            assert facts[name] not in done.out + done.err


def test_it_can_come_on_stdin_and_be_given_a_name_by_what_it_is_for(
    shell: Shell, stored: Core
) -> None:
    text = env_file(shell, refresh_token(stored)).read_text()
    done = run(shell, given=text)
    assert (done.code, json.loads(done.out)["name"]) == (0, "crm")


def test_a_new_secret_of_a_stored_client_is_asked_about_and_never_dropped(
    shell: Shell, stored: Core
) -> None:
    facts = refresh_token(stored)
    file = env_file(shell, facts)
    old = facts["ZOHO_CLIENT_SECRET"]
    stored.house.clients.register(
        f"{facts['ZOHO_CLIENT_ID']} {old}", redirect_uri="http://localhost/", location="eu"
    )
    new = stored.admin.rotate_secret(facts["ZOHO_CLIENT_ID"])
    file.write_text(file.read_text().replace(old, new))
    stored.advance(minutes=11)

    script = run(shell, str(file))
    assert (script.code, "secret-differs" in script.err) == (2, True)
    assert stored.house.store.connections() == ()
    stored.advance(minutes=11)

    asked = [("Use the new secret?", "y")]
    done = shell.at_a_terminal("import", str(file), "--name", "mine", answers=asked)
    assert done.code == 0, done.out
    assert stored.house.store.client(facts["ZOHO_CLIENT_ID"]).secret_for("eu") == new


def test_by_hand_a_person_is_asked_for_each(shell: Shell, stored: Core) -> None:
    facts = refresh_token(stored)
    asked = [
        ("Client ID", facts["ZOHO_CLIENT_ID"]),
        ("Client Secret", facts["ZOHO_CLIENT_SECRET"]),
        ("Refresh token", facts["ZOHO_REFRESH_TOKEN"]),
    ]
    done = shell.at_a_terminal("import", "--name", "mine", answers=asked)
    assert done.code == 0, done.out
    assert facts["ZOHO_REFRESH_TOKEN"] not in done.out
    assert stored.house.store.grant("mine")


def test_the_data_centre_is_found_with_a_made_up_secret(shell: Shell, stored: Core) -> None:
    facts = refresh_token(stored)
    secret = facts["ZOHO_CLIENT_SECRET"]
    stored.advance(hours=2)  # what was heard within the hour is not asked again
    stored.admin.clear_journal()

    assert run(shell, str(env_file(shell, facts))).code == 0

    asked = [entry for entry in stored.asked() if entry["location"] != "eu"]
    assert [entry["location"] for entry in asked] == ["us"]
    assert all(secret not in json.dumps(entry) for entry in asked)


def test_a_wrong_hint_is_corrected(shell: Shell, stored: Core) -> None:
    facts = {**refresh_token(stored), "ZOHO_DC": "in"}
    done = run(shell, str(env_file(shell, facts)))
    assert (done.code, json.loads(done.out)["location"]) == (0, "eu")
    assert "Zoho knows the client in Europe" in done.err


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ZOHO_REFRESH_TOKEN", f"1000.{'0' * 32}.{'0' * 32}", "import-refused"),
        ("ZOHO_CLIENT_SECRET", "f" * 42, "wrong-secret"),
        ("ZOHO_CLIENT_ID", f"1000.{'A' * 30}", "client-unknown-everywhere"),
        ("ZOHO_CLIENT_ID", "", "import-incomplete"),
    ],
)
def test_what_zoho_does_not_take_is_not_stored(
    shell: Shell, stored: Core, name: str, value: str, code: str
) -> None:
    facts = {**refresh_token(stored), name: value}
    done = run(shell, str(env_file(shell, facts)))
    assert done.code != 0
    assert json.loads(done.err.splitlines()[-1])["error"]["code"] == code
    assert nothing_stored(stored)


def test_a_token_that_is_tended_already_is_not_taken_twice(shell: Shell, stored: Core) -> None:
    file = env_file(shell, refresh_token(stored))
    assert run(shell, str(file), "--name", "mine").code == 0
    asked = len(stored.refreshes())

    again = run(shell, str(file), "--name", "other")

    assert (again.code, "import-known" in again.err) == (2, True)
    assert len(stored.refreshes()) == asked


def test_a_token_that_does_not_tell_whose_it_is_is_proved_by_a_read(
    shell: Shell, stored: Core
) -> None:
    client = stored.client("theirs")
    stored.connection("theirs", client, scope=("ZohoCRM.org.READ",))
    done = stored.authorize("theirs")
    assert done.generation
    facts = {
        "client_id": client.client_id,
        "client_secret": client.secret_for("eu"),
        "refresh_token": stored.house.store.grants("theirs")[0].refresh_token,
    }
    stored.house.broker.forget("theirs")

    said = json.loads(run(shell, "--name", "mine", given=json.dumps(facts)).out)

    rungs = {each["name"]: each["state"] for each in said["rungs"]}
    assert (rungs["identity"], rungs["read:crm"]) == ("skipped", "passed")
    assert rungs["scope"] == "partial", "the next consent asks who consents, too"
    assert shell.run("token", "mine").code == 0


def test_several_entries_want_a_choice(shell: Shell, stored: Core) -> None:
    facts = refresh_token(stored)
    servers = {
        "zoho": {"env": facts},
        "other": {"env": {**facts, "ZOHO_REFRESH_TOKEN": f"1000.{'1' * 32}.{'2' * 32}"}},
    }
    text = json.dumps({"mcpServers": servers})
    refused = run(shell, given=text)
    assert (refused.code, "import-which" in refused.err) == (2, True)

    assert json.loads(run(shell, "--entry", "zoho", given=text).out)["name"] == "zoho"


@pytest.mark.parametrize(
    ("content", "code"), [("", "import-nothing"), ("= =\n", "destination-broken")]
)
def test_a_file_without_sense_changes_nothing(
    shell: Shell, stored: Core, content: str, code: str
) -> None:
    file = shell.directory / "file.env"
    file.write_text(content)
    file.chmod(0o600)
    done = run(shell, str(file))
    assert (done.code != 0, code in done.err) == (True, True)
    assert nothing_stored(stored)


def test_a_link_is_followed_and_one_to_nowhere_is_called_missing(
    shell: Shell, stored: Core
) -> None:
    file = shell.directory / "file.env"
    file.write_text("".join(f"{key}={value}\n" for key, value in refresh_token(stored).items()))
    file.chmod(0o600)
    link = shell.directory / "link.env"
    link.symlink_to(file)
    assert run(shell, str(link)).code == 0

    file.unlink()
    circle = shell.directory / "circle.env"
    circle.symlink_to(circle)
    for place in (file, link, circle):
        missing = run(shell, str(place))
        assert missing.code == 2
        assert "import-missing" in missing.err


# --- A server that rotates refresh tokens --------------------------------------------------------


def test_the_refresh_token_that_replaces_an_imported_one_is_stored(
    shell: Shell, stored: Core
) -> None:
    file = env_file(shell, refresh_token(stored))
    stored.admin.change_settings(refresh_token_rotation="reuse-detection")
    done = run(shell, str(file), "--name", "mine")
    assert done.code == 0, done.err
    assert "The one you imported no longer works" in done.err
    stored.advance(hours=2)
    assert shell.run("token", "mine").code == 0


@pytest.mark.parametrize(("name", "code"), [("taken", "connection-exists"), ("a b", "bad-name")])
def test_a_name_that_cannot_be_given_is_refused_before_the_refresh_token_is_used(
    shell: Shell, stored: Core, name: str, code: str
) -> None:
    file = env_file(shell, refresh_token(stored))
    stored.proved("taken")
    asked = len(stored.refreshes())
    done = run(shell, str(file), "--name", name)
    assert json.loads(done.err.splitlines()[-1])["error"]["code"] == code
    assert len(stored.refreshes()) == asked
