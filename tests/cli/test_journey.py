"""From nothing to a token in use, in the terminal alone."""

import json
from urllib.parse import parse_qs, urlsplit

import requests
from core import ANNA, BOB, SCOPE, Core
from shell import Result, Shell

TASK = "crm-read-leads"
URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"


def add_client(shell: Shell, owner: str = ANNA) -> dict[str, str]:
    """Register a client at Zoho and store it with `client add`."""
    uri = f"http://localhost:{shell.port}/callback"
    made = shell.sandbox.admin.register_client(owner, [uri], name="OAuth wizard")
    (secret,) = made["secrets"].values()
    added = shell.run("client", "add", given=f"{made['client_id']}\n{secret}\n")
    assert added.code == 0, added.err
    return {"client_id": made["client_id"], "client_secret": secret}


def consent(shell: Shell, *arguments: str, email: str = ANNA) -> Result:
    """Run a command that asks for a consent; accept, and paste back where the browser ended."""
    running = shell.start(*arguments)
    running.type(shell.sandbox.admin.authorize(running.see(URL), email))
    return running.end()


def connected(shell: Shell, name: str = "crm") -> Result:
    """A proved connection."""
    done = consent(shell, "connect", name, "--task", TASK, "--no-browser")
    assert done.code == 0, done.err
    return done


def test_a_connection_is_made_proved_and_used_without_a_browser(shell: Shell) -> None:
    add_client(shell)

    done = connected(shell)
    assert "Zylker" in done.err
    assert ANNA in done.err
    assert done.out == ""

    token = shell.run("token", "crm")
    assert (token.code, token.err) == (0, "")
    assert token.out == token.out.strip() + "\n"
    answer = requests.get(
        f"{shell.sandbox.url}/eu/www/crm/v8/org",
        headers={"Authorization": f"Zoho-oauthtoken {token.out.strip()}"},
        timeout=10,
    )
    assert answer.status_code == 200

    told = json.loads(shell.run("token", "crm", "--json").out)
    assert told["access_token"] == token.out.strip()
    assert told["location"] == "eu"
    assert 300 <= told["expires_in"] <= 3600


def test_list_and_show_say_what_a_connection_reaches(shell: Shell) -> None:
    add_client(shell)
    connected(shell)

    (row,) = json.loads(shell.run("list", "--json").out)
    assert (row["name"], row["state"], row["account"]["email"]) == ("crm", "proved", ANNA)
    assert "crm\t✓ proved" in shell.run("list").out

    shown = json.loads(shell.run("show", "crm", "--json").out)
    assert shown["generation"] == 1
    assert [rung["state"] for rung in shown["receipt"]["rungs"]].count("failed") == 0
    assert "Zylker" in shell.run("show", "crm").out


def test_a_password_change_is_found_and_one_consent_repairs_it(shell: Shell) -> None:
    add_client(shell)
    connected(shell)
    shell.sandbox.admin.change_password(ANNA)
    shell.sandbox.admin.advance(3600)

    failed = shell.run("token", "crm")
    assert (failed.code, failed.out) == (3, "")
    assert "zoho-wizard reauthorize crm" in failed.err
    checked = shell.run("check", "--json")
    assert checked.code == 3
    assert json.loads(checked.out)[0]["state"] == "dead"

    repaired = consent(shell, "reauthorize", "crm", "--no-browser", "--json")
    assert repaired.code == 0
    outcome = json.loads(repaired.out)
    assert (outcome["generation"], outcome["proved"]) == (2, True)
    assert shell.run("token", "crm").code == 0


def test_another_person_at_reauthorization_overwrites_nothing(shell: Shell, stored: Core) -> None:
    add_client(shell)
    connected(shell)

    other = consent(shell, "reauthorize", "crm", "--no-browser", email="dora@zylker.example")

    assert other.code != 0
    assert stored.house.store.connection("crm").generation == 1
    assert shell.run("token", "crm").code == 0


def test_a_self_client_connects_with_a_code_alone(shell: Shell) -> None:
    made = shell.sandbox.admin.register_client(BOB, [], name="Self Client", kind="self-client")
    (secret,) = made["secrets"].values()
    added = shell.run("client", "add", "--self-client", given=f"{made['client_id']} {secret}")
    assert added.code == 0, added.err
    code = shell.sandbox.admin.generate_code(made["client_id"], ",".join(SCOPE))

    done = shell.run("connect", "india", "--task", TASK, "--self-client", given=f"{code}\n")

    assert done.code == 0, done.err
    assert "Zylker India" in done.err
    assert shell.run("token", "india").code == 0


def test_a_refused_consent_says_so_and_stores_nothing(shell: Shell) -> None:
    add_client(shell)
    running = shell.start("connect", "crm", "--task", TASK, "--no-browser", "--json")
    state = parse_qs(urlsplit(running.see(URL)).query)["state"][0]
    running.type(f"http://localhost:{shell.port}/callback?state={state}&error=access_denied")

    done = running.end()

    assert (done.code, done.out) != (0, "")
    assert json.loads(done.err.splitlines()[-1])["error"]["code"]
    assert json.loads(shell.run("list", "--json").out)[0]["generation"] == 0


def test_a_client_is_named_by_its_name_as_well(shell: Shell) -> None:
    add_client(shell)
    named = ("connect", "crm", "--task", TASK, "--client", "OAuth wizard", "--no-browser")
    done = consent(shell, *named)
    assert done.code == 0, done.err


def test_a_new_secret_of_a_stored_client_is_asked_about_and_never_dropped(
    shell: Shell, stored: Core
) -> None:
    added = add_client(shell)
    client_id, old = added["client_id"], added["client_secret"]
    new = shell.sandbox.admin.rotate_secret(client_id)

    script = shell.run("client", "add", given=f"{client_id} {new}")
    assert (script.code, "secret-differs" in script.err) == (2, True)

    for answer, secret in (("n", old), ("y", new)):
        asked = [("Client ID", f"{client_id} {new}"), ("Use the new secret?", answer)]
        done = shell.at_a_terminal("client", "add", answers=asked)
        assert done.code == (answer == "n"), done.out
        assert new not in done.out
        assert stored.house.store.client(client_id).secret_for("eu") == secret

    again = shell.run("client", "add", given=f"{client_id} {new}")
    assert again.code == 0
    assert "already stored" in again.err
