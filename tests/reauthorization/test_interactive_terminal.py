"""A user at a terminal decides about a consent of a different account."""

from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.reauthorization import add_verified_connection, item_states
from support.shell import Shell
from support.terminal import terminal_session


def test_the_grant_of_a_different_account_is_revoked_and_the_right_one_consents(
    shell: Shell, shell_harness: Harness
) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    with terminal_session(shell, "reauthorize", "crm", "--no-browser") as talk:
        talk.give_consent(shell, CARLA, FIRST_ORGANIZATION)
        talk.wait_for_output("A different account approved this")
        talk.wait_for_output("To sign out there")
        talk.wait_for_output(r"\[retry\]")
        talk.send_line("retry")
        talk.give_consent(shell, ANNA)
        talk.wait_for_output("✓ Re-authorized")
    assert [
        grant.state.value for grant in shell_harness.services.store.grants.of_connection("crm")
    ] == [
        "verified",
        "revoked",
        "replaced",
    ]


def test_a_different_account_is_accepted_deliberately(shell: Shell, shell_harness: Harness) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    with terminal_session(shell, "reauthorize", "crm", "--no-browser") as talk:
        talk.give_consent(shell, CARLA, FIRST_ORGANIZATION)
        talk.wait_for_output(r"\[retry\]")
        talk.send_line("accept")
        talk.wait_for_output("✓ Re-authorized")
    grant = shell_harness.services.store.grants.get("crm")
    assert grant is not None
    assert grant.account is not None
    assert grant.account.email == CARLA


def test_several_connections_need_one_confirmation(shell: Shell, shell_harness: Harness) -> None:
    client = shell_harness.register_client()
    for name in ("crm", "leads"):
        add_verified_connection(shell_harness, name, client)
    with terminal_session(shell, "reauthorize", "crm", "leads", "--no-browser") as talk:
        talk.wait_for_output("2 consents in all, 1 sign-in")
        talk.wait_for_output("Re-authorize 2 connections of")
        assert item_states(shell_harness) == {}
        talk.send_line("y")
        talk.wait_for_output(f"Next: 2 consents as {ANNA}")
        talk.give_consent(shell, ANNA)
        talk.give_consent(shell, ANNA)
        talk.wait_for_output("(?s)✓ Re-authorized.*✓ Re-authorized")
