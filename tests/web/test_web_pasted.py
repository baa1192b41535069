"""The button uses the pasted id and secret, whatever failed before."""

import re
from typing import Any

import pytest
from support.web_visitor import ANNA, NEW_CONNECTION_PATH, Visitor, authorize, connection_form

from wizard.model import GrantState
from wizard.simulator.server import Simulator

BOX = '<textarea id="credentials"'
WRONG = "0123456789abcdef" * 2 + "0123456789"


def paste(registered: dict[str, Any], secret: str, name: str = "second") -> dict[str, str]:
    """The fields of "Use another client", with the id of `registered` and a secret in the box."""
    fields = connection_form(registered, name)
    return {**fields, "client_id": "", "credentials": f"{registered['client_id']}\n{secret}"}


def kept(page: str) -> str:
    """The hidden field that says which client's paste is kept."""
    found = re.search(r'name="kept" value="([^"]+)"', page)
    return found[1] if found else ""


def stored_secret(visitor: Visitor, registered: dict[str, Any]) -> str | None:
    return visitor.services.store.clients.get(registered["client_id"]).secret_for("eu")


def names(visitor: Visitor) -> list[str]:
    return [each.name for each in visitor.services.store.connections.all()]


def test_a_regenerated_secret_is_offered_and_one_click_leads_to_the_consent(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    old = stored_secret(connected, registered)
    new = zoho_simulator.controls.rotate_secret(registered["client_id"])
    offered = connected.submit_form("/connections", **paste(registered, new))
    assert offered.status_code == 422
    assert "Use the new secret and connect to Zoho" in offered.text
    assert new not in offered.text
    assert stored_secret(connected, registered) == old
    assert names(connected) == ["leads"]

    fields = {**paste(registered, ""), "credentials": "", "kept": kept(offered.text)}
    begun = connected.submit_form("/connections", **fields, replace="yes")
    assert begun.status_code == 303
    client = connected.services.store.clients.get(registered["client_id"])
    assert (client.secret_for("eu"), client.previous_secret_for("eu")) == (new, old)

    authorize(connected, zoho_simulator, begun.location)
    grant = connected.services.store.grants.get("second")
    assert grant
    assert grant.state is GrantState.VERIFIED
    assert [
        each.value for each in connected.services.store.clients.get(client.client_id).secrets
    ] == [new]


def test_without_confirmation_the_offer_remains_and_nothing_changes(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    old = stored_secret(connected, registered)
    new = zoho_simulator.controls.rotate_secret(registered["client_id"])
    offered = connected.submit_form("/connections", **paste(registered, new))
    fields = {**paste(registered, ""), "credentials": "", "kept": kept(offered.text)}
    assert "Use the new secret" in connected.submit_form("/connections", **fields).text
    unseen = connected.submit_form("/connections", **paste(registered, new), replace="yes")
    assert unseen.status_code == 422, "no offer was shown for the content of the box"
    assert stored_secret(connected, registered) == old


def test_pasting_the_stored_secret_again_changes_nothing_and_continues(
    connected: Visitor, registered: dict[str, Any]
) -> None:
    before = connected.services.store.clients.all()
    begun = connected.submit_form("/connections", **paste(registered, registered["secrets"]["eu"]))
    assert begun.status_code == 303
    assert connected.services.store.clients.all() == before


def test_a_wrong_secret_of_a_stored_client_is_reported_and_only_the_secret_pasted_again(
    connected: Visitor, registered: dict[str, Any]
) -> None:
    refused = connected.submit_form("/connections", **paste(registered, WRONG))
    assert refused.status_code == 422
    assert "Wrong client secret" in refused.text
    assert WRONG not in refused.text
    assert stored_secret(connected, registered) == registered["secrets"]["eu"]
    assert kept(refused.text) == registered["client_id"]

    fields = {**paste(registered, ""), "kept": registered["client_id"]}
    begun = connected.submit_form(
        "/connections", **{**fields, "credentials": registered["secrets"]["eu"]}
    )
    assert begun.status_code == 303


@pytest.mark.parametrize(
    "text", ["", "nonsense", f"1000.{'A' * 30}", f"1000.{'A' * 30} {WRONG}", "{id} {wrong}"]
)
def test_after_an_error_the_box_remains_and_the_button_does_not_use_the_old_client(
    connected: Visitor, registered: dict[str, Any], text: str
) -> None:
    given = text.format(id=registered["client_id"], wrong=WRONG)
    fields = {**paste(registered, ""), "credentials": given}
    page = connected.submit_form("/connections", **fields)
    assert page.status_code == 422
    assert BOX in page.text
    assert "Check and connect to Zoho" in page.text
    assert '<option value="" selected>' in page.text

    again = connected.submit_form(
        "/connections", **{**fields, "credentials": "", "kept": kept(page.text)}
    )
    assert again.status_code == 422
    assert names(connected) == ["leads"]


def test_a_pasted_client_takes_precedence_over_the_selected_one(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    uri = connected.services.settings.redirect_uri
    another = zoho_simulator.controls.register_client(ANNA, [uri], name="Another")
    fields = {**connection_form(another, "second"), "client_id": registered["client_id"]}
    assert connected.submit_form("/connections", **fields).status_code == 303
    assert connected.services.store.connections.get("second").client_id == another["client_id"]


def test_a_client_can_be_chosen_from_the_list_while_the_box_is_empty(
    connected: Visitor, registered: dict[str, Any]
) -> None:
    page = connected.get(f"{NEW_CONNECTION_PATH}?preset=crm-read-leads&client=new").text
    assert " required" not in page.split(BOX, 1)[1].split(">", 1)[0]
    fields = {**paste(registered, ""), "credentials": "", "client_id": registered["client_id"]}
    assert connected.submit_form("/connections", **fields).status_code == 303


@pytest.mark.parametrize("path", ["/connections", "/clients"])
def test_a_network_failure_requires_no_second_paste(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator, path: str
) -> None:
    zoho_simulator.controls.inject_fault("data-center-down", endpoint="oauth/v2/token", times=9)
    form = {**connection_form(registered), "has_common_secret": "yes"}
    failed = visitor.submit_form(path, **form)
    assert failed.status_code == 422
    assert "you don’t need to paste them again" in failed.text
    assert registered["secrets"]["eu"] not in failed.text
    assert re.search(r'name="has_common_secret" value="yes" checked', failed.text)

    zoho_simulator.controls.clear_faults()
    zoho_simulator.controls.advance(600)
    fields = {**connection_form(registered), "credentials": "", "kept": kept(failed.text)}
    assert visitor.submit_form(path, **fields).status_code == 303
    assert visitor.services.store.clients.get(registered["client_id"]).secret_for("eu")

    again = {**fields, "name": "third"}
    assert visitor.submit_form(path, **again).status_code == 422, "it was kept until it succeeded"


def test_a_paste_of_one_browser_is_not_kept_for_another(
    visitor: Visitor, anonymous: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.inject_fault("data-center-down", endpoint="oauth/v2/token", times=9)
    page = visitor.submit_form("/connections", **connection_form(registered)).text
    zoho_simulator.controls.clear_faults()
    anonymous.sign_in()
    fields = {**connection_form(registered), "credentials": "", "kept": kept(page)}
    assert (
        "No client ID or secret was pasted" in anonymous.submit_form("/connections", **fields).text
    )


def test_a_new_secret_is_offered_on_the_page_that_adds_clients(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    new = zoho_simulator.controls.rotate_secret(registered["client_id"])
    offered = connected.submit_form("/clients", **paste(registered, new))
    assert "Use the new secret" in offered.text
    fields = {"credentials": "", "kept": kept(offered.text), "location": "eu", "replace": "yes"}
    assert connected.submit_form("/clients", **fields).status_code == 303
    assert stored_secret(connected, registered) == new


def form_id(page: str) -> str:
    found = re.search(r'name="paste_form" value="([^"]+)"', page)
    assert found
    return found[1]


def offered_form(
    connected: Visitor, registered: dict[str, Any], new: str, name: str = "second"
) -> dict[str, str]:
    """A tab with the offer to use the new secret, and the fields that accepting it sends."""
    blank = connected.get(f"{NEW_CONNECTION_PATH}?preset=crm-read-leads&client=new").text
    fields = {**paste(registered, new, name), "paste_form": form_id(blank)}
    page = connected.submit_form("/connections", **fields).text
    assert "Use the new secret" in page
    assert form_id(page) == fields["paste_form"]
    return {**fields, "credentials": "", "kept": kept(page), "replace": "yes"}


def test_a_failed_paste_in_another_tab_keeps_the_offer_of_the_first(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    new = zoho_simulator.controls.rotate_secret(registered["client_id"])
    first = offered_form(connected, registered, new)
    second = {**paste(registered, WRONG, "third"), "paste_form": "another-tab"}
    assert connected.submit_form("/connections", **second).status_code == 422
    assert connected.submit_form("/connections", **first).status_code == 303
    assert stored_secret(connected, registered) == new


def test_unusable_text_in_the_box_does_not_discard_the_kept_secret(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    new = zoho_simulator.controls.rotate_secret(registered["client_id"])
    offered = offered_form(connected, registered, new)
    for junk in ("x y z", WRONG):
        page = connected.submit_form("/connections", **{**offered, "credentials": junk})
        assert page.status_code == 422
        assert "Use the new secret" in page.text
    assert connected.submit_form("/connections", **offered).status_code == 303
    assert stored_secret(connected, registered) == new


def test_a_session_keeps_the_pastes_of_four_forms(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    new = zoho_simulator.controls.rotate_secret(registered["client_id"])
    forms = [offered_form(connected, registered, new, f"n{number}") for number in range(5)]
    assert connected.submit_form("/connections", **forms[0]).status_code == 422
    assert connected.submit_form("/connections", **forms[1]).status_code == 303


def test_an_accepted_secret_is_reported_as_stored_if_the_name_is_taken(
    connected: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    new = zoho_simulator.controls.rotate_secret(registered["client_id"])
    accepted = offered_form(connected, registered, new, "leads")
    page = connected.submit_form("/connections", **accepted)
    assert page.status_code == 422
    assert "The new client secret is stored." in page.text
    assert stored_secret(connected, registered) == new
