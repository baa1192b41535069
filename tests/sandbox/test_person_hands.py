"""The simulated person counts what it does, and does it on this machine only."""

import pytest
from playwright.sync_api import Page

from wizard.sandbox.person import Console, Counter, NotLoopback, Person, SignIn
from wizard.sandbox.server import Sandbox

ANNA = "anna@zylker.example"


def register(person: Person, sandbox: Sandbox) -> int:
    """Register a client as Anna; return how many actions that took."""
    before = person.actions
    person.go(f"{sandbox.url}/eu/api-console/add/server-based")
    if "/signin" in person.page.url:
        SignIn(person).sign_in(ANNA, sandbox.world.people.named(ANNA).password)
    console = Console(person)
    person.fill(console.client_name, "Lead reader")
    person.fill(console.homepage_url, "http://localhost:8723")
    person.fill(console.redirect_uris, "http://localhost:8723/callback")
    console.create()
    console.copy_id_and_secret()
    return person.actions - before


def test_every_click_field_and_copy_is_one_action(person: Person, zoho_sandbox: Sandbox) -> None:
    assert register(person, zoho_sandbox) == 5
    assert [entry.split()[0] for entry in person.counter.log] == [
        "fill",
        "fill",
        "fill",
        "click",
        "copy",
    ]


def test_the_counter_rises_when_a_step_is_added(person: Person, zoho_sandbox: Sandbox) -> None:
    without = register(person, zoho_sandbox)
    console = Console(person)
    console.open_tab("Settings")
    console.switch_data_centre("in")
    assert person.actions == without + 2


def test_two_tabs_of_one_person_share_a_counter(page: Page, zoho_sandbox: Sandbox) -> None:
    counter = Counter()
    for tab in (page, page.context.new_page()):
        person = Person(tab, counter)
        person.go(zoho_sandbox.url)
        person.click(tab.get_by_role("button", name="1 hour on"))
    assert counter.actions == 2


def test_what_was_copied_can_be_pasted(person: Person, zoho_sandbox: Sandbox) -> None:
    register(person, zoho_sandbox)
    text = Console(person).copy_id_and_secret()
    person.go(f"{zoho_sandbox.url}/_sandbox/")
    field = person.page.get_by_label("Path contains")
    person.paste(field, text)
    assert field.input_value() == text.replace("\n", " ")


@pytest.mark.parametrize(
    "url", ["https://accounts.zoho.com/signin", "http://127.0.0.1.evil.example/", "file:///etc"]
)
def test_the_person_goes_nowhere_but_this_machine(person: Person, url: str) -> None:
    with pytest.raises(NotLoopback, match="not on this machine"):
        person.go(url)
    assert person.page.url == "about:blank"


def test_the_person_types_nothing_where_somebody_else_led_the_page(person: Person) -> None:
    person.page.set_content('<label>Enter password<input id="password" type="password"></label>')
    with pytest.raises(NotLoopback):
        SignIn(person).enter_password("made-up")
    assert person.page.locator("#password").input_value() == ""
    assert person.counter.sign_in_actions == 0
