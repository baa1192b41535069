"""What is done on which page: judged without a browser, one claim a kind of page."""

from dataclasses import replace

import pytest

from wizard import zoho
from wizard.browser.consent import Wanted
from wizard.browser.judge import (
    Choose,
    HandOver,
    Move,
    Press,
    Refused,
    Reopen,
    Wait,
    judge,
)
from wizard.browser.sight import Button, Choice, Field, Line, Sight
from wizard.model import Organization

EU = "https://accounts.zoho.eu"
QUERY = (
    "?response_type=code&client_id=1000.ABC&redirect_uri=http%3A%2F%2Flocalhost%3A8723%2Fcallback"
    "&scope=AaaServer.profile.READ%2CZohoCRM.modules.leads.READ&state=s1&prompt=consent"
)
ANNA = "anna@zylker.example"
LEADS = Line("CRM", "View leads (modules)")
WANTED = Wanted(
    url=f"{EU}/oauth/v2/auth{QUERY}",
    zoho=zoho.load(),
    email=ANNA,
    clients=frozenset({"Zylker"}),
    scope=("AaaServer.profile.READ", "ZohoCRM.modules.leads.READ"),
    organizations=(Organization("crm", "1", "Zylker GmbH", "Production"),),
)
CONSENT = Sight(
    url=WANTED.url,
    headings=("Zylker", "Your Zoho account", "CRM"),
    buttons=(Button("Accept", True), Button("Reject", True)),
    lines=(Line("Your Zoho account", "View profile"), LEADS),
    text=f"Anna Berg\n{ANNA}\nZylker\nwould like to do the following with your account.",
)
ORGANIZATIONS = replace(
    CONSENT,
    buttons=(Button("Submit", True),),
    choices=(
        Choice("CRM organization", "Zylker GmbH Production"),
        Choice("CRM organization", "Zylker GmbH Sandbox"),
    ),
)
SIGN_IN = Sight(
    url=f"{EU}/signin?servicename=AaaServer",
    headings=("Sign in",),
    buttons=(Button("Next", False),),
    fields=(Field("text", "login_id LOGIN_ID username", "Email address or mobile number"),),
)


def at(location: str) -> str:
    return WANTED.zoho.data_centre(location).authorization_endpoint


def handed(move: Move) -> str:
    assert isinstance(move, HandOver), move
    return move.why


def test_the_consent_that_is_wanted_is_accepted() -> None:
    assert judge(CONSENT, WANTED) == Press("Accept")


def test_it_is_accepted_at_whichever_data_centre_zoho_has_moved_to() -> None:
    assert judge(replace(CONSENT, url=at("in") + QUERY), WANTED) == Press("Accept")


def test_it_waits_for_a_button_that_is_not_ready() -> None:
    busy = replace(CONSENT, buttons=(Button("Accept", False), Button("Reject", False)))
    assert judge(busy, WANTED) == Wait()


def test_older_pages_say_deny() -> None:
    older = replace(CONSENT, buttons=(Button("Accept", True), Button("Deny", True)))
    assert judge(older, WANTED) == Press("Accept")


@pytest.mark.parametrize(
    "buttons",
    [
        (Button("Accept", True),),
        (Button("Accept", True), Button("Accept", True), Button("Reject", True)),
        (Button("Accept all cookies", True), Button("Reject", True)),
        (Button("Akzeptieren", True), Button("Ablehnen", True)),
    ],
)
def test_what_is_not_surely_a_consent_is_the_persons(buttons: tuple[Button, ...]) -> None:
    assert handed(judge(replace(CONSENT, buttons=buttons), WANTED)) == "unknown"


@pytest.mark.parametrize(
    "address",
    [
        "http://accounts.zoho.eu/oauth/v2/auth",
        "https://accounts.zoho.eu.example/oauth/v2/auth",
        "https://accounts.zoho.eu@evil.example/oauth/v2/auth",
        "https://accounts-zoho.eu/oauth/v2/auth",
        "https://accounts.zoho.eu:8443/oauth/v2/auth",
        "https://evil.example/https://accounts.zoho.eu/oauth/v2/auth",
        "https://accounts.zoho.example/oauth/v2/auth",
        "data:text/html,accounts.zoho.eu/oauth/v2/auth",
    ],
)
def test_no_other_host_is_ever_accepted_at(address: str) -> None:
    assert handed(judge(replace(CONSENT, url=address + QUERY), WANTED)) == "elsewhere"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("client_id=1000.ABC", "client_id=1000.EVIL"),
        ("modules.leads.READ", "modules.ALL"),
        ("modules.leads.READ", "modules.leads.READ%2CZohoCRM.modules.ALL"),
        ("state=s1", "state=s2"),
        ("state=s1&", ""),
        ("localhost%3A8723%2Fcallback", "evil.example%2Fcallback"),
        ("client_id=1000.ABC", "client_id=1000.ABC&client_id=1000.EVIL"),
        ("&state=s1", "&state=s1&scope=ZohoCRM.modules.ALL"),
    ],
)
def test_another_request_than_the_houses_is_never_accepted(old: str, new: str) -> None:
    other = WANTED.url.replace(old, new)
    assert other != WANTED.url
    assert handed(judge(replace(CONSENT, url=other), WANTED)) == "other-consent"


def test_what_zoho_adds_to_the_address_does_no_harm() -> None:
    assert judge(replace(CONSENT, url=f"{WANTED.url}&hl=en"), WANTED) == Press("Accept")


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (f"{ANNA.upper()}\nZylker", ""),
        ("bob@zylker.example\nZylker", "other-person"),
        (f"{ANNA}\nbob@zylker.example\nZylker", "other-person"),
        ("Anna Berg\nZylker", "account-unseen"),
        (f"{ANNA}.evil.example\nZylker", "other-person"),
        (f"x'{ANNA}\nZylker", "other-person"),
        (f"x!{ANNA}\nZylker", "other-person"),
    ],
)
def test_the_person_who_is_signed_in_must_be_the_expected_one(shown: str, why: str) -> None:
    move = judge(replace(CONSENT, text=shown), WANTED)
    assert (handed(move) if why else move) == (why or Press("Accept"))


def test_where_nobody_is_expected_the_person_says_who() -> None:
    assert judge(CONSENT, replace(WANTED, email="")) == HandOver("account-new", ANNA)


@pytest.mark.parametrize(
    ("named", "right"),
    [
        ("Zylker", True),
        ("Zylker would like to access the following", True),
        ("Zylker Evil", False),
        ("Zylker Evil would like to access the following", False),
        ("zylker", False),
        ("", False),
    ],
)
def test_the_client_must_be_named_as_it_is_known(named: str, right: bool) -> None:
    move = judge(replace(CONSENT, headings=(named,), text=f"{ANNA}\n{named}"), WANTED)
    assert move == (Press("Accept") if right else HandOver("other-client", named))


@pytest.mark.parametrize(
    "more",
    [
        Line("CRM", "View, create, change and delete leads (modules)"),
        Line("CRM", "Delete leads"),
        Line("Zoho CRM", "Manage your leads"),
        Line("Zoho Books", "View invoices"),
        Line("Mail", "Read your mail"),
        Line("Anything", "Modify everything"),
    ],
)
def test_words_that_say_more_than_was_asked_for_are_the_persons(more: Line) -> None:
    sight = replace(CONSENT, lines=(CONSENT.lines[0], more))
    assert handed(judge(sight, WANTED)) == "wider"


def test_more_lines_than_scopes_are_the_persons() -> None:
    sight = replace(CONSENT, lines=(*CONSENT.lines, LEADS))
    assert handed(judge(sight, WANTED)) == "wider"


@pytest.mark.parametrize(
    ("scope", "line"),
    [
        ("ZohoCRM.modules.ALL", Line("CRM", "View, create, change and delete modules")),
        ("ZohoCRM.modules.WRITE", Line("CRM", "Create and change modules")),
        ("ZohoCRM.modules.DELETE", Line("CRM", "Delete modules")),
        ("ZohoCRM.modules.READ", Line("Nobody knows what", "See records")),
        ("ZohoAnalytics.fullaccess.all", Line("Analytics", "Full access to your data")),
    ],
)
def test_words_that_fit_what_was_asked_for_are_accepted(scope: str, line: Line) -> None:
    wanted = replace(WANTED, scope=(scope,))
    assert judge(replace(CONSENT, lines=(line,)), wanted) == Press("Accept")


def test_the_organization_is_the_one_from_before() -> None:
    assert judge(ORGANIZATIONS, WANTED) == Choose((ORGANIZATIONS.choices[0],))


@pytest.mark.parametrize(
    "remembered",
    [
        (),
        (Organization("crm", "1", "Zylker GmbH", "Developer"),),
        (Organization("books", "1", "Zylker GmbH", "Production"),),
        (
            Organization("crm", "1", "Zylker GmbH", "Production"),
            Organization("crm", "2", "Zylker GmbH", "Sandbox"),
        ),
    ],
)
def test_an_organization_that_is_not_sure_is_the_persons(
    remembered: tuple[Organization, ...],
) -> None:
    move = judge(ORGANIZATIONS, replace(WANTED, organizations=remembered))
    assert handed(move) == "organization"


def test_no_organization_is_chosen_for_another_person() -> None:
    sight = replace(ORGANIZATIONS, text="bob@zylker.example")
    assert handed(judge(sight, WANTED)) == "other-person"


def test_signing_in_is_the_persons() -> None:
    password = Field("password", "password PASSWORD current-password", "Enter password")
    unlabelled = Field("password", "", "")
    for fields in (SIGN_IN.fields, (password,), (unlabelled,)):
        assert handed(judge(replace(SIGN_IN, fields=fields), WANTED)) == "sign-in"


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (Field("text", "one-time-code", ""), "one-time-code"),
        (Field("text", "", "Digit 1"), "one-time-code"),
        (Field("tel", "mfa_otp", ""), "one-time-code"),
        (Field("text", "captcha", "Characters in the picture"), "captcha"),
        (Field("text", "x", "Your mother's name"), "unknown"),
    ],
)
def test_every_other_step_of_signing_in_is_the_persons(field: Field, why: str) -> None:
    assert handed(judge(replace(SIGN_IN, fields=(field,)), WANTED)) == why


def test_a_captcha_in_a_frame_is_seen() -> None:
    sight = replace(SIGN_IN, frames=("reCAPTCHA https://www.recaptcha.net/x",))
    assert handed(judge(sight, WANTED)) == "captcha"


def test_signing_in_without_a_field_waits_for_another_device() -> None:
    sight = replace(SIGN_IN, fields=(), headings=("Verify on your device",))
    assert handed(judge(sight, WANTED)) == "push"


def test_announcements_are_put_off_or_left_behind() -> None:
    sight = Sight(url=f"{EU}/announcement/x", headings=("New",))
    assert judge(sight, WANTED) == Reopen()
    for name in ("Skip for now", "Remind me later"):
        assert judge(replace(sight, buttons=(Button(name, True),)), WANTED) == Press(name)
        assert judge(replace(sight, links=(name,)), WANTED) == Press(name)
    assert judge(replace(sight, url=f"{EU}/home"), WANTED) == Reopen()


def test_a_page_of_zohos_own_ends_the_consent() -> None:
    sight = Sight(url=WANTED.url, headings=("Invalid Client",), text="Invalid Client\nNo such id.")
    assert judge(sight, WANTED) == Refused("Invalid Client\nNo such id.")


def test_a_blank_page_is_waited_for_and_one_that_cannot_be_reached_is_said() -> None:
    assert judge(Sight(), WANTED) == Wait()
    assert handed(judge(Sight(url="chrome-error://chromewebdata/"), WANTED)) == "unreachable"
