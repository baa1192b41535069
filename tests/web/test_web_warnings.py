"""Cautions on the pages of a connection that works."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.notification_server import SECRET, Inbox, inbox
from support.web_visitor import Visitor

from wizard.backup import open_backup
from wizard.errors import WizardError
from wizard.simulator.server import Simulator

__all__ = ["inbox"]

PASSPHRASE = "four words make one"


@pytest.fixture
def restored(connected: Visitor, tmp_path: Path) -> Visitor:
    """The connection ``leads``, restored from a backup whose original is still active."""
    file, services = tmp_path / "backup", connected.services
    services.backups.write(file, PASSPHRASE)
    services.tokens.remove_connection("leads")
    backup = open_backup(file, PASSPHRASE, services.zoho.instance)
    services.backups.restore(replace(backup, host="anna on another machine"))
    return connected


@pytest.mark.slow
@pytest.mark.parametrize("page", ["/connections/leads", "/status"])
def test_two_installations_with_one_grant_are_reported_with_the_fix(
    restored: Visitor, page: str
) -> None:
    text = restored.get(page).text
    assert "Two installations may be using the same refresh token" in text
    assert "anna on another machine" in text
    assert "zoho-wizard restore --source-gone" in text
    restored.services.store.shared_grants.forget()
    assert "Two installations" not in restored.get(page).text


@pytest.mark.parametrize("page", ["/", "/status"])
def test_a_failed_notification_is_shown_until_one_arrives(
    connected: Visitor, inbox: Inbox, page: str
) -> None:
    services = connected.services
    services.store.monitoring.set_notify_command(inbox.url)
    inbox.judge = lambda _message: 410
    assert services.monitoring.test()
    text = connected.get(page).text
    assert "The notification couldn’t be sent" in text
    assert "127.0.0.1 returned HTTP 410" in text
    assert "zoho-wizard monitor --test-notify" in text
    assert SECRET not in text
    inbox.judge = lambda _message: 200
    assert services.monitoring.test() is None
    text = connected.get(page).text
    assert "couldn’t be sent" not in text
    assert SECRET not in text


def test_a_refresh_with_a_lost_response_is_an_unknown_outcome_until_it_is_checked(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    services, page = connected.services, "/connections/leads"
    zoho_simulator.controls.change_settings(refresh_token_rotation="reuse-detection")
    services.tokens.access_token("leads", min_ttl=3600)
    services.token_cache.remove("leads")
    zoho_simulator.controls.inject_fault("connection-closed", endpoint="oauth/v2/token")
    with pytest.raises(WizardError):
        services.tokens.access_token("leads")
    text = connected.get(page).text
    assert "Outcome unknown" in text
    assert "The outcome of the last refresh of “leads” is unknown" in text
    assert "zoho-wizard check leads" in text
    services.tokens.access_token("leads")
    assert "unknown" not in connected.get(page).text
