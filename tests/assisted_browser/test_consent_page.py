"""The action for each kind of page, decided without a browser."""

from dataclasses import replace

from support.claims import over_rows

from wizard import zoho
from wizard.assisted_browser.consent_page import (
    Button,
    Choice,
    Choose,
    ConsentAction,
    ErrorPage,
    ExpectedConsent,
    Field,
    ListItem,
    PageSnapshot,
    Press,
    PromptUser,
    Reopen,
    Wait,
    next_consent_action,
)
from wizard.model import Identifier, Organization

EU = "https://accounts.zoho.eu"
QUERY = (
    "?response_type=code&client_id=1000.ABC&redirect_uri=http%3A%2F%2Flocalhost%3A8723%2Fcallback"
    "&scope=AaaServer.profile.READ%2CZohoCRM.modules.leads.READ&state=s1&prompt=consent"
)
ANNA = "anna@zylker.example"
LEADS = ListItem("CRM", "View leads (modules)")
EXPECTED = ExpectedConsent(
    url=f"{EU}/oauth/v2/auth{QUERY}",
    zoho=zoho.load(),
    email=ANNA,
    client_names=frozenset({"Zylker"}),
    scope=("AaaServer.profile.READ", "ZohoCRM.modules.leads.READ"),
    organizations=(Organization("crm", Identifier("1"), "Zylker GmbH", "Production"),),
)
CONSENT = PageSnapshot(
    url=EXPECTED.url,
    headings=("Zylker", "Your Zoho account", "CRM"),
    buttons=(Button("Accept", True), Button("Reject", True)),
    list_items=(ListItem("Your Zoho account", "View profile"), LEADS),
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
SIGN_IN = PageSnapshot(
    url=f"{EU}/signin?servicename=AaaServer",
    headings=("Sign in",),
    buttons=(Button("Next", False),),
    fields=(Field("text", "login_id LOGIN_ID username", "Email address or mobile number"),),
)


def authorization_endpoint(location: str) -> str:
    return EXPECTED.zoho.data_center(location).authorization_endpoint


def prompt_reason(action: ConsentAction) -> str:
    assert isinstance(action, PromptUser), action
    return action.reason


def test_the_expected_consent_is_accepted() -> None:
    assert next_consent_action(CONSENT, EXPECTED) == Press("Accept")


def test_consent_is_accepted_at_the_data_center_zoho_redirected_to() -> None:
    assert next_consent_action(
        replace(CONSENT, url=authorization_endpoint("in") + QUERY), EXPECTED
    ) == Press("Accept")


def test_a_disabled_button_is_waited_for() -> None:
    busy = replace(CONSENT, buttons=(Button("Accept", False), Button("Reject", False)))
    assert next_consent_action(busy, EXPECTED) == Wait()


def test_older_pages_label_the_reject_button_deny() -> None:
    older = replace(CONSENT, buttons=(Button("Accept", True), Button("Deny", True)))
    assert next_consent_action(older, EXPECTED) == Press("Accept")


@over_rows(
    "buttons",
    [
        (Button("Accept", True),),
        (Button("Accept", True), Button("Accept", True), Button("Reject", True)),
        (Button("Accept all cookies", True), Button("Reject", True)),
        (Button("Akzeptieren", True), Button("Ablehnen", True)),
    ],
)
def test_an_unrecognized_consent_is_left_to_the_user(buttons: tuple[Button, ...]) -> None:
    assert (
        prompt_reason(next_consent_action(replace(CONSENT, buttons=buttons), EXPECTED)) == "unknown"
    )


@over_rows(
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
def test_consent_is_accepted_only_on_zoho_hosts(address: str) -> None:
    assert (
        prompt_reason(next_consent_action(replace(CONSENT, url=address + QUERY), EXPECTED))
        == "elsewhere"
    )


@over_rows(
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
def test_a_consent_for_a_different_request_is_never_accepted(old: str, new: str) -> None:
    other = EXPECTED.url.replace(old, new)
    assert other != EXPECTED.url
    assert (
        prompt_reason(next_consent_action(replace(CONSENT, url=other), EXPECTED)) == "other-consent"
    )


def test_parameters_that_zoho_adds_to_the_url_are_ignored() -> None:
    assert next_consent_action(replace(CONSENT, url=f"{EXPECTED.url}&hl=en"), EXPECTED) == Press(
        "Accept"
    )


@over_rows(
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
def test_the_signed_in_user_must_be_the_expected_one(shown: str, why: str) -> None:
    move = next_consent_action(replace(CONSENT, text=shown), EXPECTED)
    assert (prompt_reason(move) if why else move) == (why or Press("Accept"))


def test_without_an_expected_user_the_user_confirms_the_account() -> None:
    assert next_consent_action(CONSENT, replace(EXPECTED, email="")) == PromptUser(
        "account-new", ANNA
    )


@over_rows(
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
def test_the_page_must_show_the_stored_client_name(named: str, right: bool) -> None:
    move = next_consent_action(
        replace(CONSENT, headings=(named,), text=f"{ANNA}\n{named}"), EXPECTED
    )
    assert move == (Press("Accept") if right else PromptUser("other-client", named))


@over_rows(
    "more",
    [
        ListItem("CRM", "View, create, change and delete leads (modules)"),
        ListItem("CRM", "Delete leads"),
        ListItem("Zoho CRM", "Manage your leads"),
        ListItem("Zoho Books", "View invoices"),
        ListItem("Mail", "Read your mail"),
        ListItem("Anything", "Modify everything"),
    ],
)
def test_consent_text_that_exceeds_the_request_is_left_to_the_user(more: ListItem) -> None:
    snapshot = replace(CONSENT, list_items=(CONSENT.list_items[0], more))
    assert prompt_reason(next_consent_action(snapshot, EXPECTED)) == "wider"


def test_more_lines_than_scopes_are_left_to_the_user() -> None:
    snapshot = replace(CONSENT, list_items=(*CONSENT.list_items, LEADS))
    assert prompt_reason(next_consent_action(snapshot, EXPECTED)) == "wider"


@over_rows(
    ("scope", "line"),
    [
        ("ZohoCRM.modules.ALL", ListItem("CRM", "View, create, change and delete modules")),
        ("ZohoCRM.modules.WRITE", ListItem("CRM", "Create and change modules")),
        ("ZohoCRM.modules.DELETE", ListItem("CRM", "Delete modules")),
        ("ZohoCRM.modules.READ", ListItem("Nobody knows what", "See records")),
        ("ZohoAnalytics.fullaccess.all", ListItem("Analytics", "Full access to your data")),
    ],
)
def test_consent_text_that_matches_the_request_is_accepted(scope: str, line: ListItem) -> None:
    wanted = replace(EXPECTED, scope=(scope,))
    assert next_consent_action(replace(CONSENT, list_items=(line,)), wanted) == Press("Accept")


def test_the_previous_organization_is_chosen() -> None:
    assert next_consent_action(ORGANIZATIONS, EXPECTED) == Choose((ORGANIZATIONS.choices[0],))


@over_rows(
    "remembered",
    [
        (),
        (Organization("crm", Identifier("1"), "Zylker GmbH", "Developer"),),
        (Organization("books", Identifier("1"), "Zylker GmbH", "Production"),),
        (
            Organization("crm", Identifier("1"), "Zylker GmbH", "Production"),
            Organization("crm", Identifier("2"), "Zylker GmbH", "Sandbox"),
        ),
    ],
)
def test_an_ambiguous_organization_is_left_to_the_user(
    remembered: tuple[Organization, ...],
) -> None:
    move = next_consent_action(ORGANIZATIONS, replace(EXPECTED, organizations=remembered))
    assert prompt_reason(move) == "organization"


def test_no_organization_is_chosen_for_a_different_user() -> None:
    snapshot = replace(ORGANIZATIONS, text="bob@zylker.example")
    assert prompt_reason(next_consent_action(snapshot, EXPECTED)) == "other-person"


NO_ACCOUNT = replace(CONSENT, buttons=(Button("Back to app", True),))


@over_rows(
    ("page", "url", "account", "why"),
    [
        (ORGANIZATIONS, EXPECTED.url.replace("1000.ABC", "1000.EVIL"), ANNA, "other-consent"),
        (NO_ACCOUNT, EXPECTED.url.replace("1000.ABC", "1000.EVIL"), ANNA, "other-consent"),
        (NO_ACCOUNT, EXPECTED.url, "bob@zylker.example", "other-person"),
    ],
)
def test_no_other_page_of_a_different_request_or_account_is_answered(
    page: PageSnapshot, url: str, account: str, why: str
) -> None:
    assert next_consent_action(NO_ACCOUNT, EXPECTED) == Press("Back to app")
    shown = replace(page, url=url, text=page.text.replace(ANNA, account))
    assert prompt_reason(next_consent_action(shown, EXPECTED)) == why


def test_trust_is_declined_in_a_temporary_profile_and_else_left_to_the_user() -> None:
    asked = PageSnapshot(
        url=f"{EU}/signin/trust",
        headings=("Trust this browser?",),
        buttons=(Button("Trust", True), Button("Not now", True)),
    )
    assert next_consent_action(asked, EXPECTED) == Press("Not now")
    kept = replace(EXPECTED, can_trust_browser=True)
    assert next_consent_action(asked, kept) == PromptUser("trust")


def test_nothing_is_done_on_a_lookalike_host_whatever_the_page_shows() -> None:
    announcement = PageSnapshot(
        url=f"{EU}/announcement/x", headings=("New",), buttons=(Button("Skip for now", True),)
    )
    trust = replace(
        announcement, headings=("Trust this browser?",), buttons=(Button("Not now", True),)
    )
    home = PageSnapshot(url=f"{EU}/home", headings=("Home",))
    error = PageSnapshot(url=EXPECTED.url, headings=("Invalid Client",), text="Invalid Client")
    for page in (CONSENT, ORGANIZATIONS, NO_ACCOUNT, SIGN_IN, announcement, trust, home, error):
        for host in (f"{EU}.evil.example", f"{EU}@evil.example", f"{EU}:8443", f"{EU}x"):
            there = replace(page, url=page.url.replace(EU, host, 1))
            action = next_consent_action(there, EXPECTED)
            assert prompt_reason(action) == "elsewhere", there.url


def test_signing_in_is_left_to_the_user() -> None:
    password = Field("password", "password PASSWORD current-password", "Enter password")
    unlabelled = Field("password", "", "")
    for fields in (SIGN_IN.fields, (password,), (unlabelled,)):
        assert (
            prompt_reason(next_consent_action(replace(SIGN_IN, fields=fields), EXPECTED))
            == "sign-in"
        )


@over_rows(
    ("field", "why"),
    [
        (Field("text", "one-time-code", ""), "one-time-code"),
        (Field("text", "", "Digit 1"), "one-time-code"),
        (Field("tel", "mfa_otp", ""), "one-time-code"),
        (Field("text", "captcha", "Characters in the picture"), "captcha"),
        (Field("text", "x", "Your mother's name"), "unknown"),
    ],
)
def test_every_other_sign_in_step_is_left_to_the_user(field: Field, why: str) -> None:
    assert prompt_reason(next_consent_action(replace(SIGN_IN, fields=(field,)), EXPECTED)) == why


def test_a_captcha_in_a_frame_is_detected() -> None:
    snapshot = replace(SIGN_IN, frames=("reCAPTCHA https://www.recaptcha.net/x",))
    assert prompt_reason(next_consent_action(snapshot, EXPECTED)) == "captcha"


def test_signing_in_without_a_field_waits_for_another_device() -> None:
    snapshot = replace(SIGN_IN, fields=(), headings=("Verify on your device",))
    assert prompt_reason(next_consent_action(snapshot, EXPECTED)) == "push"


def test_announcements_are_postponed_or_skipped() -> None:
    snapshot = PageSnapshot(url=f"{EU}/announcement/x", headings=("New",))
    assert next_consent_action(snapshot, EXPECTED) == Reopen()
    for name in ("Skip for now", "Remind me later"):
        assert next_consent_action(
            replace(snapshot, buttons=(Button(name, True),)), EXPECTED
        ) == Press(name)
        assert next_consent_action(replace(snapshot, links=(name,)), EXPECTED) == Press(name)
    assert next_consent_action(replace(snapshot, url=f"{EU}/home"), EXPECTED) == Reopen()


def test_a_zoho_error_page_ends_the_consent() -> None:
    snapshot = PageSnapshot(
        url=EXPECTED.url, headings=("Invalid Client",), text="Invalid Client\nNo such id."
    )
    assert next_consent_action(snapshot, EXPECTED) == ErrorPage("Invalid Client\nNo such id.")


def test_a_blank_page_is_waited_for_and_an_unreachable_one_is_reported() -> None:
    assert next_consent_action(PageSnapshot(), EXPECTED) == Wait()
    assert (
        prompt_reason(
            next_consent_action(PageSnapshot(url="chrome-error://chromewebdata/"), EXPECTED)
        )
        == "unreachable"
    )
