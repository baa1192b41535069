"""The table of data centers, products, presets and limits."""

import itertools

import pytest
from support.claims import over_rows

from wizard import zoho
from wizard.errors import WizardError

SIMULATOR_URL = "http://127.0.0.1:8730"

# Values that a forged callback may carry as accounts-server. Each fools some weaker check: a
# substring, a prefix, a suffix, a pattern, or the host of the parsed address.
HOSTILE = (
    "https://accounts.zoho.eu.evil.example",
    "https://accounts.zoho.eu@evil.example",
    "https://evil.example/accounts.zoho.eu",
    "https://evil.example?accounts.zoho.eu",
    "https://evil.example#accounts.zoho.eu",
    "https://evilaccounts.zoho.eu",
    "https://accounts.zoho.eu.",
    "https://accounts.zoho.eu:443",
    "https://accounts.zoho.eu:8443",
    "https://accounts.zoho.eu/",
    "https://accounts.zoho.eu/path",
    "https://accounts.zoho.eu?x=1",
    "https://accounts.zoho.eu#x",
    "https://user@accounts.zoho.eu",
    "https://user:password@accounts.zoho.eu",
    "http://accounts.zoho.eu",
    "ftp://accounts.zoho.eu",
    "//accounts.zoho.eu",
    "accounts.zoho.eu",
    "HTTPS://accounts.zoho.eu",
    "https://ACCOUNTS.zoho.eu",
    "https://accounts.zoho.eu\\@evil.example",
    "https://evil.example\\.zoho.eu",
    "https://accounts%2ezoho.eu",
    "https://accounts.zoho.eu%00.evil.example",
    "https://accounts.zoho.eu\x00",
    "https://accounts.zoho.eu\r\nHost: evil.example",
    "https://accounts.zoho.eu\n",
    " https://accounts.zoho.eu",
    "https://accounts.zoho.eu\t",
    "https://аccounts.zoho.eu",  # a Cyrillic а
    "https://accounts.zoho。eu",
    "https://127.0.0.1",
    "https://[::1]",
    "https://2130706433",
    "https://accounts.zoho.evil",
    "https://accounts.zohoeu",
    "",
)


@pytest.fixture
def live() -> zoho.Zoho:
    return zoho.load()


@pytest.fixture
def simulated() -> zoho.Zoho:
    return zoho.load(SIMULATOR_URL)


@over_rows("accounts_server", HOSTILE)
def test_a_hostile_accounts_server_is_accepted_for_no_location(
    live: zoho.Zoho, accounts_server: str
) -> None:
    locations = [each.location for each in live.data_centers] + ["", "evil", "EU"]
    assert not any(live.accepts_callback(each, accounts_server) for each in locations)


@over_rows("address", HOSTILE)
def test_a_hostile_url_never_leads_a_request_out_of_zoho(live: zoho.Zoho, address: str) -> None:
    asked = f"{address}/oauth/v2/token"
    assert asked.startswith("https://accounts.zoho.eu/") or not live.is_allowed_url(asked)


def test_of_all_pairs_of_location_and_accounts_server_only_the_rows_are_accepted(
    live: zoho.Zoho,
) -> None:
    accepted = [
        (one.location, other.location)
        for one, other in itertools.product(live.data_centers, repeat=2)
        if live.accepts_callback(one.location, other.accounts_server)
    ]
    assert accepted == [(each.location, each.location) for each in live.data_centers]


def test_there_are_eleven_data_centers_and_only_china_is_separate(live: zoho.Zoho) -> None:
    codes = [each.location for each in live.data_centers]
    assert codes == ["us", "eu", "in", "au", "jp", "ca", "sa", "uk", "ae", "sg", "cn"]
    assert [each.location for each in live.data_centers if each.is_separate] == ["cn"]


@over_rows(
    ("location", "label", "base"),
    [
        ("us", "www", "https://www.zohoapis.com"),
        ("eu", "desk", "https://desk.zoho.eu"),
        ("au", "mail", "https://mail.zoho.com.au"),
        ("ca", "accounts", "https://accounts.zohocloud.ca"),
        ("ca", "www", "https://www.zohoapis.ca"),
        ("ca", "analyticsapi", "https://analyticsapi.zohocloud.ca"),
        ("cn", "cliq", "https://cliq.zoho.com.cn"),
    ],
)
def test_a_product_host_is_derived_from_the_accounts_host(
    live: zoho.Zoho, location: str, label: str, base: str
) -> None:
    assert live.data_center(location).base_url_of(label) == base


def test_a_data_center_has_its_endpoints_and_its_console(live: zoho.Zoho) -> None:
    eu = live.data_center("eu")
    assert eu.authorization_endpoint == "https://accounts.zoho.eu/oauth/v2/auth"
    assert eu.token_endpoint == "https://accounts.zoho.eu/oauth/v2/token"
    assert eu.revocation_endpoint == "https://accounts.zoho.eu/oauth/v2/revoke/token"
    assert eu.user_info_endpoint == "https://accounts.zoho.eu/oauth/user/info"
    assert eu.console_client_url("1000.ABC") == "https://api-console.zoho.eu/client/1000.ABC"


def test_the_simulator_has_the_same_data_centers_as_paths(simulated: zoho.Zoho) -> None:
    eu = simulated.data_center("eu")
    assert eu.accounts_server == f"{SIMULATOR_URL}/eu/accounts"
    assert eu.api_domain == f"{SIMULATOR_URL}/eu/www"
    assert eu.base_url_of("desk") == f"{SIMULATOR_URL}/eu/desk"
    assert eu.console_add_url == f"{SIMULATOR_URL}/eu/api-console/add"
    assert simulated.instance == SIMULATOR_URL


def test_the_live_table_has_no_simulator_and_the_simulator_table_no_zoho(
    live: zoho.Zoho, simulated: zoho.Zoho
) -> None:
    for one, other in ((live, simulated), (simulated, live)):
        for each in other.data_centers:
            assert not one.is_allowed_url(each.token_endpoint)
            assert not one.accepts_callback(each.location, each.accounts_server)


@over_rows(
    "url",
    [
        "https://www.zohoapis.eu/crm/v8/org",
        "https://desk.zoho.eu/api/v1/tickets?limit=1",
        "https://accounts.zohocloud.ca/oauth/v2/token",
    ],
)
def test_urls_below_the_base_urls_of_the_table_are_allowed(live: zoho.Zoho, url: str) -> None:
    assert live.is_allowed_url(url)


@over_rows(
    "url",
    [
        "https://www.zohoapis.eu.evil.example/crm",
        "https://www.zohoapis.eu@evil.example/crm",
        "https://www.zohoapis.eu:444/crm",
        "http://www.zohoapis.eu/crm",
        "https://www.zohoapis.eu/a/../b",
        "https://www.zohoapis.eu/a b",
        "https://www.zohoapis.eu/a\\b",
        "https://www.zoho.eu/",
        "http://127.0.0.1:8730/eu/accounts",
        "",
    ],
)
def test_any_other_url_is_not_allowed(live: zoho.Zoho, url: str) -> None:
    assert not live.is_allowed_url(url)


@over_rows(
    ("text", "location"),
    [
        ("eu", "eu"),
        (" EU ", "eu"),
        ("Europe", "eu"),
        ("united kingdom", "uk"),
        ("crm.zoho.eu", "eu"),
        ("https://crm.zoho.eu/crm/org123/tab/Leads?a=b#c", "eu"),
        ("https://mail.zoho.com.au/x", "au"),
        ("https://mail.zoho.com/zm/", "us"),
        ("zohocloud.ca", "ca"),
        ("https://crm.zohocloud.ca/crm", "ca"),
        ("https://www.zohoapis.ca", "ca"),
        ("https://api-console.zoho.com.cn/", "cn"),
        ("HTTPS://Books.Zoho.IN/app", "in"),
        ("accounts.zoho.uk:443", "uk"),
    ],
)
def test_any_zoho_url_identifies_its_data_center(live: zoho.Zoho, text: str, location: str) -> None:
    found = live.find_data_center(text)
    assert found is not None
    assert found.location == location


@over_rows(
    "text",
    [
        "",
        "zoho",
        "accounts.zoho.eu.evil.example",
        "https://evil.example/zoho.eu",
        "https://zoho.eu@evil.example/",
        "https://evil.example\\.zoho.eu",
        "notzoho.eu",
        "https://[zoho.eu",
        "zoho.eu\x00",
        "anna@zylker.example",
        f"{SIMULATOR_URL}/eu/accounts",
    ],
)
def test_a_lookalike_url_identifies_no_data_center(live: zoho.Zoho, text: str) -> None:
    assert live.find_data_center(text) is None


def test_in_the_simulator_its_own_urls_and_those_of_zoho_identify_the_data_center(
    simulated: zoho.Zoho,
) -> None:
    for text in (
        f"{SIMULATOR_URL}/eu/api-console/add",
        f"{SIMULATOR_URL}/eu",
        "https://crm.zoho.eu/x",
    ):
        found = simulated.find_data_center(text)
        assert found is not None
        assert found.location == "eu"


def test_an_unknown_data_center_is_refused_with_the_known_ones(live: zoho.Zoho) -> None:
    with pytest.raises(WizardError) as caught:
        live.data_center("mars")
    assert caught.value.failure.code == "unknown-data-center"
    assert "eu" in caught.value.failure.details["known"]


@over_rows("preset", zoho.presets())
def test_the_scopes_of_each_preset_are_well_formed_and_verify_their_product(
    preset: zoho.Preset,
) -> None:
    product = zoho.product(preset.product)
    assert zoho.parse_scope(",".join(preset.scope)) == preset.scope
    assert zoho.products_of(preset.scope)[0] == product
    assert zoho.ACCOUNT_SCOPE not in preset.scope
    named = product.organizations is None or product.can_list_organizations(preset.scope)
    verified = product.probe_for(preset.scope) is not None or product.can_list_organizations(
        preset.scope
    )
    assert named
    assert verified
    assert preset.explanation.endswith(".")


def test_the_most_informative_read_that_the_scope_allows_is_chosen() -> None:
    crm = zoho.product("crm")
    leads = crm.probe_for(["ZohoCRM.org.READ", "ZohoCRM.modules.ALL"])
    org = crm.probe_for(["ZohoCRM.org.READ"])
    assert leads is not None
    assert leads.noun == "leads"
    assert org is not None
    assert org.path == "/crm/v8/org"
    assert crm.probe_for(["ZohoCRM.modules.leads.CREATE"]) is None


@pytest.mark.parametrize("unknown", [zoho.product, zoho.preset])
def test_an_unknown_product_or_preset_is_a_clear_error(unknown: object) -> None:
    assert callable(unknown)
    with pytest.raises(WizardError, match=r"unknown-(product|preset)"):
        unknown("nothing")


def test_our_budgets_stay_below_the_limits_of_zoho() -> None:
    limits = zoho.limits()
    assert limits.codes_budget < limits.codes_per_client
    assert limits.token_requests_budget < limits.token_requests
    assert limits.refresh_tokens_warning_threshold < limits.refresh_tokens_hard_stop
    assert limits.refresh_tokens_hard_stop < limits.refresh_tokens_per_user_and_client
