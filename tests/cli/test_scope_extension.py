"""``connect NAME --add`` extends an existing connection from the terminal."""

import json
import re

import pytest
import requests
from support.harness import ANNA, Harness
from support.shell import Shell

from wizard.authorization.in_place import COOKIE_NAME

BOOKS = "ZohoBooks.settings.READ"
LINK = r"http://localhost:\d+/browser-link/\S+"


def test_a_preset_is_added_with_one_consent(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    arguments = ("connect", "crm", "--add", "--scope", "ZohoBooks.settings.READ", "--no-browser")
    running = shell.start(*arguments)
    url = running.wait_for_stderr(r"http://127\S+/oauth/v2/auth\S+")
    running.send_line(shell_harness.controls.authorize(url, "anna@zylker.example", ""))
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert "ZohoBooks.settings.READ" in shell_harness.services.store.connections.get("crm").scope
    (only,) = shell_harness.services.store.connections.all()
    assert only.generation == 2


def test_the_scopes_to_add_are_required(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    said = shell.run("connect", "crm", "--add", "--no-browser")
    assert "no-preset" in said.stderr


@pytest.mark.slow
def test_scopes_are_added_in_place_on_the_page(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    running = shell.start("connect", "crm", "--add", "--scope", BOOKS, "--in-place")
    browser = requests.Session()
    page = browser.get(running.wait_for_stderr(LINK), timeout=10)
    assert re.search(r'name="in_place" value="yes" checked', page.text)
    assert BOOKS in page.text
    (csrf_token, *_) = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)
    form = {"csrf_token": csrf_token, "name": "crm", "scope": BOOKS, "in_place": "yes"}
    address = f"http://localhost:{shell.port}"
    begun = browser.post(
        f"{address}/extend-scope",
        data=form,
        headers={"Origin": address},
        allow_redirects=False,
        timeout=10,
    )
    url = begun.headers["Location"]
    browser.get(shell_harness.controls.accept_extra_scopes(url, ANNA), timeout=10)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert url.partition("enhance_token=")[2] not in done.stderr
    (only,) = shell_harness.services.store.connections.all()
    assert (only.generation, BOOKS in only.scope) == (1, True)


def test_adding_in_place_needs_the_page_and_a_verified_connection(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection()
    arguments = ("connect", "crm", "--scope", BOOKS, "--in-place")
    assert shell.run(*arguments).exit_code == 2
    assert shell.run(*arguments, "--add", "--no-browser").exit_code == 2
    running = shell.start(*arguments, "--add")
    assert "in-place-unavailable" in running.finish().stderr


def test_scopes_that_zoho_may_have_added_are_shown_as_unknown(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    addition = shell_harness.services.scope_addition
    started = addition.begin("crm", (BOOKS,))
    shell_harness.controls.accept_extra_scopes(started.url, ANNA)
    addition.complete([("status", "maybe")], {COOKIE_NAME: started.cookie_value})
    shown = json.loads(shell.run("show", "crm", "--json").stdout)
    assert (BOOKS in shown["scope"], shown["unknown_scope"]) == (False, [BOOKS])
    assert f"{BOOKS}:" in shell.run("show", "crm").stdout

    assert shell.run("token", "crm", "--force-refresh").exit_code in (0, 4)
    shell.simulator.controls.advance(120)
    assert shell.run("token", "crm", "--force-refresh").exit_code == 0
    shown = json.loads(shell.run("show", "crm", "--json").stdout)
    assert (BOOKS in shown["scope"], shown["unknown_scope"]) == (True, [])
