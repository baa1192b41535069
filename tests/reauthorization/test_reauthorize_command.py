"""``reauthorize`` in a shell: a plan, one consent after the other, a table of proofs."""

import json
import re
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from core import ANNA, CARLA, PRODUCTION, Core
from giving import deliver
from repairing import accept, connect, states
from shell import Result, Running, Shell

URL = re.compile(r"http://127\.0\.0\.1:\d+/\S+/oauth/v2/auth\?\S+").pattern


def dead(shell: Shell, stored: Core, *names: str) -> None:
    """Connections of anna's that died with her password, and the wizard knows."""
    client = stored.client()
    for name in names:
        connect(stored, name, client)
    shell.sandbox.admin.change_password(ANNA)
    assert shell.run("check").code == 3


def consents(shell: Shell, running: Running, *people: tuple[str, str]) -> Result:
    """Answer each consent as it is asked for, by these people."""
    for seen, (email, organization) in enumerate(people):
        found = running.see(rf"(?s)(?:{URL}.*?){{{seen}}}{URL}")
        url = re.findall(URL, found)[seen]
        running.type(shell.sandbox.admin.authorize(url, email, organization))
    return running.end()


def test_all_that_died_is_repaired_and_proved_in_one_run(shell: Shell, stored: Core) -> None:
    dead(shell, stored, "crm", "leads")
    assert shell.run("token", "crm").code == 3

    running = shell.start("reauthorize", "--all", "--no-browser", "--yes", "--json")
    done = consents(shell, running, (ANNA, ""), (ANNA, ""))

    assert done.code == 0, done.err
    assert "2 consents in all, 1 sign-in." in done.err
    proofs = json.loads(done.out)
    assert [(each["name"], each["state"]) for each in proofs] == [
        ("crm", "repaired"),
        ("leads", "repaired"),
    ]
    assert shell.run("token", "crm").code == 0
    assert shell.run("reauthorize", "--all", "--yes").code == 0, "nothing to repair"


def test_a_script_must_say_that_it_means_several(shell: Shell, stored: Core) -> None:
    dead(shell, stored, "crm", "leads")
    refused = shell.run("reauthorize", "--all", "--no-browser")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert stored.house.repairs.current() is None


def test_a_stray_grant_is_given_back_at_once_in_a_script(shell: Shell, stored: Core) -> None:
    dead(shell, stored, "crm")
    running = shell.start("reauthorize", "crm", "--no-browser")
    done = consents(shell, running, (CARLA, PRODUCTION))
    assert done.code == 3
    assert CARLA in done.err
    assert "left as it was" in done.out
    stray = stored.house.store.grant("crm", 2)
    assert stray is not None
    assert stray.state.value == "revoked"


def test_an_interrupted_repair_goes_on_where_it_was(shell: Shell, stored: Core) -> None:
    dead(shell, stored, "crm", "leads")
    running = shell.start("reauthorize", "--all", "--no-browser", "--yes")
    first = running.see(URL)
    running.type(shell.sandbox.admin.authorize(first, ANNA))
    running.see(r"(?s)leads:.*" + URL)
    shell.under_way[-1].kill()
    running.end()

    done = consents(shell, shell.start("reauthorize", "--no-browser"), (ANNA, ""))

    assert done.code == 0, done.err
    assert done.out.count("✓ repaired") == 2


def test_programs_are_handed_the_new_credentials(
    shell: Shell, stored: Core, tmp_path: Path
) -> None:
    connect(stored, "crm", stored.client())
    deliver(stored, "dotenv", tmp_path / "app.env", reload="true")
    shell.sandbox.admin.change_password(ANNA)
    assert shell.run("check").code == 3

    running = shell.start("reauthorize", "crm", "--no-browser", "--json")
    done = consents(shell, running, (ANNA, ""))

    assert done.code == 0, done.err
    (destination,) = json.loads(done.out)["destinations"]
    assert (destination["generation"], destination["failure"]) == (2, None)
    assert destination["in_use_at"]
    grant = stored.house.store.grant("crm")
    assert grant is not None
    assert grant.refresh_token in (tmp_path / "app.env").read_text()


def test_more_is_asked_for_on_the_way(shell: Shell, stored: Core) -> None:
    dead(shell, stored, "crm")
    running = shell.start("reauthorize", "crm", "--no-browser", "--add", "ZohoBooks.settings.READ")
    scope = parse_qs(urlsplit(running.see(URL)).query)["scope"][0]
    assert "ZohoBooks.settings.READ" in scope
    assert consents(shell, running, (ANNA, "")).code == 0
    assert "ZohoBooks.settings.READ" in stored.house.store.connection("crm").scope


def test_the_ninth_consent_waits_and_says_how_long(shell: Shell, stored: Core) -> None:
    names = [f"crm{number}" for number in range(8)]
    client = stored.client()
    for name in names:
        connect(stored, name, client)
    running = shell.start("reauthorize", "crm0", "--no-browser")
    running.see("may begin at")
    running.see("minutes left")
    shell.sandbox.admin.advance(601)
    assert consents(shell, running, (ANNA, "")).code == 0


def test_somebody_leaves_and_another_person_takes_all_over(shell: Shell, stored: Core) -> None:
    new = "integrations@zylker.example"
    shell.sandbox.admin.add_person(
        new,
        first_name="Ina",
        last_name="Gration",
        location="eu",
        password="ina-made-up-password",
        organizations=[{"product": "crm", "organization_id": "20090000001", "name": "Zylker GmbH"}],
    )
    client = stored.client()
    for name in ("crm", "leads"):
        connect(stored, name, client)
    (account,) = json.loads(shell.run("list", "--by", "account", "--json").out)
    assert account["account"] == ANNA
    assert [each["name"] for each in account["connections"]] == ["crm", "leads"]
    assert f"{ANNA}\teu\tcrm\t✓ proved" in shell.run("list", "--by", "account").out

    options = ("--account", ANNA, "--as", new, "--no-browser", "--yes")
    done = consents(shell, shell.start("reauthorize", *options), (new, ""), (new, ""))

    assert done.code == 0, done.err
    (account,) = json.loads(shell.run("list", "--by", "account", "--json").out)
    assert account["account"] == new


def test_by_the_pages_it_waits_until_all_is_repaired(shell: Shell, stored: Core) -> None:
    dead(shell, stored, "crm", "leads")
    running = shell.start("reauthorize", "--all", "--yes")
    running.see("Waiting for the proofs")
    for name in ("crm", "leads"):
        accept(stored, name)
    done = running.end()
    assert done.code == 0, done.err
    assert done.out.count("✓ repaired") == 2
    repair = stored.house.repairs.current()
    assert repair is not None
    assert repair.done, "its page shows the proofs until they were seen"
    assert "nothing to repair" in shell.run("reauthorize").err


def test_who_stops_waiting_is_told_how_to_go_on(shell: Shell, stored: Core) -> None:
    dead(shell, stored, "crm")
    running = shell.start("reauthorize", "crm")
    running.see("Waiting for the proofs")
    stopped = running.end(signal.SIGINT)
    assert stopped.code == 1
    assert "zoho-wizard reauthorize" in stopped.err
    assert states(stored) == {"crm": "pending"}
