"""`token` beyond the cached one: what it says, and how it waits."""

import json
import signal

import pytest
from core import Core
from shell import Shell


@pytest.fixture
def crm(stored: Core) -> Core:
    """A proved connection in the shell's home."""
    stored.proved()
    return stored


def spend(core: Core) -> None:
    """Have Zoho throttle the connection's next refresh."""
    core.house.cache.drop("crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")


def test_json_says_where_a_token_may_be_used_and_as_whom(shell: Shell, stored: Core) -> None:
    stored.connection(scope=("AaaServer.profile.READ", "ZohoCRM.org.READ", "Desk.basic.READ"))
    stored.climb("crm", stored.authorize("crm").generation or 0)
    told = json.loads(shell.run("token", "crm", "--json").out)
    assert told["access_token"].startswith("1000.")
    assert 3500 < told["expires_in"] <= 3600
    assert told["stale"] is False
    assert told["account"]["email"] == "anna@zylker.example"
    assert told["api_domain"] == f"{shell.sandbox.url}/eu/www"
    assert told["api_bases"] == {
        "crm": f"{shell.sandbox.url}/eu/www/crm/v8",
        "desk": f"{shell.sandbox.url}/eu/desk/api/v1",
    }
    assert told["organization_id"] == told["organization_ids"]["crm"]


def test_a_stale_token_says_so_in_json(shell: Shell, crm: Core) -> None:
    first = crm.house.broker.access_token("crm")
    crm.advance(seconds=(first.expires_at - crm.now()).total_seconds() - 200)
    crm.admin.fault("dc-down", endpoint="oauth/v2/token")
    told = json.loads(shell.run("token", "crm", "--json").out)
    assert (told["access_token"], told["stale"]) == (first.value, True)


def test_a_throttled_token_exits_4_and_says_when(shell: Shell, crm: Core) -> None:
    spend(crm)
    ended = shell.run("token", "crm", "--json")
    assert (ended.code, ended.out) == (4, "")
    error = json.loads(ended.err)["error"]
    assert error["code"] == "throttled"
    assert error["retry_at"]
    again = shell.run("token", "crm")  # another process: the cool-down is kept
    assert (again.code, again.out) == (4, "")
    assert len(crm.refreshes()) == 2


def test_with_patience_it_waits_for_the_throttle_to_end(shell: Shell, crm: Core) -> None:
    spend(crm)
    waiting = shell.start("token", "crm", "--wait", "15m")
    waiting.see("Waiting until")
    crm.advance(minutes=10, seconds=1)
    ended = waiting.end()
    assert ended.code == 0, ended.err
    assert ended.out.startswith("1000.")


def test_a_wait_that_would_not_help_is_not_begun(shell: Shell, crm: Core) -> None:
    spend(crm)
    ended = shell.run("token", "crm", "--wait", "5m")
    assert ended.code == 4
    assert "Waiting" not in ended.err


def test_a_wait_can_be_interrupted(shell: Shell, crm: Core) -> None:
    spend(crm)
    waiting = shell.start("token", "crm", "--wait", "1h")
    waiting.see("Waiting until")
    ended = waiting.end(signal.SIGINT)
    assert (ended.code, ended.out) == (130, "")
    assert "Stopped" in ended.err


def test_what_no_wait_mends_is_said_at_once(shell: Shell, stored: Core) -> None:
    stored.connection()
    ended = shell.run("token", "crm", "--wait", "15m")
    assert ended.code == 3


@pytest.mark.parametrize("life", ["25m", "1500", "1500s"])
def test_the_life_that_is_wanted_is_a_span_as_a_wait_is(shell: Shell, crm: Core, life: str) -> None:
    first = crm.house.broker.access_token("crm")
    crm.advance(seconds=(first.expires_at - crm.now()).total_seconds() - 1400)
    assert shell.run("token", "crm", "--min-ttl", "20m").out == f"{first.value}\n"
    assert shell.run("token", "crm", "--min-ttl", life).out not in ("", f"{first.value}\n")


@pytest.mark.parametrize(
    "wish", [("--wait", "soon"), ("--min-ttl", "31m"), ("--min-ttl", "soon"), ("--wait", "-1")]
)
def test_a_wish_that_makes_no_sense_is_a_usage_error(shell: Shell, wish: tuple[str, str]) -> None:
    ended = shell.run("token", "crm", *wish)
    assert (ended.code, ended.out) == (2, "")
    assert wish[0] in ended.err


def test_an_unknown_name_is_answered_with_the_nearest(shell: Shell, crm: Core) -> None:
    for command in (("token", "cmr"), ("run", "cmr", "--", "true")):
        ended = shell.run(*command)
        assert (ended.code, ended.out) == (2, "")
        assert "Nearest: crm." in ended.err


def test_a_name_like_none_is_answered_with_those_there_are(shell: Shell, crm: Core) -> None:
    assert "Nearest: crm." in shell.run("token", "NAME").err


def test_a_client_answers_to_its_name_as_to_its_id(shell: Shell, crm: Core) -> None:
    client = crm.house.store.clients()[0]
    by_id, by_name = (shell.run("client", "show", each) for each in (client.client_id, client.name))
    assert (by_name.code, by_name.out) == (0, by_id.out)


def test_what_was_revoked_no_longer_claims_to_reach_anybody(shell: Shell, crm: Core) -> None:
    assert shell.run("revoke", "crm", "--yes").code == 0
    shown = shell.run("show", "crm")
    assert "This reached Zylker GmbH" in shown.out
    assert "This reaches" not in shown.out
    assert "zoho-wizard reauthorize crm" in shown.err


# --- a token that Zoho rejected -------------------------------------------------------------------


def test_a_rejected_token_is_reported_on_stdin_and_another_is_printed(
    shell: Shell, crm: Core
) -> None:
    first = shell.run("token", "crm").out
    second = shell.run("token", "crm", "--rejected", "-", given=first)
    assert second.code == 0, second.err
    assert second.out.startswith("1000.")
    assert second.out != first
    assert shell.run("token", "crm").out == second.out
    again = shell.run("token", "crm", "--rejected", "-", "--json", given=first)
    assert json.loads(again.out)["access_token"] == second.out.strip()


def test_a_second_rejection_within_the_minute_exits_4_and_says_when(
    shell: Shell, crm: Core
) -> None:
    first = shell.run("token", "crm").out
    second = shell.run("token", "crm", "--rejected", "-", given=first).out
    reported = shell.run("token", "crm", "--rejected", "-", "--json", given=second)
    assert (reported.code, reported.out) == (4, "")
    error = json.loads(reported.err)["error"]
    assert error["code"] == "token-rejected"
    assert error["retry_at"]
    for command in (("token", "crm"), ("run", "crm", "--", "printenv", "ZOHO_ACCESS_TOKEN")):
        ended = shell.run(*command)
        assert (ended.code, ended.out) == (4, "")
        assert second.strip() not in ended.err


def test_with_patience_a_second_rejection_waits_for_its_minute(shell: Shell, crm: Core) -> None:
    first = shell.run("token", "crm").out
    second = shell.run("token", "crm", "--rejected", "-", given=first).out
    waiting = shell.start("token", "crm", "--rejected", "-", "--wait", "2m")
    waiting.type(second.strip())
    waiting.see("Waiting until")
    crm.advance(seconds=61)
    ended = waiting.end()
    assert ended.code == 0, ended.err
    assert ended.out not in (first, second)


def test_a_rejected_token_at_a_terminal_is_typed_unseen(shell: Shell, crm: Core) -> None:
    first = shell.run("token", "crm").out.strip()
    ended = shell.at_a_terminal(
        "token", "crm", "--rejected", "-", answers=[("Rejected access token", first)]
    )
    assert ended.code == 0
    assert first not in ended.out
    assert "1000." in ended.out


@pytest.mark.parametrize("wrong", ["--rejected {}", "--rejected={}", "{} --rejected -"])
def test_a_token_in_argv_is_refused_and_not_repeated(shell: Shell, crm: Core, wrong: str) -> None:
    first = shell.run("token", "crm").out.strip()
    ended = shell.run("token", "crm", *wrong.format(first).split(), given=first)
    assert (ended.code, ended.out) == (2, "")
    assert first.split(".")[1] not in ended.err
    assert shell.run("token", "crm").out.strip() == first, "nothing is marked"


@pytest.mark.parametrize("given", ["two words", "q" * 3000])
def test_a_report_that_is_no_token_is_a_usage_error(shell: Shell, crm: Core, given: str) -> None:
    ended = shell.run("token", "crm", "--rejected", "-", given=given)
    assert (ended.code, ended.out) == (2, "")
    assert "(report-malformed)" in ended.err
    assert given[:9] not in ended.err
