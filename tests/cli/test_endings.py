"""Secrets shown on purpose, tokens revoked, connections removed; and what a script must say."""

import json
from io import StringIO

import pytest
import requests
from core import Core
from dotenv import dotenv_values
from shell import Shell


@pytest.fixture
def proved(stored: Core) -> Core:
    """A proved connection `crm`."""
    stored.proved("crm")
    return stored


def lives(core: Core, refresh_token: str) -> bool:
    """Whether the simulated Zoho still knows a refresh token."""
    living = core.sandbox.world.grants.live_refresh_tokens()
    return refresh_token in [each.refresh_token for each in living]


def test_a_pipe_gets_the_secrets_only_by_yes(shell: Shell, proved: Core) -> None:
    refused = shell.run("show", "crm", "--reveal")
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err

    given = shell.run("show", "crm", "--reveal", "--yes")

    values = dotenv_values(stream=StringIO(given.out))
    answer = requests.post(
        f"{values['ZOHO_ACCOUNTS_URL']}/oauth/v2/token",
        data={
            "grant_type": "refresh_token",
            "client_id": values["ZOHO_CLIENT_ID"],
            "client_secret": values["ZOHO_CLIENT_SECRET"],
            "refresh_token": values["ZOHO_REFRESH_TOKEN"],
        },
        timeout=10,
    )
    assert "access_token" in answer.json()
    assert "revealed" in [event.kind for event in proved.house.store.history("crm")]


def test_a_terminal_is_asked_before_secrets_are_shown(shell: Shell, proved: Core) -> None:
    grant = proved.house.store.grant("crm")
    assert grant is not None

    no = shell.at_a_terminal("show", "crm", "--reveal", answers=[("[y/N]", "n")])
    assert no.code == 1
    assert grant.refresh_token not in no.out

    yes = shell.at_a_terminal("show", "crm", "--reveal", answers=[("[y/N]", "y")])
    assert yes.code == 0
    assert grant.refresh_token in yes.out


def test_nothing_but_reveal_shows_a_secret(shell: Shell, proved: Core) -> None:
    grant = proved.house.store.grant("crm")
    assert grant is not None
    secret = proved.house.store.client(grant.client_id).secrets[0].value
    one = f"client show {grant.client_id}"
    for words in ("show crm", one):
        for arguments in (words.split(), [*words.split(), "--json"]):
            said = shell.run(*arguments)
            assert said.code == 0
            assert grant.refresh_token not in said.out + said.err
            assert secret not in said.out + said.err


def test_a_script_must_mean_to_revoke(shell: Shell, proved: Core) -> None:
    grant = proved.house.store.grant("crm")
    assert grant is not None

    assert shell.run("revoke", "crm").code == 2
    assert lives(proved, grant.refresh_token)

    assert shell.run("revoke", "crm", "--yes").code == 0
    assert not lives(proved, grant.refresh_token)
    assert shell.run("token", "crm").out == ""
    assert shell.run("revoke", "crm", "--yes").code == 1


def test_a_script_must_choose_what_becomes_of_the_token(shell: Shell, proved: Core) -> None:
    grant = proved.house.store.grant("crm")
    assert grant is not None

    refused = shell.run("remove", "crm")
    assert refused.code == 2
    assert "--forget, --revoke" in refused.err
    assert [each.name for each in proved.house.store.connections()] == ["crm"]

    forgotten = shell.run("remove", "crm", "--forget")
    assert forgotten.code == 0
    assert "still works at Zoho" in forgotten.err
    assert lives(proved, grant.refresh_token)
    assert not proved.house.store.connections()


def test_remove_can_revoke_first(shell: Shell, proved: Core) -> None:
    grant = proved.house.store.grant("crm")
    assert grant is not None

    removed = shell.at_a_terminal("remove", "crm", answers=[("or cancel", "revoke")])

    assert removed.code == 0
    assert not lives(proved, grant.refresh_token)


def test_a_client_in_use_is_not_removed(shell: Shell, proved: Core) -> None:
    (client,) = proved.house.store.clients()

    kept = shell.run("client", "remove", client.client_id, "--yes")

    assert kept.code == 2
    assert "crm" in kept.err
    assert shell.run("remove", "crm", "--forget").code == 0
    assert shell.run("client", "remove", client.client_id, "--yes").code == 0
    assert json.loads(shell.run("client", "list", "--json").out) == []


def test_a_wrong_secret_changes_nothing(shell: Shell, proved: Core) -> None:
    (client,) = proved.house.store.clients()

    refused = shell.run("client", "secret", client.client_id, given="f" * 42)
    assert refused.code != 0
    assert proved.house.store.clients() == (client,)

    fresh = proved.admin.rotate_secret(client.client_id)
    assert shell.run("client", "secret", client.client_id, given=fresh).code == 0
    checked = shell.run("client", "check", "--json")
    assert checked.code == 0
    assert json.loads(checked.out)[0]["error"] is None
