"""``backup`` and ``restore`` as commands, and a key that was lost."""

import json
import os
from pathlib import Path

import pytest
from core import ANNA, Core
from shell import Result, Shell

from wizard.delivery import profiles
from wizard.house import House
from wizard.settings import from_environment
from wizard.store import Destination
from wizard.vault import cipher

pytestmark = pytest.mark.slow
"""Whole machines, process by process: minutes on two cores."""

PASSPHRASE = "four words make one"


def back_up(shell: Shell, *options: str) -> Path:
    file = shell.directory / "wizard.backup"
    done = shell.run("backup", str(file), *options, given=f"{PASSPHRASE}\n")
    assert done.code == 0, done.err
    return file


def restore(shell: Shell, *arguments: str, given: str = PASSPHRASE, **environment: str) -> Result:
    return shell.run("restore", *arguments, "--json", given=f"{given}\n", **environment)


def elsewhere(shell: Shell) -> dict[str, str]:
    return {"ZOHO_WIZARD_HOME": str(shell.directory / "another machine")}


def lose_key(shell: Shell) -> Path:
    (key,) = shell.directory.rglob("key")
    return key.rename(shell.directory / "lost")


def test_a_restored_connection_is_proved_and_used_on_another_machine(
    shell: Shell, stored: Core
) -> None:
    stored.proved()
    file = back_up(shell)

    done = restore(shell, str(file), **elsewhere(shell))

    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["restored"] == ["crm"]
    assert [(each["name"], each["proved"]) for each in said["checks"]] == [("crm", True)]
    token = shell.run("token", "crm", **elsewhere(shell))
    assert (token.code, token.out.startswith("1000.")) == (0, True)


def test_a_restore_beside_a_machine_that_goes_on_is_told_until_that_one_is_gone(
    shell: Shell, stored: Core
) -> None:
    stored.proved()
    file = back_up(shell)

    done = shell.run("restore", str(file), given=f"{PASSPHRASE}\n", **elsewhere(shell))
    status = shell.run("status", **elsewhere(shell))
    told = (done, status, shell.run("show", "crm", **elsewhere(shell)))

    caution = "Two homes may tend one grant"
    assert [(caution in each.err, each.code) for each in told] == [(True, 0)] * 3
    assert "zoho-wizard restore --source-gone" in told[0].err
    assert shell.run("restore", "--source-gone", **elsewhere(shell)).code == 0
    status = shell.run("status", "--json", **elsewhere(shell))
    assert json.loads(status.out)["cautions"] == []


def test_what_a_backup_hands_on_to_is_a_strangers_word_until_somebody_agrees(
    shell: Shell, stored: Core
) -> None:
    stored.proved()
    place = Destination("crm", "dotenv", "/srv/app/.env", reload="systemctl restart app")
    stored.house.store.add_destination(place)
    file = back_up(shell)

    left_out = shell.run("restore", str(file), given=f"{PASSPHRASE}\n", **elsewhere(shell))
    said = json.loads(shell.run("deliver", "--list", "crm", "--json", **elsewhere(shell)).out)

    assert left_out.code == 0
    command = "deliver crm --profile dotenv --to /srv/app/.env --then 'systemctl restart app'"
    assert f"zoho-wizard {command}" in left_out.err
    assert said == []
    third = {"ZOHO_WIZARD_HOME": str(shell.directory / "a third machine")}
    assert restore(shell, str(file), "--deliver", **third).code == 0
    (kept,) = json.loads(shell.run("deliver", "--list", "crm", "--json", **third).out)
    assert kept["target"] == "/srv/app/.env"


def test_a_move_retires_the_first_machine(shell: Shell, stored: Core) -> None:
    stored.proved()
    refused = shell.run("backup", "file", "--move", given=f"{PASSPHRASE}\n")
    assert (refused.code, "choice-needed" in refused.err) == (2, True)

    file = back_up(shell, "--move", "--yes")

    here = shell.run("token", "crm")
    assert (here.code, here.out) == (5, "")
    assert "home-retired" in here.err
    assert restore(shell, str(file), **elsewhere(shell)).code == 0
    assert shell.run("token", "crm", **elsewhere(shell)).code == 0
    assert json.loads(shell.run("status", "--json").out)["retired_at"]


def test_status_gives_the_age_of_the_last_backup(shell: Shell, stored: Core) -> None:
    assert "never" in shell.run("status").out
    back_up(shell)
    stored.advance(hours=49)
    assert "2 days ago" in shell.run("status").out


def test_a_wrong_passphrase_and_a_cut_file_are_told_apart(shell: Shell, stored: Core) -> None:
    stored.proved()
    file = back_up(shell)
    wrong = restore(shell, str(file), given="another passphrase", **elsewhere(shell))
    file.write_bytes(file.read_bytes()[:-40])
    cut = restore(shell, str(file), **elsewhere(shell))

    assert (wrong.code, "wrong-passphrase" in wrong.err) == (1, True)
    assert (cut.code, "backup-cut-short" in cut.err) == (1, True)
    assert not (shell.directory / "another machine").exists(), "not even a home was made"


def test_while_zoho_is_down_what_was_restored_waits(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    stored.proved("books")
    file = back_up(shell)
    stored.admin.fault("dc-down", location="eu", times=100)

    done = restore(shell, str(file), **elsewhere(shell))

    said = json.loads(done.out)
    assert done.code == 4
    assert said["restored"] == ["books", "crm"]
    assert len(said["checks"]) == 1
    assert said["unchecked"] == ["crm"]


def test_what_died_since_the_backup_is_told_once_for_all(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    stored.proved("books")
    file = back_up(shell)
    stored.admin.change_password(ANNA)

    done = shell.run("restore", str(file), given=f"{PASSPHRASE}\n", **elsewhere(shell))

    assert done.code == 3
    assert done.err.count("(account-tokens-dead)") == 1
    assert "zoho-wizard reauthorize books crm" in done.err


def test_without_the_key_three_ways_are_offered(shell: Shell, stored: Core) -> None:
    stored.proved()
    lose_key(shell)

    said = shell.run("list", "--json")

    assert said.code == 5
    error = json.loads(said.err)["error"]
    assert error["commands"] == [
        "zoho-wizard restore FILE --set-aside",
        "zoho-wizard restore --from-destinations",
        "zoho-wizard restore --without-secrets",
    ]


def reopened(shell: Shell) -> House:
    return House.open(from_environment(shell.environment), shell.sandbox.clock)


def test_a_backup_mends_a_lost_key_and_keeps_what_is_younger(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    file = back_up(shell)
    stored.proved("books")
    stored.house.close()
    lose_key(shell)

    asked = restore(shell, str(file))
    assert (asked.code, "choice-needed" in asked.err) == (2, True)
    done = restore(shell, str(file), "--set-aside")

    assert done.code == 0, done.err
    assert shell.run("token", "crm").code == 0
    books = shell.run("token", "books")
    assert (books.code, "no-grant" in books.err) == (3, True)
    (aside,) = shell.directory.rglob("without-key-*")
    assert (aside / "wizard.db").exists()


def test_the_secrets_are_read_back_from_the_destinations(shell: Shell, stored: Core) -> None:
    grant = stored.proved("crm")
    stored.proved("desk")
    env = shell.directory / "program.env"
    facts = {
        "ZOHO_CLIENT_ID": grant.client_id,
        "ZOHO_CLIENT_SECRET": stored.house.store.client(grant.client_id).secret_for("eu") or "",
        "ZOHO_REFRESH_TOKEN": grant.refresh_token,
        "ZOHO_API_DOMAIN": f"{shell.sandbox.url}/eu/www",
    }
    env.write_text("".join(f"{name}={value}\n" for name, value in facts.items()))
    assert "dotenv" in profiles()
    stored.house.store.add_destination(Destination("crm", "dotenv", str(env)))
    stored.house.close()
    lose_key(shell)

    done = restore(shell, "--from-destinations")

    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["restored"] == ["crm", "desk"]
    assert [(each["name"], each["proved"]) for each in said["checks"]] == [("crm", True)]
    assert said["to_authorize"] == ["desk"]
    with reopened(shell) as house:
        assert house.store.grant("crm")
        assert [each.target for each in house.store.destinations("crm")] == [str(env)]


def test_everything_but_the_secrets_is_kept(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    client = stored.house.store.clients()[0]
    scope = stored.house.store.connection("crm").scope
    stored.house.close()
    lose_key(shell)

    assert restore(shell, "--without-secrets").code == 0

    with reopened(shell) as house:
        assert house.store.connection("crm").scope == scope
        assert house.store.grants("crm") == ()
        assert house.store.client(client.client_id).secrets == ()
    lacking = shell.run("connect", "crm", "--no-browser")
    assert "missing-secret" in lacking.err
    secret = stored.registered["secrets"]["eu"]
    assert shell.run("client", "secret", client.client_id, given=secret).code == 0


def test_a_key_that_is_no_key_is_set_aside_too(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    stored.house.close()
    lost = lose_key(shell)
    (config,) = shell.directory.rglob("config/sandbox")
    (config / "key").write_text("garbage")
    (config / "key").chmod(0o600)

    assert restore(shell, "--without-secrets").code == 0
    (aside,) = shell.directory.rglob("without-key-*")
    assert (aside / "key").read_text() == "garbage"
    assert (config / "key").read_bytes() != lost.read_bytes()


def test_another_key_offers_the_same_and_is_then_used(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    file = back_up(shell)
    stored.house.close()
    key = lose_key(shell)
    other = cipher.key_to_text(cipher.new_key())
    (config,) = shell.directory.rglob("config/sandbox")
    (config / "key").write_text(other)
    (config / "key").chmod(0o600)
    assert "key-wrong" in shell.run("list").err

    assert restore(shell, str(file), "--set-aside").code == 0

    assert (config / "key").read_text() == other != key.read_text()
    assert shell.run("token", "crm").code == 0


def test_a_home_in_order_is_not_rescued(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    said = restore(shell, "--without-secrets")
    assert (said.code, "key-in-order" in said.err) == (2, True)
    assert shell.run("token", "crm").code == 0


@pytest.mark.parametrize("arguments", [(), ("file", "--without-secrets")])
def test_one_source_is_wanted(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert restore(shell, *arguments).code == 2
    assert os.listdir(shell.directory) == ["clock"]
