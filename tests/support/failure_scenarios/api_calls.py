"""Calls that fail because of a scope, permission, organization, limit, URL or the network."""

from collections.abc import Callable

import pytest

from support.diagnosis import add_verified_connection, client_of, refresh_by_other_program
from support.failure_scenarios.access_tokens import failed_exchange
from support.failure_scenarios.clients import attempt_failure
from support.failure_scenarios.scenario import (
    FailureScenario,
    assert_works,
    follow_next_step,
    with_corrected_request,
)
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, SCOPE, Harness
from support.third_party_program import LoggedExchange, ThirdPartyProgram, send_request
from wizard.errors import WizardError
from wizard.model import Explanation, Failure

DESK = (*SCOPE, "Desk.basic.READ", "Desk.tickets.READ")
BOOKS = (*SCOPE, "ZohoBooks.settings.READ", "ZohoBooks.contacts.READ")


# --- scope, permission, organization --------------------------------------------------------------


def _scope_missing(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    return failed_exchange(ThirdPartyProgram(harness).read_crm(path="Contacts")).as_curl


def _read_contacts(harness: Harness, explanation: Explanation) -> None:
    follow_next_step(harness, explanation)
    assert ThirdPartyProgram(harness).read_crm(path="Contacts").response.ok


def _api_access_removed(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.remove_api_access(ANNA, "crm")


def _restore_api_access(harness: Harness, explanation: Explanation) -> None:
    harness.simulator.world.users.get(ANNA).products_without_api_access.clear()
    follow_next_step(harness, explanation)


def _books_api_access_removed(harness: Harness) -> None:
    harness.add_connection("crm", harness.register_client("crm"), BOOKS[:1] + BOOKS[3:])
    done = harness.authorize("crm")
    assert done.generation is not None
    harness.controls.remove_api_access(ANNA, "books")
    harness.verify("crm", 1)


def _connected(harness: Harness, scope: tuple[str, ...], email: str = ANNA) -> ThirdPartyProgram:
    harness.add_connection("crm", harness.register_client("crm"), scope)
    done = harness.authorize("crm", email, FIRST_ORGANIZATION if email == CARLA else "")
    assert done.generation is not None, done.failure
    harness.verify("crm", done.generation)
    return ThirdPartyProgram(harness)


def _call(
    program: ThirdPartyProgram, host: str, path: str, **options: dict[str, str]
) -> LoggedExchange:
    base = program.harness.services.zoho.data_center("eu").base_url_of(host)
    headers = {"Authorization": f"Zoho-oauthtoken {program.access_token}"}
    return send_request("GET", f"{base}{path}", headers=headers | options.get("headers", {}))


def _wrong_organization(harness: Harness) -> str:
    """A program calls Desk with the id of an organization that the consent isn't for."""
    program = _connected(harness, DESK)
    return failed_exchange(_tickets(program, "20099999999")).as_curl


def _no_organization_in_desk(harness: Harness) -> str:
    return failed_exchange(_call(_connected(harness, DESK), "desk", "/api/v1/tickets")).as_log


def _no_organization_in_books(harness: Harness) -> str:
    return failed_exchange(_call(_connected(harness, BOOKS), "www", "/books/v3/contacts")).as_log


def _tickets(program: ThirdPartyProgram, organization: str = "") -> LoggedExchange:
    """Read tickets, by default of the organization in the report."""
    reached = next(each for each in program.grant.organizations if each.product == "desk")
    headers = {"orgId": organization or reached.id}
    return _call(program, "desk", "/api/v1/tickets", headers=headers)


def _contacts(program: ThirdPartyProgram) -> LoggedExchange:
    reached = next(each for each in program.grant.organizations if each.product == "books")
    return _call(program, "www", f"/books/v3/contacts?organization_id={reached.id}")


# --- limits ---------------------------------------------------------------------------------------


def _rate_limited_by_others(harness: Harness) -> Failure:
    grant = add_verified_connection(harness, "crm")
    harness.advance(minutes=58)
    for _ in range(10):
        refresh_by_other_program(harness, grant)
    return _token_rate_limit_failure(harness)


def _token_rate_limit_failure(harness: Harness) -> Failure:
    return _rate_limit_failure(
        lambda: harness.services.tokens.access_token("crm", force_refresh=True)
    )


def _rate_limit_failure(request: Callable[[], object]) -> Failure:
    with pytest.raises(WizardError, match="throttled") as met:
        request()
    return met.value.failure


def _rate_limited_by_wizard(harness: Harness) -> Failure:
    """Zoho counts by client, and two connections of one client have used up its ten requests."""
    harness.controls.change_settings(rate_limit_key="client")
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "leads", client_of(harness, "crm"))
    harness.advance(minutes=11)
    for _ in range(5):
        for name in ("crm", "leads"):
            grant = harness.services.store.grants.get(name)
            assert grant is not None
            harness.services.tokens.refresh_grant(grant)
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    return _rate_limit_failure(lambda: harness.services.tokens.refresh_grant(grant))


def _rate_limited_in_chinese(harness: Harness) -> str:
    harness.controls.change_settings(localized_rate_limit=True)
    add_verified_connection(harness, "crm")
    exchange = ThirdPartyProgram(harness).refresh()
    while exchange.response.ok:
        exchange = ThirdPartyProgram(harness).refresh()
    assert "Access Denied" not in exchange.as_log
    return exchange.as_log


def _rate_limited_with_valid_token(harness: Harness) -> None:
    grant = add_verified_connection(harness, "crm")
    for _ in range(9):
        refresh_by_other_program(harness, grant)
    _token_rate_limit_failure(harness)


def _product_limit(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    harness.controls.inject_fault("api-rate-limit", endpoint="crm/v8")
    exchange = ThirdPartyProgram(harness).read_crm()
    assert exchange.response.status_code == 429
    return exchange.as_log


def _product_limit_in_books(harness: Harness) -> str:
    program = _connected(harness, BOOKS)
    harness.controls.inject_fault("api-rate-limit", endpoint="books/v3")
    return failed_exchange(_call(program, "www", "/books/v3/organizations")).response.text


def _too_many_refresh_tokens(harness: Harness) -> Failure | None:
    """Another program has requested as many refresh tokens with this client as Zoho allows."""
    harness.controls.change_settings(new_refresh_token_limit=1)
    add_verified_connection(harness, "first")
    harness.add_connection("crm", client_of(harness, "first"))
    harness.authorize("crm")
    return attempt_failure(harness)


# --- URLs and the network -------------------------------------------------------------------------


def _no_such_call(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    return failed_exchange(ThirdPartyProgram(harness).read_crm(path="no/such/call/of/crm")).as_log


def _wrong_host(harness: Harness) -> str:
    program = _connected(harness, DESK)
    return failed_exchange(_call(program, "www", "/desk/api/v1/organizations")).as_curl


def _proxy_page(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.inject_fault("html-page", endpoint="oauth/", times=9)


def _remove_proxy_page(harness: Harness, explanation: Explanation) -> None:
    assert explanation.exit_code == 4
    harness.controls.clear_faults()
    assert_works(harness)


def _wait(harness: Harness, explanation: Explanation) -> None:
    """Wait until it works again."""
    assert explanation.exit_code == 4
    harness.advance(minutes=11)
    assert "access_token" in ThirdPartyProgram(harness).refresh().response.json()


SCENARIOS = (
    FailureScenario(
        "scope missing, pasted",
        _scope_missing,
        "scope-refused",
        "scope-not-granted",
        True,
        _read_contacts,
    ),
    FailureScenario(
        "no permission",
        _api_access_removed,
        "permission-refused",
        "role-without-right",
        apply_fix=_restore_api_access,
    ),
    FailureScenario(
        "no permission in Books",
        _books_api_access_removed,
        "refused-without-a-reason",
        "role-without-right",
        apply_fix=_restore_api_access,
    ),
    FailureScenario(
        "wrong organization, pasted",
        _wrong_organization,
        "organization-refused",
        "organization-not-reached",
        apply_fix=with_corrected_request(_tickets),
    ),
    FailureScenario(
        "organization id missing in Desk, pasted",
        _no_organization_in_desk,
        "organization-refused",
        "organization-not-reached",
        apply_fix=with_corrected_request(_tickets),
    ),
    FailureScenario(
        "organization id missing in Books, pasted",
        _no_organization_in_books,
        "organization-refused",
        "organization-not-reached",
        apply_fix=with_corrected_request(_contacts),
    ),
    FailureScenario(
        "limit of a product, pasted",
        _product_limit,
        "",
        "product-throttled",
        True,
        with_corrected_request(lambda program: program.read_crm()),
    ),
    FailureScenario(
        "limit of Books, only the response",
        _product_limit_in_books,
        "",
        "product-throttled",
        True,
        with_corrected_request(lambda program: _call(program, "www", "/books/v3/organizations")),
    ),
    FailureScenario(
        "rate-limited by others",
        _rate_limited_by_others,
        "too-many-requests",
        "throttled-by-others",
        True,
    ),
    FailureScenario(
        "rate-limited by the wizard",
        _rate_limited_by_wizard,
        "too-many-requests",
        "throttled-by-ourselves",
        True,
    ),
    FailureScenario(
        "rate-limited in another language, pasted",
        _rate_limited_in_chinese,
        "too-many-requests",
        "throttled-by-others",
        True,
        _wait,
    ),
    FailureScenario(
        "rate-limited with a valid token",
        _rate_limited_with_valid_token,
        "too-many-requests",
        "throttled-by-others",
        True,
    ),
    FailureScenario(
        "too many refresh tokens",
        _too_many_refresh_tokens,
        "too-many-requests",
        "too-many-refresh-tokens",
    ),
    FailureScenario(
        "no such call, pasted",
        _no_such_call,
        "wrong-address",
        "wrong-version",
        apply_fix=with_corrected_request(lambda program: program.read_crm()),
    ),
    FailureScenario(
        "wrong host, pasted",
        _wrong_host,
        "wrong-address",
        "wrong-host",
        apply_fix=with_corrected_request(
            lambda program: _call(program, "desk", "/api/v1/organizations")
        ),
    ),
    FailureScenario(
        "a page where JSON should be",
        _proxy_page,
        "not-zohos-answer",
        "captive-portal",
        apply_fix=_remove_proxy_page,
    ),
)
