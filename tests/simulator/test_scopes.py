"""The grammar of scopes, and which scope covers which."""

import pytest
from support.claims import over_rows

from wizard.simulator.catalog import is_known_scope, scopes_cover, split_scopes


@pytest.mark.rule("scope-grammar")
@over_rows(
    ("scope", "known"),
    [
        ("ZohoCRM.modules.ALL", True),
        ("ZohoCRM.modules.contacts.READ", True),
        ("ZohoCRM.send_mail.all.CREATE", True),
        ("ZohoCampaigns.contact.CREATE-UPDATE", True),
        ("ZohoBooks.fullaccess.all", True),
        ("openid", True),
        ("ZohoCRM", False),
        ("ZohoCRM.READ", False),
        ("ZohoCRM.modules.EAT", False),
        ("ZohoCRM..READ", False),
        ("ZohoNothing.modules.READ", False),
        ("", False),
    ],
)
def test_a_scope_is_service_name_operation(scope: str, known: bool) -> None:
    assert is_known_scope(scope) is known


@pytest.mark.rule("scope-separators")
def test_scopes_are_separated_by_commas_or_blanks_and_named_once() -> None:
    assert split_scopes(" A.b.READ,C.d.ALL  A.b.READ,") == ["A.b.READ", "C.d.ALL"]


@pytest.mark.rule("scope-case", "all-covers-operations")
@over_rows(
    ("granted", "wanted", "covered"),
    [
        ("zohocrm.ORG.read", "ZohoCRM.org.READ", True),
        ("ZohoCRM.org.ALL", "ZohoCRM.org.READ", True),
        ("ZohoCRM.modules.ALL", "ZohoCRM.modules.leads.READ", True),
        ("ZohoCRM.modules.READ", "ZohoCRM.modules.leads.READ", True),
        ("ZohoCRM.modules.leads.ALL", "ZohoCRM.modules.leads.UPDATE", True),
        ("ZohoBooks.fullaccess.all", "ZohoBooks.settings.READ", True),
        ("ZohoCRM.modules.ALL", "ZohoCRM.coql.READ", False),
        ("ZohoCRM.modules.CREATE", "ZohoCRM.modules.leads.READ", False),
        ("ZohoCRM.modules.leads.ALL", "ZohoCRM.modules.ALL", False),
        ("ZohoBooks.fullaccess.all", "ZohoInventory.settings.READ", False),
        ("ZohoCRM.mod.ALL", "ZohoCRM.modules.READ", False),
        ("openid", "AaaServer.profile.READ", False),
    ],
)
def test_all_covers_operations_and_children_and_nothing_else(
    granted: str, wanted: str, covered: bool
) -> None:
    assert scopes_cover([granted], wanted) is covered
