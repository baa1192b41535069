"""The driver on real pages: it accepts what is surely wanted, and leaves the rest to the person."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from attending import Attendant, Window, window
from browsing import Callback
from core import ANNA, CARLA, OUTLET, PRODUCTION, Core
from playwright.sync_api import Error, Page
from zoho_driver import captcha_letters

from wizard.browser import Driver, Ended
from wizard.browser.judge import Wait, judge
from wizard.browser.sight import look
from wizard.errors import WizardError
from wizard.model import Mode
from wizard.sandbox.person import Consent, SignIn
from wizard.sandbox.server import Sandbox

DORA, ERIC, NILS = "dora@zylker.example", "eric@zylker.example", "nils@zylker.example"


@pytest.fixture
def other_zoho() -> Iterator[Sandbox]:
    """Another Zoho, at an address that is not in the house's table."""
    with Sandbox() as sandbox:
        yield sandbox


def of(core: Core, page: Page, email: str, organization: str = "") -> Window:
    """A window for the next consent of a connection of somebody's."""
    core.proved("crm", email, organization)
    core.admin.clear_journal()
    seen = window(core, page)
    seen.attendant.email = email
    return seen


def add_eric(core: Core) -> None:
    """Somebody of anna's data centre with one organization."""
    facts = {"product": "crm", "organization_id": "77001", "name": "Eric & Co"}
    core.admin.add_person(
        ERIC,
        password="made-up-password-of-eric",
        first_name="Eric",
        last_name="Lang",
        location="eu",
        organizations=[facts],
    )


def signed_in(seen: Window, email: str) -> None:
    """Somebody has signed in in this window before."""
    someone = replace(seen.attendant, email=email, turns=[], words=[])
    seen.page.goto(f"{seen.core.sandbox.url}/eu/accounts/home")
    someone.sign_in()
    seen.page.wait_for_url("**/accounts/home")


def sign_out_and_in(seen: Window) -> None:
    """Follow the page's own way out; the person who is needed signs in when asked."""
    Consent(seen.attendant.person).sign_out()
    SignIn(seen.attendant.person).login_id.wait_for()


def leads_to_a_grant(seen: Window) -> bool:
    wanted, begun = seen.wanted(email=seen.attendant.email)
    ended = seen.consent(wanted, begun)
    done = seen.core.house.authorization.complete_pasted(
        begun.attempt.id, begun.cookie_value, ended.address
    )
    return done.generation == 2


def test_the_person_signs_in_and_the_driver_accepts(assisted: Window) -> None:
    assert leads_to_a_grant(assisted)
    assert assisted.attendant.turns == ["sign-in"]
    assert ANNA in assisted.attendant.words[0]


def test_who_is_signed_in_already_is_asked_for_nothing_and_nothing_is_typed(
    assisted: Window,
) -> None:
    signed_in(assisted, ANNA)
    assert leads_to_a_grant(assisted)
    assert assisted.attendant.turns == []
    assert assisted.page.evaluate("typed") == 0


def test_where_the_consent_ends_never_leaves_the_browser(
    core: Core, page: Page, callback: Callback
) -> None:
    """Whoever listens there hears nothing, and the browser's history does not have the code."""
    uri = callback.redirect_uri
    made = core.admin.register_client(ANNA, [uri], name="Zylker")
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    client = core.house.clients.register(text, name="Zylker", redirect_uri=uri, location="eu")
    core.connection("crm", client)
    ended = window(core, page).consent()
    assert ended.address.startswith(f"{uri}?code=")
    assert callback.queries == []
    assert "code=" not in page.url


def test_a_one_time_code_is_the_persons_and_the_browser_is_not_trusted(
    core: Core, page: Page
) -> None:
    seen = of(core, page, DORA)
    assert leads_to_a_grant(seen)
    assert seen.attendant.turns == ["sign-in", "one-time-code"]
    assert core.sandbox.world.people.named(DORA).trusted_browsers == []


@pytest.mark.slow
def test_whether_a_kept_browser_is_trusted_is_the_persons_to_say(core: Core, page: Page) -> None:
    seen = of(core, page, DORA)
    seen.attendant.answers["trust"] = lambda: SignIn(seen.attendant.person).trust(True)
    wanted, begun = seen.wanted(email=DORA, trusts=True)
    assert seen.consent(wanted, begun).address
    assert seen.attendant.turns == ["sign-in", "one-time-code", "trust"]


def test_a_captcha_is_the_persons(assisted: Window) -> None:
    assisted.core.admin.demand_captcha(ANNA)

    def type_it_off() -> None:
        page = SignIn(assisted.attendant.person)
        page.enter_captcha(captcha_letters(assisted.page, assisted.core.sandbox))
        page.password.wait_for()

    assisted.attendant.answers["captcha"] = type_it_off
    assert leads_to_a_grant(assisted)
    assert assisted.attendant.turns == ["sign-in", "captcha", "sign-in"]


@pytest.mark.slow
def test_a_push_is_the_persons(core: Core, page: Page) -> None:
    seen = of(core, page, DORA)
    core.sandbox.world.people.named(DORA).approves_by_push = True
    assert leads_to_a_grant(seen)
    assert seen.attendant.turns == ["sign-in", "push"]


@pytest.mark.parametrize(
    "kind", ["announcement", pytest.param("preannouncement", marks=pytest.mark.slow)]
)
def test_announcements_are_put_off(assisted: Window, kind: str) -> None:
    assisted.core.admin.announce(ANNA, kind)
    assert leads_to_a_grant(assisted)
    assert assisted.attendant.turns == ["sign-in"]


def test_the_organization_is_the_one_from_before(core: Core, page: Page) -> None:
    seen = of(core, page, CARLA, OUTLET)
    wanted, begun = seen.wanted(email=CARLA)
    ended = seen.consent(wanted, begun)
    assert seen.attendant.turns == ["sign-in"]
    authorization = core.house.authorization
    done = authorization.complete_pasted(begun.attempt.id, begun.cookie_value, ended.address)
    core.climb("crm", done.generation or 0)
    grant = core.house.store.grant("crm")
    assert grant is not None
    assert [each.id for each in grant.organizations] == [OUTLET]


@pytest.mark.slow
def test_an_organization_that_is_not_remembered_is_the_persons_to_choose(
    core: Core, page: Page
) -> None:
    seen = of(core, page, CARLA, PRODUCTION)
    consent = Consent(seen.attendant.person)
    seen.attendant.answers["organization"] = lambda: consent.choose_organization("Zylker Outlet")
    wanted, begun = seen.wanted(email=CARLA, organizations=())
    assert seen.consent(wanted, begun).address
    assert seen.attendant.turns == ["sign-in", "organization"]


@pytest.mark.parametrize(
    "somebody", [ERIC, *(pytest.param(each, marks=pytest.mark.slow) for each in (CARLA, NILS))]
)
def test_for_another_person_nothing_is_pressed(assisted: Window, somebody: str) -> None:
    """At a consent, at a choice of organizations, and where there is no account."""
    add_eric(assisted.core)
    signed_in(assisted, somebody)

    def leave() -> None:
        assert assisted.decisions == 0
        sign_out_and_in(assisted)

    assisted.attendant.answers["other-person"] = leave
    assert leads_to_a_grant(assisted)
    assert assisted.attendant.turns == ["other-person", "sign-in"]
    assert somebody in assisted.attendant.words[0]
    assert ANNA in assisted.attendant.words[0]


@pytest.mark.slow
def test_nobody_knows_yet_whose_account_it_is(core: Core, page: Page) -> None:
    core.connection()
    seen = window(core, page)
    seen.attendant.answers["sign-in-new"] = seen.attendant.sign_in
    seen.attendant.answers["account-new"] = Consent(seen.attendant.person).accept_button.click
    wanted, begun = seen.wanted(email="")
    assert seen.consent(wanted, begun).address
    assert seen.attendant.turns == ["sign-in-new", "account-new"]


@pytest.mark.slow
def test_a_client_by_another_name_is_accepted_by_the_person_only(assisted: Window) -> None:
    _, begun = assisted.wanted()
    assisted.core.sandbox.world.clients.named(begun.attempt.client_id).name = "Renamed there"
    consent = Consent(assisted.attendant.person)
    assisted.attendant.answers["other-client"] = consent.accept_button.click
    ended = assisted.consent()
    assert assisted.attendant.turns == ["sign-in", "other-client"]
    assert "Renamed there" in assisted.attendant.words[1]
    assert ended.client == "Renamed there"


def test_the_name_of_a_client_that_the_person_rejected_is_not_learned(assisted: Window) -> None:
    _, begun = assisted.wanted()
    assisted.core.sandbox.world.clients.named(begun.attempt.client_id).name = "Renamed there"
    consent = Consent(assisted.attendant.person)
    assisted.attendant.answers["other-client"] = consent.reject_button.click
    ended = assisted.consent()
    assert "error=access_denied" in ended.address
    assert ended.client == ""


def strays(seen: Window, address: str, back: str) -> None:
    """The person follows a link that somebody sent them, and later comes back."""

    def follow() -> None:
        seen.attendant.sign_in()
        seen.page.goto(address)

    def come_back() -> None:
        assert seen.page.url == address
        assert seen.decisions == 0
        seen.page.goto(back)

    seen.attendant.answers.update({"sign-in": follow, "other-consent": come_back})


def test_another_clients_consent_in_the_window_is_never_accepted(assisted: Window) -> None:
    assisted.core.connection("other")
    other = assisted.core.house.authorization.begin("other", Mode.PASTE).url
    wanted, begun = assisted.wanted()
    strays(assisted, other, wanted.url)
    assert assisted.consent(wanted, begun).address
    assert assisted.attendant.turns == ["sign-in", "other-consent"]


@pytest.mark.slow
def test_a_consent_to_more_in_the_window_is_never_accepted(assisted: Window) -> None:
    wanted, begun = assisted.wanted()
    wider = wanted.url.replace("ZohoCRM.org.READ", "ZohoCRM.modules.ALL")
    assert wider != wanted.url
    strays(assisted, wider, wanted.url)
    assert assisted.consent(wanted, begun).address
    assert assisted.attendant.turns == ["sign-in", "other-consent"]


@pytest.mark.slow
def test_a_consent_that_says_more_than_was_asked_for_is_the_persons(assisted: Window) -> None:
    """The address is right, and the page's words speak of more: the second witness disagrees."""
    wanted, begun = assisted.wanted()
    fewer = ("AaaServer.profile.READ", "ZohoBooks.settings.READ", "ZohoDesk.basic.READ")
    consent = Consent(assisted.attendant.person)

    def refuse() -> None:
        assert assisted.decisions == 0
        consent.reject_button.click()

    assisted.attendant.answers["wider"] = refuse
    ended = assisted.consent(replace(wanted, scope=fewer), begun)
    assert "error=access_denied" in ended.address
    assert "View leads" in assisted.attendant.words[-1]


def test_at_a_foreign_host_nothing_is_pressed(assisted: Window, other_zoho: Sandbox) -> None:
    """It looks as Zoho does, and the person may even be signed in there."""
    wanted, begun = assisted.wanted()
    own, foreign = assisted.core.sandbox.url, other_zoho.url
    made = other_zoho.admin.register_client(
        ANNA, [begun.attempt.redirect_uri], name=next(iter(wanted.clients))
    )
    copy = wanted.url.replace(own, foreign).replace(begun.attempt.client_id, made["client_id"])

    def stray() -> None:
        assisted.page.goto(copy)
        assisted.attendant.sign_in()
        Consent(assisted.attendant.person).accept_button.wait_for()

    def come_back() -> None:
        Consent(assisted.attendant.person).accept_button.wait_for()
        assisted.page.goto(wanted.url)

    turns = iter([stray, assisted.attendant.sign_in])
    assisted.attendant.answers["sign-in"] = lambda: next(turns)()
    assisted.attendant.answers["elsewhere"] = come_back
    assert assisted.consent(wanted, begun).address
    assert assisted.attendant.turns == ["sign-in", "elsewhere", "sign-in"]
    asked = [entry["path"] for entry in other_zoho.admin.journal()]
    assert not [path for path in asked if path.endswith("/decision")]


LIAR = """
<button>Accept</button> <button>Reject</button>
<script>
  const evaluate = window.eval;
  window.eval = (text) => {
    const made = evaluate(text);
    return (...given) => ({ ...made(...given), url: ADDRESS, text: TEXT });
  };
</script>
"""


def test_a_page_that_lies_about_its_address_is_not_believed(
    assisted: Window, other_zoho: Sandbox
) -> None:
    """At a foreign host the page's own scripts answer in the place of what looks at it."""
    wanted, _ = assisted.wanted()
    said = "\n".join([ANNA, *wanted.clients])
    lie = LIAR.replace("ADDRESS", json.dumps(wanted.url)).replace("TEXT", json.dumps(said))
    address = f"{other_zoho.url}/consent"
    assisted.page.route(address, lambda route: route.fulfill(body=lie, content_type="text/html"))
    assisted.page.goto(address)
    assert judge(look(assisted.page), wanted) == Wait()


def test_a_picture_or_a_frame_at_the_redirect_uri_ends_nothing_and_is_not_fetched(
    assisted: Window, other_zoho: Sandbox
) -> None:
    wanted, begun = assisted.wanted()
    uri = f"{begun.attempt.redirect_uri}?error=access_denied&state={begun.attempt.oauth_state}"
    address = f"{other_zoho.url}/pictures"
    body = f'<img src="{uri}"><iframe src="{uri}"></iframe>'
    assisted.page.route(address, lambda route: route.fulfill(body=body, content_type="text/html"))
    refused: list[str] = []
    assisted.page.on("requestfailed", lambda request: refused.append(request.url))

    def wander() -> None:
        assisted.page.goto(address)
        assisted.page.goto(wanted.url)
        assisted.attendant.sign_in()

    assisted.attendant.answers["sign-in"] = wander
    ended = assisted.consent(wanted, begun)
    assert refused.count(uri) >= 2
    assert "code=" in ended.address


def test_an_unknown_page_is_the_persons_and_then_it_goes_on(assisted: Window) -> None:
    wanted, begun = assisted.wanted()
    connected_apps = f"{assisted.core.sandbox.url}/eu/accounts/home/connected-apps"

    def wander() -> None:
        assisted.attendant.sign_in()
        assisted.page.goto(connected_apps)

    assisted.attendant.answers["sign-in"] = wander
    assisted.attendant.answers["unknown"] = lambda: assisted.page.go_back()
    assert assisted.consent(wanted, begun).address
    assert assisted.attendant.turns == ["sign-in", "unknown"]


def test_a_page_of_zohos_own_ends_the_consent_with_its_words(assisted: Window) -> None:
    wanted, begun = assisted.wanted()
    assisted.core.admin.delete_client(begun.attempt.client_id)
    ended = assisted.consent(wanted, begun)
    assert ended == Ended(said=ended.said)
    assert "Invalid Client" in ended.said


@pytest.mark.slow
def test_without_an_account_in_the_product_the_page_is_led_back(core: Core, page: Page) -> None:
    core.connection()
    seen = window(core, page)
    seen.attendant.email = NILS
    wanted, begun = seen.wanted(email=NILS)
    assert "error=no_org" in seen.consent(wanted, begun).address


@pytest.mark.slow
def test_the_person_may_reject(assisted: Window) -> None:
    """Their hand is as good as the driver's: what they press is what counts."""
    wanted, begun = assisted.wanted()
    consent = Consent(assisted.attendant.person)
    assisted.attendant.answers["other-client"] = consent.reject_button.click
    ended = assisted.consent(replace(wanted, clients=frozenset({"Another"})), begun)
    assert "error=access_denied" in ended.address


def test_a_window_that_is_closed_ends_it(assisted: Window) -> None:
    assisted.attendant.answers["sign-in"] = assisted.page.close
    with pytest.raises(WizardError, match="window-closed"):
        assisted.consent()


@pytest.mark.slow
def test_a_page_that_crashes_ends_it(assisted: Window) -> None:
    def crash() -> None:
        with suppress(Error):  # nobody is left to answer
            assisted.page.goto("chrome://crash")

    assisted.attendant.answers["sign-in"] = crash
    with pytest.raises(WizardError, match="window-closed"):
        assisted.consent()


@pytest.mark.slow
def test_whoever_asks_for_its_end_gets_it(core: Core, page: Page) -> None:
    core.proved()
    seen = Window(core, page, Attendant(core, page), Driver(page, print, lambda: True))
    with pytest.raises(WizardError, match="window-closed"):
        seen.consent()


def test_what_the_person_is_to_do_stands_in_the_window(assisted: Window) -> None:
    """Apart from the page, which cannot read it; and it goes when it has been done."""
    notice = assisted.page.locator("#zoho-wizard-notice")

    def look() -> None:
        assert notice.is_visible()
        assert "neither typed nor read" not in assisted.page.locator("body").inner_text()
        assisted.attendant.sign_in()

    assisted.attendant.answers["sign-in"] = look
    assert assisted.consent().address
    assert notice.count() == 0
    assisted.driver.say("crm is being proved.")
    assert notice.get_attribute("data-words") == "crm is being proved."
