"""Every member of every enumeration has a label wherever it is shown."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from importlib import import_module
from pathlib import Path

import pytest
from flask import Flask
from support.claims import over_rows
from support.harness import ANNA, Harness

from wizard.cli.renderer import CONFIDENCE_MARKS, STEP_MARKS, Renderer
from wizard.comparison.judgment import Outcome
from wizard.connections_file.description import MARKS
from wizard.connections_file.plan import ChangeKind, ConsentReason
from wizard.diagnosis.evidence import Origin, StoredTokenKind, TokenFormat
from wizard.diagnosis.incidents import CauseGroup, CauseLevel, FailureCase
from wizard.errors import describe_outcome, message_table, state_label
from wizard.model import (
    AttemptMode,
    AttemptState,
    Confidence,
    Connection,
    Failure,
    FailureKind,
    GrantState,
    RequestKind,
    SecretState,
    StepState,
    VerificationStep,
)
from wizard.model.states import (
    ActivityKind,
    ConnectionState,
    DestinationState,
    ItemState,
    ShownState,
    Tone,
)
from wizard.oauth import ClientVerdict
from wizard.reauthorization.plan import Action, NextAction, Reauthorization, ReauthorizationItem
from wizard.tokens.budgets import RefreshPurpose
from wizard.web import reauthorization
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens
from wizard.web.view_models import CardTone
from wizard.zoho.products import Credential

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LINE = ReauthorizationItem("crm", ItemState.PENDING, ANNA, "eu", "1000.X", "Zylker", retry_at=NOW)
CASE = FailureCase(Connection("crm", "1000.X", (), "eu"), None, Failure("client-deleted"))


def painted(member: StepState, capsys: pytest.CaptureFixture[str]) -> str:
    Renderer().print_step(VerificationStep("refresh", member, (), NOW))
    return capsys.readouterr().err


def incident_title(member: CauseLevel) -> str:
    """The title of an incident of two connections with this cause."""
    cases = (replace(CASE, failure=Failure("refresh-token-rejected")),) * 2
    return str(message_table()[CauseGroup(member, "", cases).code]["title"])


LABELS: dict[str, tuple[type[Enum], Callable[..., str]]] = {
    "a connection": (ConnectionState, state_label),
    "what goes on with a connection": (ActivityKind, state_label),
    "a step in the terminal": (StepState, lambda each: "".join(STEP_MARKS[each]) + each.value),
    "a cause in the terminal": (
        Confidence,
        lambda each: "".join(CONFIDENCE_MARKS[each]) + each.value,
    ),
    "a connection of a re-authorization": (ItemState, state_label),
    "a destination": (DestinationState, state_label),
    "a change of a plan": (ChangeKind, lambda each: MARKS[each]),
    "what a data center says of a client": (ClientVerdict, describe_outcome),
    "a cause that several connections share": (CauseLevel, incident_title),
}
"""By where members are shown: the enumeration, and how a member is rendered there."""

SHOWN_BY_VALUE = {RequestKind, FailureKind, Outcome}
"""Their values are shown as they are."""

TESTED_BELOW = {Action}

NEVER_SHOWN = {
    ShownState,
    GrantState,
    Tone,
    CardTone,
    Credential,
    RefreshPurpose,
    Origin,
    TokenFormat,
    StoredTokenKind,
    AttemptState,
    AttemptMode,
    SecretState,
    ConsentReason,
}
"""Only decisions based on them are shown, by a diagnosis or the history."""

WITHOUT_LABEL = {CauseLevel.CONNECTION}
"""A cause of one connection is shown by its own diagnosis."""


def enumerations() -> Iterator[type[Enum]]:
    """Every enumeration of the package; the simulated Zoho has its own."""
    for path in (ROOT / "wizard").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        for name in re.findall(
            r"^class (\w+)\((?:(?:Str)?Enum|ShownState)\)", path.read_text("utf-8"), re.M
        ):
            yield getattr(import_module(".".join(parts).removesuffix(".__init__")), name)


def test_every_enumeration_has_an_entry_for_where_it_is_shown() -> None:
    shown = {kind for kind, _ in LABELS.values()} | SHOWN_BY_VALUE | TESTED_BELOW
    assert set(enumerations()) == shown | NEVER_SHOWN


@over_rows("place", LABELS)
def test_every_member_has_a_label_of_its_own(place: str) -> None:
    kind, render = LABELS[place]
    labels = {each: render(each).strip() for each in kind if each not in WITHOUT_LABEL}
    assert all(labels.values()), labels
    assert len(set(labels.values())) == len(labels), labels


@over_rows("member", StepState)
def test_a_step_is_rendered_with_its_state(
    member: StepState, capsys: pytest.CaptureFixture[str]
) -> None:
    assert member.value in painted(member, capsys)


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("connection-states", ConnectionState),
        ("connection-activities", ActivityKind),
        ("reauthorization-items", ItemState),
        ("destination-states", DestinationState),
    ],
)
def test_every_label_of_a_table_belongs_to_a_member(table: str, kind: type[Enum]) -> None:
    assert set(message_table()[table]) == {each.value for each in kind}


# --- Pages that show a step


@pytest.fixture
def app(harness: Harness) -> Flask:
    harness.add_verified_connection()
    return create_app(harness.services, link_tokens=LinkTokens())


def test_the_reauthorization_page_has_a_heading_for_every_action(app: Flask) -> None:
    headings = {}
    for each in Action:
        line = None if each in (Action.PAUSED, Action.DONE) else LINE
        with app.test_request_context("/reauthorize"):
            page = reauthorization._progress_page(
                Reauthorization(NOW, False, (LINE,)), NextAction(each, line, NOW)
            )
        headings[each] = re.findall(r'<h2 id="next">(.+?)</h2>', page)
    assert [each for each, found in headings.items() if len(found) != 1] == []
    assert len({found for (found,) in headings.values()}) == len(headings), headings
