"""What a connections file may contain, and how precisely its problems are named."""

import json
import re
import sys
import tomllib
from pathlib import Path
from types import FrameType

import jsonschema
import pytest
from support.claims import over_rows
from support.connections_file import CLIENT_ID, client_table, connection_table

from wizard.connections_file.document import (
    MAX_PROBLEMS,
    ConnectionsFileError,
    FileProblem,
    misspelled_scopes,
    parse,
)
from wizard.errors import WizardError, explain
from wizard.zoho import load, presets

ZOHO = load("http://127.0.0.1:8730")
ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "wizard/schemas/connections.toml.json").read_text("utf-8"))
VALID = client_table("zylker") + connection_table(
    "leads",
    "zylker",
    organization="Zylker GmbH",
    environment="Production",
    tags=["sales"],
    access=["www-data"],
    destinations=[{"profile": "dotenv", "to": "~/app/.env", "names": {"ZOHO_CLIENT_ID": "ID"}}],
)
SECRET = "1000." + "0" * 32 + "." + "a" * 32
CLIENT_SECRET = "0123456789abcdef0123456789abcdef01234567ab"

WITH_SECRET = VALID.replace("id =", 'client_secret = "x"\nid =')

PROBLEMS = (
    ("clients.zylker.ids", "file-unknown-key", VALID.replace("id =", "ids =")),
    ("clients.zylker.id", "file-missing-key", VALID.replace("id =", "# ")),
    ("clients.zylker.id", "file-client-id", VALID.replace(CLIENT_ID, "1000.x")),
    ("clients.zylker.data_centers[0]", "unknown-data-center", VALID.replace('"eu"', '"xx"')),
    ("clients.zylker.client_secret", "file-secret", WITH_SECRET),
    ("connections.leads.client", "file-unknown-client", VALID.replace('= "zylker"', '= "zyler"')),
    ("connections.leads.presets", "unknown-preset", VALID.replace("crm-read-leads", "crm-leads")),
    ("connections.leads.account", "bad-email", VALID.replace("anna@", "anna")),
    ("connections.leads.tags", "bad-tag", VALID.replace('["sales"]', '["a b"]')),
    ("connections.leads.tags", "file-wrong-type", VALID.replace('["sales"]', '"sales"')),
    ("connections.leads.environment", "file-secret", VALID.replace("Production", SECRET)),
    ("connections.leads.environment", "file-secret", VALID.replace("Production", CLIENT_SECRET)),
    ("connections.leads.environment", "file-environment", VALID.replace("Production", "Prodction")),
    *(
        (path, "file-control-character", VALID.replace(value, f"{value}\\u001b[2J"))
        for path, value in (
            ("connections.leads.account", "anna@zylker.example"),
            ("connections.leads.organization", "Zylker GmbH"),
            ("connections.leads.destinations[0].to", "~/app/.env"),
        )
    ),
    ("clients.…", "file-control-character", VALID + client_table('"a\\u009b"', "1000." + "A" * 30)),
    ("connections.…", "file-control-character", VALID + connection_table('"a\\nb"', "zylker")),
    (
        "connections.leads.destinations[0].profil",
        "file-unknown-key",
        VALID.replace("profile", "profil"),
    ),
    ("connections.leads.destinations[0]", "file-relative-path", VALID.replace("~/app", "app")),
    ("connections.leads.destinations[0]", "bad-field", VALID.replace("ZOHO_CLIENT_ID", "IDS")),
    ("connections.LEADS", "file-repeated", VALID + connection_table("LEADS", "zylker")),
    ('connections."a b"', "bad-name", VALID + connection_table('"a b"', "zylker")),
    ("connections.it.data_center", "file-data-center", VALID
     + connection_table("it", "zylker", data_center="in")),
    ("connections.it", "no-preset", VALID + connection_table("it", "zylker", presets=[])),
    ("clients.two.id", "file-repeated", VALID + client_table("two")),
    ("monitor.notify", "file-notify-url", VALID + '[monitor]\nnotify = "https://hooks.example"\n'),
)  # fmt: skip


def test_a_valid_file_is_read_with_its_defaults() -> None:
    document = parse(VALID, ZOHO)
    assert document.clients["zylker"].data_centers == ("eu",)
    leads = document.connections["leads"]
    assert (leads.owner, leads.tags, leads.destinations[0].names) == (
        "",
        ("sales",),
        {"ZOHO_CLIENT_ID": "ID"},
    )
    assert document.monitor is None


def test_the_file_of_the_guide_is_valid() -> None:
    guide = (ROOT / "docs/guides/connections-file.md").read_text("utf-8")
    text = re.findall(r"```toml\n(.*?)```", guide, re.S)[0]
    assert [*parse(text, ZOHO).connections] == ["crm-leads", "books-india"]


@over_rows("path, code, text", PROBLEMS)
def test_a_problem_is_named_with_the_path_of_its_key(path: str, code: str, text: str) -> None:
    with pytest.raises(ConnectionsFileError) as raised:
        parse(text, ZOHO)
    assert (path, code) in [(each.path, each.failure.code) for each in raised.value.problems]
    assert SECRET not in str(raised.value.failure)
    assert CLIENT_SECRET not in str(raised.value.failure)


@over_rows(
    "text, line, column",
    [
        ('[clients.a]\nid "x"\n', "2", "4"),
        ("[clients.a]\nid = [1,\n", "3", "1"),
        ("[clients.a]\n[clients.a]\n", "2", "11"),
        ("a = " + "9" * 5000, None, None),
        ("a = " + "[" * 5000, None, None),
        (".".join("a" * 5000) + " = 1", None, None),
        ("a = {" + '."b"' * 5000 + " = 1}", None, None),
    ],
)
def test_a_syntax_error_is_named_with_its_place(
    text: str, line: str | None, column: str | None
) -> None:
    with pytest.raises(WizardError) as raised:
        parse(text, ZOHO)
    failure = raised.value.failure
    assert failure.code == "connections-file-syntax"
    assert (failure.details.get("line"), failure.details.get("column")) == (line, column)


def test_every_problem_of_a_file_is_named_at_once_and_none_follows_from_another() -> None:
    text = VALID.replace("presets", "preset").replace("Production", SECRET).replace("to =", "ot =")
    text = text.replace("anna@", "anna").replace('["sales"]', "3").replace('["eu"]', '["xx"]')
    text += connection_table("it", "zylkr") + connection_table("in", "broken")
    with pytest.raises(ConnectionsFileError) as raised:
        parse(text + "[clients.broken]\nname = 1\n", ZOHO)
    problems = {each.path: each.failure for each in raised.value.problems}
    assert {path: each.code for path, each in problems.items()} == {
        "clients.zylker.data_centers[0]": "unknown-data-center",
        "clients.broken.name": "file-unknown-key",
        "clients.broken.id": "file-missing-key",
        "clients.broken.data_centers": "file-missing-key",
        "connections.leads.preset": "file-unknown-key",
        "connections.leads.environment": "file-secret",
        "connections.leads.account": "bad-email",
        "connections.leads.tags": "file-wrong-type",
        "connections.leads.destinations[0].ot": "file-unknown-key",
        "connections.it.client": "file-unknown-client",
    }
    assert problems["connections.leads.preset"].details["nearest"] == "presets"
    assert problems["connections.it.client"].details["nearest"] == "zylker"


def problems_made(text: str) -> tuple[ConnectionsFileError, int]:
    """The error that reading `text` raises, and how many problems were made until then."""
    made = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal made
        made += event == "call" and frame.f_code is FileProblem.__init__.__code__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with pytest.raises(ConnectionsFileError) as raised:
            parse(text, ZOHO)
    finally:
        sys.setprofile(before)
    return raised.value, made


@pytest.mark.slow
@over_rows(
    "text",
    [
        "".join(f"key{number} = 1\n" for number in range(2000)),
        "".join(f"[connections.c{number}]\nclint = 1\n" for number in range(2000)),
        client_table("zylker", CLIENT_ID, *(f"x{number}" for number in range(2000))),
        "".join(connection_table(f"c{number}", "none") for number in range(2000)),
        "".join(f'"\\u009b{number}" = 1\n' for number in range(90))
        + client_table("zylker", CLIENT_ID, *(f"x{number}" for number in range(2000))),
    ],
)
def test_reading_a_file_ends_after_a_hundred_problems(text: str) -> None:
    error, made = problems_made(text)
    assert len(error.problems) == MAX_PROBLEMS
    assert made == MAX_PROBLEMS + 1, "one more shows that there are more"
    details = error.failure.details
    assert (details["count"], details["limit"]) == ("100", "100")
    assert details["problems"].count("\n") == MAX_PROBLEMS - 1
    assert explain(error.failure).title == "The connections file has more than 100 problems"
    assert "Only the first 100 problems are listed." in explain(error.failure).cause


def test_a_file_with_exactly_a_hundred_problems_has_no_more() -> None:
    error, made = problems_made("".join(f"key{number} = 1\n" for number in range(MAX_PROBLEMS)))
    assert (len(error.problems), made) == (MAX_PROBLEMS, MAX_PROBLEMS)
    assert explain(error.failure).title == "The connections file has 100 problems"
    assert "Only the first" not in explain(error.failure).cause


def test_the_client_that_was_meant_is_looked_for_among_a_hundred() -> None:
    tables = [client_table(f"client{number}", f"1000.{number:030}") for number in range(200)]
    tables += [connection_table(f"of{name}", f"{name}x") for name in ("client99", "client100")]
    with pytest.raises(ConnectionsFileError) as raised:
        parse("".join(tables), ZOHO)
    nearest = [each.failure.details["nearest"] for each in raised.value.problems]
    assert nearest[0] == "client99"
    assert nearest[1] != "client100"


@over_rows(
    "scope, nearest",
    [
        ("ZohoCRM.module.leads.READ", "ZohoCRM.modules.leads.READ"),
        ("ZohoCRN.modules.leads.READS", "ZohoCRM.modules.leads.READ"),
        ("zohobooks.invoices.read", None),
        ("ZohoMCP.tool.execute", None),
        ("openid", None),
    ],
)
def test_a_scope_that_is_similar_to_a_known_one_is_a_warning(
    scope: str, nearest: str | None
) -> None:
    document = parse(VALID + connection_table("it", "zylker", scopes=[scope]), ZOHO)
    found = [each.failure.details["nearest"] for each in misspelled_scopes(document)]
    assert found == ([nearest] if nearest else [])


def test_no_known_scope_is_a_warning() -> None:
    scopes = [scope for each in presets() for scope in each.scope]
    document = parse(VALID + connection_table("it", "zylker", scopes=scopes), ZOHO)
    assert misspelled_scopes(document) == ()


def test_the_schema_for_editors_accepts_the_same_keys() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert [*validator.iter_errors(tomllib.loads(VALID))] == []
    for path, code, text in PROBLEMS:
        if code in ("file-unknown-key", "file-missing-key", "file-wrong-type"):
            assert [*validator.iter_errors(tomllib.loads(text))], path
