"""Scopes: grammar, descriptions, and which scope covers which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import over_rows

from wizard.errors import WizardError, explain
from wizard.zoho import describe_scope, missing_scopes, parse_scope, presets, unusual_scopes


@over_rows(
    "text",
    [
        "ZohoCRM.modules.READ,ZohoBooks.invoices.CREATE",
        "ZohoCRM.modules.READ ZohoBooks.invoices.CREATE",
        " ZohoCRM.modules.READ,\n\n ZohoBooks.invoices.CREATE ,",
        "ZohoCRM.modules.READ;ZohoBooks.invoices.CREATE",
        "ZohoCRM.modules.READ\tZohoBooks.invoices.CREATE\r\nzohocrm.modules.read",
    ],
)
def test_scopes_are_separated_by_commas_blanks_or_lines_and_kept_once(text: str) -> None:
    assert parse_scope(text) == ("ZohoCRM.modules.READ", "ZohoBooks.invoices.CREATE")


@over_rows(
    "scope",
    [
        "ZohoCRM.modules.ALL",
        "ZohoCRM.modules.leads.READ",
        "AaaServer.profile.Read",
        "ZohoBooks.fullaccess.all",
        "ZohoCRM.send_mail.all.CREATE",
        "ZohoCampaigns.contact.CREATE-UPDATE",
        "ZOHOPEOPLE.forms.READ",
        "ZohoMCP.tool.execute",
        "openid",
        "email",
    ],
)
def test_scopes_as_zoho_prints_them_are_accepted(scope: str) -> None:
    assert parse_scope(scope) == (scope,)


@over_rows(
    ("scope", "hint"),
    [
        ("ZohoCRM", "two parts are missing"),
        ("ZohoCRM.modules", "the last part is missing"),
        ("ZohoCRM..READ", "“” isn’t a name"),
        ("ZohoCRM.mod-ules.READ", "“mod-ules” isn’t a name"),
        (".modules.READ", "“” isn’t a name"),
        ("ZohoCRM.modules.READ.", "“” isn’t an operation"),
        ("https://accounts.zoho.eu", "“https://accounts” isn’t a name"),
        ("ZohoCRM.modules.{READ}", "“{READ}” isn’t an operation"),
    ],
)
def test_a_malformed_scope_is_named_with_the_reason(scope: str, hint: str) -> None:
    with pytest.raises(WizardError) as caught:
        parse_scope(f"ZohoCRM.org.READ, {scope}")
    assert caught.value.failure.code == "malformed-scope"
    finding = explain(caught.value.failure)
    assert scope in finding.title
    assert hint in finding.cause


def test_an_unusual_operation_is_accepted_and_named() -> None:
    scope = ("ZohoMCP.tool.execute", "ZohoCRM.modules.REED", "ZohoBooks.fullaccess.all", "openid")
    assert parse_scope(",".join(scope)) == scope
    assert unusual_scopes(scope) == scope[:2]


@pytest.mark.parametrize("text", ["", " ,\n, "])
def test_an_empty_scope_is_refused(text: str) -> None:
    with pytest.raises(WizardError, match="scope-empty"):
        parse_scope(text)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z_.]{1,9}\.[a-z]{1,5}\.(READ|all)[ ,]?"))
def test_any_pasted_text_is_parsed_or_refused_with_a_reason(text: str) -> None:
    try:
        scope = parse_scope(text)
    except WizardError as error:
        scope = ()
        refusal = error.failure.code
    else:
        refusal = ""
    assert bool(scope) is (refusal not in ("malformed-scope", "scope-empty"))
    if scope:
        assert parse_scope(" ".join(scope)) == scope
        assert all(describe_scope(each) for each in scope)


@over_rows(
    ("granted", "wanted", "covered"),
    [
        ("ZohoCRM.modules.READ", "ZohoCRM.modules.READ", True),
        ("ZohoCRM.modules.READ", "zohocrm.modules.read", True),
        ("ZohoCRM.modules.ALL", "ZohoCRM.modules.READ", True),
        ("ZohoCRM.modules.ALL", "ZohoCRM.modules.leads.READ", True),
        ("ZohoCRM.modules.leads.READ", "ZohoCRM.modules.READ", False),
        ("ZohoCRM.modules.READ", "ZohoCRM.modules.leads.READ", True),
        ("ZohoCRM.modules.READ", "ZohoCRM.modules.leads.CREATE", False),
        ("ZohoCRM.modules.leads.ALL", "ZohoCRM.modules.contacts.READ", False),
        ("ZohoCRM.modules.ALL", "ZohoCRM.coql.READ", False),
        ("ZohoBooks.fullaccess.all", "ZohoBooks.invoices.CREATE", True),
        ("ZohoBooks.fullaccess.all", "ZohoInventory.items.READ", False),
        ("ZohoCRM.modules.READ", "ZohoCRM.modules.ALL", False),
        ("openid", "openid", True),
        ("openid", "email", False),
    ],
)
def test_a_scope_covers_its_operations_and_its_children_and_nothing_else(
    granted: str, wanted: str, covered: bool
) -> None:
    assert missing_scopes([granted], [wanted]) == (() if covered else (wanted,))


def test_missing_scopes_are_named_in_the_requested_order() -> None:
    wanted = ("Desk.tickets.READ", "ZohoCRM.org.READ", "Desk.basic.READ")
    assert missing_scopes(["ZohoCRM.org.READ"], wanted) == ("Desk.tickets.READ", "Desk.basic.READ")


@over_rows(
    ("scope", "words"),
    [
        ("ZohoCRM.modules.leads.READ", "Zoho CRM: read leads"),
        ("ZohoCRM.modules.ALL", "Zoho CRM: read, create, change and delete records"),
        ("ZohoCRM.settings.fields.READ", "Zoho CRM: read fields (settings)"),
        ("ZohoBooks.invoices.CREATE", "Zoho Books: create invoices"),
        ("ZohoCliq.Webhooks.CREATE", "Zoho Cliq: post messages"),
        ("AaaServer.profile.Read", "Zoho account: read your name, email address and user ID"),
        ("ZohoFuture.spaceShips.UPDATE", "ZohoFuture: change space ships"),
        ("evil", "evil"),
        ("a.b", "a.b"),
        ("", ""),
    ],
)
def test_a_scope_is_described_in_plain_words(scope: str, words: str) -> None:
    assert describe_scope(scope) == words


def test_no_two_scopes_of_a_preset_have_the_same_description() -> None:
    for preset in presets():
        words = [describe_scope(scope) for scope in preset.scope]
        assert len(set(words)) == len(words)
