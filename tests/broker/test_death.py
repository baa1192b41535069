"""The end of a grant: seen, confirmed once, never asked again."""

import pytest
from asking import current, failure
from core import ANNA, Core

from wizard.errors import WizardError
from wizard.model import AttemptState, GrantState


def test_a_grant_is_dead_after_one_confirmation_and_never_asked_again(core: Core) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    dead = failure(core)
    assert dead.code == "grant-dead"
    assert dead.zoho_word == "invalid_code"
    assert dead.exchange is not None
    assert current(core).state is GrantState.DEAD
    assert len(core.refreshes()) == 2
    for _ in range(3):
        assert failure(core).code == "grant-dead"
    assert len(core.refreshes()) == 2
    assert core.house.cache.get("crm") is None


def test_an_unknown_client_says_nothing_about_the_grant(core: Core) -> None:
    core.proved()
    core.admin.delete_client(current(core).client_id)
    core.house.cache.drop("crm")
    assert failure(core).code == "invalid-client"
    assert current(core).state is GrantState.PROVED


def test_a_secret_missing_here_is_not_replaced_by_another_data_centres(core: Core) -> None:
    client = core.client()
    with pytest.raises(WizardError) as error:
        core.house.broker.secret(client, "in")
    assert error.value.failure.code == "missing-secret"
    assert error.value.failure.details["data_centre"] == "India"


def test_revoking_ends_the_grant_at_zoho_and_here(core: Core) -> None:
    grant = core.proved()
    core.house.broker.revoke(grant)
    assert core.sandbox.world.grants.refresh_tokens[grant.refresh_token].ended
    assert core.house.cache.get("crm") is None
    assert current(core).state is GrantState.REVOKED
    assert failure(core).code == "grant-revoked"


def test_revoking_what_zoho_has_forgotten_counts_as_revoked(core: Core) -> None:
    grant = core.proved()
    core.admin.change_password(ANNA)
    core.house.broker.revoke(grant)
    assert current(core).state is GrantState.REVOKED


def test_a_token_refused_for_the_wrong_client_is_not_held_against_its_own(core: Core) -> None:
    good, store = core.proved(), core.house.store
    copied = core.connection("copied")
    attempt = core.house.authorization.begin("copied").attempt
    store.advance_attempt(attempt.id, AttemptState.REDIRECTED, AttemptState.CALLBACK_SEEN)
    store.advance_attempt(attempt.id, AttemptState.CALLBACK_SEEN, AttemptState.EXCHANGE_INTENT)
    where = (good.scope, good.location, attempt.id, core.now())
    wrong = store.add_grant("copied", copied.client_id, good.refresh_token, *where)
    with pytest.raises(WizardError):
        core.house.broker.refresh_grant(wrong)
    dead = store.grant("copied", wrong.generation)
    assert dead is not None
    assert dead.state is GrantState.DEAD
    core.house.cache.drop("crm")
    assert core.house.broker.access_token("crm").value
