"""The account is a colleague's: send a message, and paste the URL that comes back."""

import json
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.reauthorization import add_verified_connection, item_states
from support.shell import Shell

from wizard.authorization import StartedAttempt
from wizard.errors import WizardError
from wizard.model import AttemptMode
from wizard.zoho import limits

URL = re.compile(r"http://127\.0\.0\.1:\d+/\S+/oauth/v2/auth\?\S+")


def forwarded(harness: Harness) -> StartedAttempt:
    add_verified_connection(harness, "crm", harness.register_client())
    harness.services.reauthorization.begin(("crm",))
    return harness.services.authorization.begin("crm", AttemptMode.FORWARDED)


def test_a_forwarded_consent_may_be_answered_within_a_day(harness: Harness) -> None:
    begun = forwarded(harness)
    assert item_states(harness) == {"crm": "request_sent"}
    harness.advance(hours=23)
    done = harness.services.authorization.complete_forwarded(harness.give_consent(begun))
    assert done.generation == 2


def test_after_a_day_it_is_refused_before_the_code_is_sent(harness: Harness) -> None:
    begun = forwarded(harness)
    harness.advance(hours=24)
    before = len(harness.code_exchanges())
    done = harness.services.authorization.complete_forwarded(harness.give_consent(begun))
    assert done.failure is not None
    assert done.failure.code == "attempt-expired"
    assert len(harness.code_exchanges()) == before


def test_only_forwarded_consents_have_the_longer_lifetime(harness: Harness) -> None:
    add_verified_connection(harness, "crm", harness.register_client())
    begun = harness.services.authorization.begin("crm")
    with pytest.raises(WizardError, match="callback-wrong-browser"):
        harness.services.authorization.complete_forwarded(harness.give_consent(begun))
    for text, code in (
        ("http://localhost:8733/callback?code=1", "callback-without-state"),
        ("http://localhost:8733/callback?code=1&state=other", "callback-unknown-state"),
        ("no address", "callback-without-state"),
    ):
        with pytest.raises(WizardError, match=code):
            harness.services.authorization.complete_forwarded(text)


def test_a_forwarded_consent_is_not_dropped_for_newer_ones(harness: Harness) -> None:
    begun = forwarded(harness)
    other = harness.register_client("other")
    for number in range(8):
        if number == 4:
            harness.advance(minutes=11)
        harness.add_connection(f"other{number}", other)
        harness.services.authorization.begin(f"other{number}")
    assert (
        harness.services.authorization.complete_forwarded(harness.give_consent(begun)).generation
        == 2
    )


def test_each_user_gets_a_message_and_their_responses_reauthorize(
    shell: Shell, shell_harness: Harness
) -> None:
    client = shell_harness.register_client()
    add_verified_connection(shell_harness, "crm", client)
    add_verified_connection(shell_harness, "leads", client, CARLA, FIRST_ORGANIZATION)
    asked = shell.run("reauthorize", "crm", "leads", "--request", "--yes")
    assert asked.exit_code == 0, asked.stderr
    assert f"Sign in there as {ANNA}" in asked.stdout
    assert f"Sign in there as {CARLA}" in asked.stdout
    assert "zoho-wizard reauthorize --response" in asked.stderr
    first, second = URL.findall(asked.stdout)
    shell.simulator.controls.advance(3 * 3600)
    admin = shell.simulator.controls
    answers = [admin.authorize(first, ANNA), admin.authorize(second, CARLA, FIRST_ORGANIZATION)]

    done = shell.run("reauthorize", "--response", stdin_text="\n".join(answers))

    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("✓ Re-authorized") == 2


def test_a_forwarded_link_counts_for_the_rate_limit_when_it_is_answered(
    shell: Shell, shell_harness: Harness
) -> None:
    client, count = shell_harness.register_client(), limits().codes_budget
    names = [f"crm{number}" for number in range(count + 1)]
    for name in names:
        shell_harness.add_connection(name, client)
    shell_harness.services.reauthorization.begin(tuple(names))
    asked = shell.run("reauthorize", "--request", "--yes")
    links = URL.findall(asked.stdout)
    assert (asked.exit_code, len(links)) == (0, count + 1)
    assert f"After {count} links" in asked.stdout
    budget = shell_harness.services.request_log
    budget.check_consent(client)
    for link in links[:count]:
        answer = shell.simulator.controls.authorize(link, ANNA)
        shell_harness.services.authorization.complete_forwarded(answer)
    with pytest.raises(WizardError, match="codes-budget"):
        budget.check_consent(client)


def test_an_owner_who_has_authorized_nothing_yet_gets_a_message_and_their_response_connects(
    shell: Shell, shell_harness: Harness
) -> None:
    client = shell_harness.register_client()
    options = ("--preset", "crm-read-leads", "--client", client.client_id, "--tag", "prod")
    asked = shell.run("connect", "crm", *options, "--request", "--account", ANNA)
    assert asked.exit_code == 0, asked.stderr
    assert f"Sign in there as {ANNA}" in asked.stdout
    (url,) = URL.findall(asked.stdout)
    controls = shell.simulator.controls
    controls.advance(3 * 3600)

    done = shell.run(
        "connect", "crm", "--response", "--json", stdin_text=controls.authorize(url, ANNA)
    )

    assert done.exit_code == 0, done.stderr
    verified = json.loads(done.stdout)
    assert (verified["name"], verified["state"]) == ("crm", "verified")
    assert json.loads(shell.run("show", "crm", "--json").stdout)["tags"] == ["prod"]


def test_either_command_takes_any_response(shell: Shell, shell_harness: Harness) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    controls = shell.simulator.controls

    def requested(*words: str) -> str:
        (url,) = URL.findall(shell.run(*words, "--request").stdout)
        return controls.authorize(url, ANNA)

    added = requested("connect", "crm", "--add", "--preset", "books-read-invoices")
    done = shell.run("reauthorize", "--response", "--json", stdin_text=added)
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert [each["generation"] for each in report["verifications"]] == [2]
    assert report["connections"] == []
    assert "ZohoBooks.invoices.READ" in shell.run("show", "crm", "--json").stdout

    renewed = requested("reauthorize", "crm")
    done = shell.run("connect", "--response", "--json", stdin_text=renewed)
    assert json.loads(done.stdout)["generation"] == 3
    assert item_states(shell_harness) == {"crm": "reauthorized"}


def test_a_rejected_consent_has_its_exit_code_and_a_new_link_can_be_sent(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection("crm")
    asked = shell.run("connect", "crm", "--request", "--json")
    (url,) = URL.findall(json.loads(asked.stdout)["message"])
    redirect_uri, state = (
        parse_qs(urlsplit(url).query)[each][0] for each in ("redirect_uri", "state")
    )
    rejected = f"{redirect_uri}?{urlencode({'state': state, 'error': 'access_denied'})}"

    done = shell.run("connect", "crm", "--response", "--json", stdin_text=rejected)

    assert json.loads(done.stdout)["error"]["code"] == "access-denied"
    assert done.exit_code == json.loads(done.stdout)["error"]["exit_code"]
    assert shell.run("connect", "crm", "--request").exit_code == 0


@pytest.mark.slow
def test_several_new_connections_of_one_owner_are_in_one_message(
    shell: Shell, shell_harness: Harness
) -> None:
    first, second = (shell_harness.register_client(name) for name in ("First", "Second"))
    options = ("--preset", "crm-read-leads", "--account", ANNA)
    assert shell.run("connect", "a", *options, "--client", "Second", "--request").exit_code == 0
    refused = shell.run("connect", "b", "c", *options, "--client", "First")
    assert (refused.exit_code, "--request" in refused.stderr) == (2, True)
    several = shell.run("connect", "b", "c", *options, "--client", "First", "--request")
    assert "zoho-wizard connect --response" in several.stderr, "the command that asked"

    asked = shell.run("connect", "a", "b", "c", "--request", "--json")

    assert asked.exit_code == 0, asked.stderr
    (request,) = json.loads(asked.stdout)["requests"]
    assert (request["email"], request["names"]) == (ANNA, ["b", "c", "a"])
    assert f"“{first.name}” or “{second.name}”" in request["message"]
    assert "one at a time" in request["message"]
    urls = URL.findall(request["message"])
    for index, url in enumerate(urls):
        answer = shell.simulator.controls.authorize(url, ANNA)
        done = shell.run("connect", "--response", stdin_text=answer)
        assert done.exit_code == 0, done.stderr
        assert ("haven’t been answered" in done.stderr or "hasn’t" in done.stderr) == (index < 2)
    assert set(item_states(shell_harness).values()) == {"reauthorized"}


def test_a_link_leads_an_account_owner_through_the_consents(
    shell: Shell, shell_harness: Harness
) -> None:
    client = shell_harness.register_client()
    words = ("connect", "a", "b", "--preset", "crm-read-leads", "--client", client.client_id)
    running = shell.start(*words, "--request", "--link", "--json")
    browser = requests.Session()
    page = browser.get(
        running.wait_for_stderr(r"http://localhost:\d+/browser-link/\S+"), timeout=10
    )
    for _ in range(2):
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
        begun = browser.post(
            f"{page.url.partition('?')[0]}/next",
            {"csrf_token": token},
            allow_redirects=False,
            timeout=10,
        )
        page = browser.get(
            shell.simulator.controls.authorize(begun.headers["Location"], ANNA), timeout=10
        )
        assert page.url.endswith("/approvals?continue=yes")

    done = running.finish()

    assert done.exit_code == 0, done.stderr
    states = [each["state"] for each in json.loads(done.stdout)["connections"]]
    assert states == ["reauthorized", "reauthorized"]
