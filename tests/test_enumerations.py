"""Every member of every enumeration has its words, wherever a member of it is shown."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from importlib import import_module
from pathlib import Path

import pytest
from core import ANNA, Core
from flask import Flask

from wizard.broker import Need
from wizard.cli.connections import STATE_WORDS
from wizard.cli.deliver import CONDITION_WORDS
from wizard.cli.painter import CONFIDENCES, Painter
from wizard.cli.painter import SHAPES as RUNG_SHAPES
from wizard.cli.proofs import state_of
from wizard.delivery import Condition
from wizard.diagnosis import Step as Stand
from wizard.diagnosis import StepCode
from wizard.diagnosis.evidence import Holder, Met, Shape
from wizard.diagnosis.patterns import Case, Group, Reach
from wizard.errors import outcome, words
from wizard.model import (
    AskKind,
    AttemptState,
    Confidence,
    Connection,
    Failure,
    GrantState,
    Mode,
    Rung,
    RungState,
    SecretState,
)
from wizard.oauth import ClientVerdict
from wizard.reauthorization import Line, LineState, Next, Repair, Step
from wizard.web import LaunchTokens, connection_page, create_app, destinations, presenter, repair

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LINE = Line("crm", LineState.PENDING, ANNA, "eu", "1000.X", "Zylker", again_at=NOW)
CASE = Case(Connection("crm", "1000.X", (), "eu"), None, Failure("client-deleted"))


def painted(member: RungState, capsys: pytest.CaptureFixture[str]) -> str:
    Painter().rung(Rung("refresh", member, {}, NOW))
    return capsys.readouterr().err


def of_trouble(member: Reach) -> str:
    """The words for what two connections of one cause have in common."""
    cases = (replace(CASE, failure=Failure("grant-dead")),) * 2
    return str(words()[Group(member, "", cases).code]["title"])


WORDS: dict[str, tuple[type[Enum], Callable[..., str]]] = {
    "a grant in the terminal": (GrantState, lambda each: STATE_WORDS[each]),
    "a grant on the pages": (GrantState, lambda each: presenter.GRANT_STATUS[each].word),
    "a rung in the terminal": (RungState, lambda each: "".join(RUNG_SHAPES[each]) + each.value),
    "a cause in the terminal": (Confidence, lambda each: "".join(CONFIDENCES[each]) + each.value),
    "a repaired connection in the terminal": (
        LineState,
        lambda each: state_of(replace(LINE, state=each), NOW),
    ),
    "a repaired connection on the pages": (LineState, lambda each: repair.STATUSES[each].word),
    "a destination in the terminal": (Condition, lambda each: CONDITION_WORDS[each]),
    "a destination on the pages": (Condition, lambda each: destinations.STATUSES[each].word),
    "what a data center says of a client": (ClientVerdict, outcome),
    "a cause that several connections share": (Reach, of_trouble),
}
"""By where members are shown: the enumeration, and how a member is told there."""

SHOWN_BY_VALUE = {AskKind}
"""Their values are words of their own."""

TESTED_BELOW = {Step, StepCode}

NEVER_SHOWN = {Need, Met, Shape, Holder, AttemptState, Mode, SecretState}
"""What is decided by them is shown, in the words of a finding or of a history."""

WITHOUT_WORDS = {Reach.CONNECTION}
"""What happens to one connection is told by its own finding."""


def enumerations() -> Iterator[type[Enum]]:
    """Every enumeration of the package; the simulated Zoho has its own."""
    for path in (ROOT / "wizard").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        for name in re.findall(r"^class (\w+)\((?:Str)?Enum\)", path.read_text("utf-8"), re.M):
            yield getattr(import_module(".".join(parts).removesuffix(".__init__")), name)


def test_of_every_enumeration_it_is_known_where_it_is_shown() -> None:
    shown = {kind for kind, _ in WORDS.values()} | SHOWN_BY_VALUE | TESTED_BELOW
    assert set(enumerations()) == shown | NEVER_SHOWN


@pytest.mark.parametrize("place", WORDS)
def test_every_member_has_words_of_its_own(place: str) -> None:
    kind, tell = WORDS[place]
    told = {each: tell(each).strip() for each in kind if each not in WITHOUT_WORDS}
    assert all(told.values()), told
    assert len(set(told.values())) == len(told), told


@pytest.mark.parametrize("member", RungState)
def test_a_rung_is_painted_with_its_state(
    member: RungState, capsys: pytest.CaptureFixture[str]
) -> None:
    assert member.value in painted(member, capsys)


def test_every_word_of_a_table_is_for_a_member() -> None:
    extra = set(words()["repair"]) - {each.value for each in LineState}
    assert extra == {"rate-limited"}


# --- Pages that tell a step


@pytest.fixture
def app(core: Core) -> Flask:
    core.proved()
    return create_app(core.house, launch=LaunchTokens())


@pytest.mark.parametrize("step", Step)
def test_the_page_of_a_repair_has_a_heading_for_every_step(app: Flask, step: Step) -> None:
    headings = {}
    for each in Step:
        line = None if each in (Step.PAUSED, Step.DONE) else LINE
        with app.test_request_context("/repair"):
            page = repair._progress(Repair(NOW, False, (LINE,)), Next(each, line, NOW))
        headings[each] = re.findall(r'<h2 id="next">(.+?)</h2>', page)
    assert len(headings[step]) == 1
    others = [found for each, found in headings.items() if each is not step]
    assert headings[step] not in others


@pytest.mark.parametrize("code", StepCode)
def test_the_page_of_a_connection_has_a_word_for_every_step(core: Core, code: StepCode) -> None:
    grant = core.proved()
    states = {each.value: each for each in GrantState}
    of = replace(grant, state=states.get(code.value, GrantState.UNPROVED))
    without = code in (StepCode.AUTHORIZE, StepCode.WAITING, StepCode.EXCHANGING)
    status = connection_page._status(Stand(code, grant=None if without else of), None)
    assert status.word
