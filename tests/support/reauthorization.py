"""Helpers for tests of re-authorizations."""

from collections.abc import Sequence

from support.diagnosis import detect_rejection
from support.harness import ANNA, Harness
from wizard.model import Client
from wizard.reauthorization.plan import Action, NextAction, ReauthorizationItem


def add_verified_connection(
    harness: Harness, name: str, client: Client, email: str = ANNA, organization: str = ""
) -> None:
    """A connection of `client` with a verified grant."""
    harness.add_connection(name, client)
    authorize(harness, name, email, organization)


def authorize(harness: Harness, name: str, email: str = ANNA, organization: str = "") -> None:
    """One consent, verified, and what follows from it."""
    scope = next(
        (item.additional_scope for item in current_items(harness) if item.connection == name), ()
    )
    begun = harness.services.authorization.begin(name, additional_scope=scope)
    done = harness.complete_authorization(begun, harness.give_consent(begun, email, organization))
    assert done.generation is not None, done.failure
    harness.verify(name, done.generation)
    harness.services.reauthorization.continue_after_verification(name)


def change_password_and_detect(harness: Harness, *names: str, email: str = ANNA) -> None:
    """Change the password and revoke tokens, and let the wizard detect it for `names`."""
    harness.controls.change_password(email)
    detect_rejection(harness, *names)


def current_items(harness: Harness) -> Sequence[ReauthorizationItem]:
    reauthorization = harness.services.reauthorization.current()
    return reauthorization.items if reauthorization else ()


def item_states(harness: Harness) -> dict[str, str]:
    """The state of each connection of the re-authorization."""
    return {item.connection: item.state.value for item in current_items(harness)}


def next_action(harness: Harness) -> NextAction:
    found = harness.services.reauthorization.next_action()
    assert found is not None
    return found


def reauthorize_all(harness: Harness, email: str = ANNA) -> None:
    """Give every requested consent, as one user."""
    while (step := next_action(harness)).action is Action.CONSENT:
        assert step.item is not None
        authorize(harness, step.item.connection, email)
