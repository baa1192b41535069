"""A user's own table adds products, endpoints, bodies and errors, and says what is wrong in it."""

from pathlib import Path

import pytest
import requests
from support.claims import over_rows
from support.zoho_driver import ANNA

from wizard.simulator.configuration import Configuration, read_configuration
from wizard.simulator.product_apis import HANDLERS
from wizard.simulator.product_tables import merge_tables
from wizard.simulator.products import ACTIONS
from wizard.simulator.server import Simulator

ERRORS = """
[errors.acme]
no_token = { status = 401, body = '{"why":"none"}' }
invalid_token = { status = 401, body = '{"why":"dead"}' }
scope = { status = 403, body = '{"why":"scope"}' }
permission = { status = 403, body = '{"why":"permission"}' }
path = { status = 404, body = '{"why":"path"}' }
missing = { status = 404, body = '{"why":"no $singular"}' }
body = { status = 400, body = '{"why":"body"}' }
mandatory = { status = 400, body = '{"why":"no $name"}' }
"""
PRODUCT = """
[product.acme]
title = "Acme"
roots = ["acme/api"]
versions = ["v1"]
service = "ZohoAcme"
errors = "acme"
"""
ENDPOINTS = """
[[product.acme.endpoints]]
path = "/whoami"
scopes = ["ZohoAcme.things.READ"]
body = '{"me":"$email"}'

[[product.acme.endpoints]]
path = "/things"
scopes = ["ZohoAcme.things.READ"]
action = "list"
collection = "things"
body = '{"things":$records,"more":$more}'

[[product.acme.endpoints]]
path = "/things"
method = "POST"
scopes = ["ZohoAcme.things.CREATE"]
action = "create"
collection = "things"
status = 201
body = '$record'

[[product.acme.endpoints]]
path = "/things/{id}"
scopes = ["ZohoAcme.things.READ"]
action = "get"
collection = "things"
body = '$record'

[product.acme.collections.things]
singular = "thing"
mandatory = ["name"]
samples = [{ name = "anvil" }]

[errors.crm]
rate_limit = { status = 429, body = '{"code":"MINE"}' }

[[product.crm.endpoints]]
path = "/Leads/{id}"
scopes = ["ZohoCRM.modules.leads.READ"]
body = '{"mine":"$id"}'
"""
TABLE = ERRORS + PRODUCT + ENDPOINTS


@pytest.fixture
def table(tmp_path: Path) -> str:
    """The name of a file with the table."""
    (tmp_path / "my.toml").write_text(TABLE)
    return str(tmp_path / "my.toml")


def test_a_table_adds_a_product_with_records_and_replaces_endpoints_and_errors(table: str) -> None:
    with Simulator(Configuration(port=0, products=[table])) as simulator:
        controls, url = simulator.controls, f"{simulator.url}/eu"
        scope = "ZohoAcme.things.ALL,ZohoCRM.modules.ALL"
        token = controls.issue_tokens(ANNA, scope)

        def call(method: str, path: str, **sent: object) -> requests.Response:
            headers = {"Authorization": f"Bearer {token['access_token']}"}
            sent_json = sent or None
            return requests.request(
                method, f"{url}{path}", headers=headers, json=sent_json, timeout=10
            )

        assert call("GET", "/acme/api/v1/whoami").json() == {"me": ANNA}
        created = call("POST", "/acme/api/v1/things", name="rocket")
        assert created.status_code == 201
        assert call("GET", f"/acme/api/v1/things/{created.json()['id']}").json() == created.json()
        listed = call("GET", "/acme/api/v1/things").json()
        assert [each["name"] for each in listed["things"]] == ["anvil", "rocket"]
        refused = [("POST", "things"), ("GET", "things/7"), ("GET", "nothing")]
        answers = [call(method, f"/acme/api/v1/{path}") for method, path in refused]
        assert [each.json()["why"] for each in answers] == ["body", "no thing", "path"]
        assert call("GET", "/www/crm/v8/Leads/7").json() == {"mine": "7"}
        assert call("GET", "/www/crm/v2/Leads").status_code == 200
        controls.inject_fault("api-rate-limit")
        assert call("GET", "/www/crm/v2/Leads").json() == {"code": "MINE"}


def test_another_simulator_of_the_same_process_does_not_have_the_product(table: str) -> None:
    mine = Simulator(Configuration(port=0, products=[table]))
    with mine, Simulator() as other:
        urls = [f"{each.url}/eu/acme/api/v1/whoami" for each in (mine, other)]
        assert [requests.get(each, timeout=10).status_code for each in urls] == [401, 404]


def test_a_configuration_file_names_tables_next_to_it(table: str) -> None:
    path = Path(table).with_name("simulator.toml")
    path.write_text('products = ["my.toml"]\n')
    assert "acme" in read_configuration(path).catalog.products
    sample = '[product.crm.collections.Deals]\nfields = [{ name = "For", lookup = "Leads" }]\n'
    Path(table).write_text(f'{sample}samples = [{{ For = "Nobody" }}]')
    with pytest.raises(ValueError, match=r"Deals\.samples\[0\]\.For” must be the Full_Name"):
        read_configuration(path)
    path.write_text('products = ["other.toml"]\n')
    with pytest.raises(ValueError, match=r"other\.toml can’t be read"):
        read_configuration(path)


@over_rows(
    ("old", "new", "message"),
    [
        ("[errors.acme]", "[", "my.toml isn’t valid TOML"),
        ("roots =", "rots =", "product.acme.rots” is unknown. Did you mean “product.acme.roots”?"),
        ('"Acme"', "3", "“product.acme.title” must be text, not 3."),
        ('title = "Acme"', "", "“product.acme.title” is missing."),
        (
            'errors = "acme"',
            'errors = "acne"',
            "“errors.acne” is unknown. Did you mean “errors.acme”?",
        ),
        ("scope =", "scoop =", "“errors.acme.scope” is missing."),
        ("missing =", "lost =", "“errors.acme.missing” is missing."),
        ("acme/api", "/acme", "“product.acme.roots” must be hosts with or without a path"),
        ('"/whoami"', '"x"', "“product.acme.endpoints[0].path” must be a path such as"),
        ('path = "/whoami"', "", "“product.acme.endpoints[0].path” is missing."),
        ('"/whoami"', '"/x"\nversions = ["v9"]', "“product.acme.endpoints[0]” names the version"),
        ('"list"', '"lists"', "endpoints[1].action”: “lists” is unknown. Did you mean “list”?"),
        ('n = "things"', 'n = "x"', "“product.acme.endpoints[1].collection” must be a collection"),
        ('"me":', '"me"', "“product.acme.endpoints[0].body” isn’t JSON: Expecting ':'"),
        ('"why":"body"', '"why":body', "“errors.acme.body.body” isn’t JSON"),
        ("[errors.crm]", "[product.crm.collections.A]\n[errors.crm]", "A.fields” is missing."),
        ("= 201", "= 99", "“product.acme.endpoints[2].status” must be at least 200, not 99."),
        ('"POST"', '"SEND"', "“product.acme.endpoints[2].method” must be “GET”"),
        (
            "singular =",
            "lookups = { b = 'thing' }\n#",
            "things.b”: “thing” is unknown. Did you mean",
        ),
    ],
)
def test_an_error_in_a_table_names_the_file_the_key_and_what_is_expected(
    old: str, new: str, message: str
) -> None:
    assert old in TABLE
    with pytest.raises(ValueError, match=r"my\.toml") as caught:
        merge_tables({"my.toml": TABLE.replace(old, new)})
    assert message in str(caught.value)


def test_each_action_that_a_table_can_name_is_handled() -> None:
    assert HANDLERS.keys() == set(ACTIONS)
