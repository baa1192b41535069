"""From the first command to a token in use, only in the terminal."""

import json
from urllib.parse import parse_qs, urlsplit

import requests
from support.harness import ANNA, BOB, SCOPE, Harness
from support.shell import CommandResult, Shell

PRESET = "crm-read-leads"
URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"


def add_client(shell: Shell, owner: str = ANNA) -> dict[str, str]:
    """Register a client at Zoho and store it with `client add`."""
    uri = f"http://localhost:{shell.port}/callback"
    made = shell.simulator.controls.register_client(owner, [uri], name="OAuth wizard")
    (secret,) = made["secrets"].values()
    added = shell.run("client", "add", stdin_text=f"{made['client_id']}\n{secret}\n")
    assert added.exit_code == 0, added.stderr
    return {"client_id": made["client_id"], "client_secret": secret}


def give_consent(shell: Shell, *arguments: str, email: str = ANNA) -> CommandResult:
    """Run a command that asks for a consent; accept, and paste the final URL."""
    running = shell.start(*arguments)
    running.send_line(shell.simulator.controls.authorize(running.wait_for_stderr(URL), email))
    return running.finish()


def connect(shell: Shell, name: str = "crm") -> CommandResult:
    """A verified connection."""
    done = give_consent(shell, "connect", name, "--preset", PRESET, "--no-browser")
    assert done.exit_code == 0, done.stderr
    return done


def test_a_connection_is_authorized_verified_and_used_without_a_browser(shell: Shell) -> None:
    add_client(shell)

    done = connect(shell)
    assert "Zylker" in done.stderr
    assert ANNA in done.stderr
    assert done.stdout == ""

    token = shell.run("token", "crm")
    assert (token.exit_code, token.stderr) == (0, "")
    assert token.stdout == token.stdout.strip() + "\n"
    answer = requests.get(
        f"{shell.simulator.url}/eu/www/crm/v8/org",
        headers={"Authorization": f"Zoho-oauthtoken {token.stdout.strip()}"},
        timeout=10,
    )
    assert answer.status_code == 200

    result = json.loads(shell.run("token", "crm", "--json").stdout)
    assert result["access_token"] == token.stdout.strip()
    assert result["location"] == "eu"
    assert 300 <= result["expires_in"] <= 3600


def test_list_and_show_print_what_a_connection_reaches(shell: Shell) -> None:
    add_client(shell)
    connect(shell)

    (row,) = json.loads(shell.run("list", "--json").stdout)["connections"]
    assert (row["name"], row["state"], row["account"]["email"]) == ("crm", "verified", ANNA)
    assert "crm\t✓ Verified" in shell.run("list").stdout

    shown = json.loads(shell.run("show", "crm", "--json").stdout)
    assert shown["generation"] == 1
    assert [step["state"] for step in shown["verification"]["steps"]].count("failed") == 0
    assert "Zylker" in shell.run("show", "crm").stdout


def test_a_password_change_is_detected_and_one_consent_reauthorizes(shell: Shell) -> None:
    add_client(shell)
    connect(shell)
    shell.simulator.controls.change_password(ANNA)
    shell.simulator.controls.advance(3600)

    failed = shell.run("token", "crm")
    assert (failed.exit_code, failed.stdout) == (3, "")
    assert "zoho-wizard reauthorize crm" in failed.stderr
    checked = shell.run("check", "--json")
    assert checked.exit_code == 3
    assert json.loads(checked.stdout)["connections"][0]["state"] == "needs_reauthorization"

    reauthorized = give_consent(shell, "reauthorize", "crm", "--no-browser", "--json")
    assert reauthorized.exit_code == 0
    (outcome,) = json.loads(reauthorized.stdout)["connections"]
    assert (outcome["generation"], outcome["is_verified"]) == (2, True)
    assert shell.run("token", "crm").exit_code == 0


def test_a_different_user_at_reauthorization_replaces_nothing(
    shell: Shell, shell_harness: Harness
) -> None:
    add_client(shell)
    connect(shell)

    other = give_consent(shell, "reauthorize", "crm", "--no-browser", email="dora@zylker.example")

    assert other.exit_code != 0
    assert shell_harness.services.store.connections.get("crm").generation == 1
    assert shell.run("token", "crm").exit_code == 0


def test_a_different_user_than_the_account_asked_for_is_not_used(shell: Shell) -> None:
    add_client(shell)
    words = ("connect", "crm", "--preset", PRESET, "--no-browser", "--account", ANNA, "--json")
    other = give_consent(shell, *words, email="dora@zylker.example")
    assert json.loads(other.stdout)["error"]["code"] == "other-account"
    assert json.loads(other.stdout)["state"] == "different_account"
    assert shell.run("token", "crm").exit_code != 0


def test_a_self_client_connects_with_only_a_code(shell: Shell) -> None:
    made = shell.simulator.controls.register_client(BOB, [], name="Self Client", kind="self-client")
    (secret,) = made["secrets"].values()
    added = shell.run("client", "add", "--self-client", stdin_text=f"{made['client_id']} {secret}")
    assert added.exit_code == 0, added.stderr
    (stored,) = json.loads(shell.run("client", "list", "--json").stdout)["clients"]
    assert f"stored as {stored['name']}." in added.stderr
    code = shell.simulator.controls.generate_code(made["client_id"], ",".join(SCOPE))

    done = shell.run(
        "connect", "india", "--preset", PRESET, "--self-client", stdin_text=f"{code}\n"
    )

    assert done.exit_code == 0, done.stderr
    assert "Zylker India" in done.stderr
    assert shell.run("token", "india").exit_code == 0


def test_a_refused_consent_is_reported_and_stores_nothing(shell: Shell) -> None:
    add_client(shell)
    running = shell.start("connect", "crm", "--preset", PRESET, "--no-browser", "--json")
    state = parse_qs(urlsplit(running.wait_for_stderr(URL)).query)["state"][0]
    running.send_line(f"http://localhost:{shell.port}/callback?state={state}&error=access_denied")

    done = running.finish()

    assert (done.exit_code, done.stdout) != (0, "")
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"]
    assert json.loads(shell.run("list", "--json").stdout)["connections"][0]["generation"] == 0


def test_a_client_can_be_given_by_its_name(shell: Shell) -> None:
    add_client(shell)
    named = ("connect", "crm", "--preset", PRESET, "--client", "OAuth wizard", "--no-browser")
    done = give_consent(shell, *named)
    assert done.exit_code == 0, done.stderr


def test_a_new_secret_of_a_stored_client_is_confirmed_and_never_dropped(
    shell: Shell, shell_harness: Harness
) -> None:
    added = add_client(shell)
    client_id, old = added["client_id"], added["client_secret"]
    new = shell.simulator.controls.rotate_secret(client_id)

    script = shell.run("client", "add", stdin_text=f"{client_id} {new}")
    assert (script.exit_code, "secret-differs" in script.stderr) == (2, True)

    for answer, secret in (("n", old), ("y", new)):
        asked = [("client ID", f"{client_id} {new}"), ("Use the new secret?", answer)]
        done = shell.run_in_terminal("client", "add", replies=asked)
        assert done.exit_code == (answer == "n"), done.stdout
        assert new not in done.stdout
        assert shell_harness.services.store.clients.get(client_id).secret_for("eu") == secret

    again = shell.run("client", "add", stdin_text=f"{client_id} {new}")
    assert again.exit_code == 0
    assert "already stored" in again.stderr
