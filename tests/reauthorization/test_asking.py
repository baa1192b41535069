"""The account is not yours: a message goes out, an address comes back."""

import re

import pytest
from core import ANNA, CARLA, PRODUCTION, Core
from repairing import connect, states
from shell import Shell

from wizard.authorization import Begun
from wizard.errors import WizardError
from wizard.model import Mode

URL = re.compile(r"http://127\.0\.0\.1:\d+/\S+/oauth/v2/auth\?\S+")


def forwarded(core: Core) -> Begun:
    connect(core, "crm", core.client())
    core.house.repairs.begin(("crm",))
    return core.house.authorization.begin("crm", Mode.FORWARDED)


def test_a_forwarded_consent_may_be_answered_for_a_day(core: Core) -> None:
    begun = forwarded(core)
    assert states(core) == {"crm": "asked"}
    core.advance(hours=23)
    done = core.house.authorization.complete_forwarded(core.consent(begun))
    assert done.generation == 2


def test_after_a_day_it_is_refused_before_the_code_is_sent(core: Core) -> None:
    begun = forwarded(core)
    core.advance(hours=24)
    before = len(core.exchanges())
    done = core.house.authorization.complete_forwarded(core.consent(begun))
    assert done.failure is not None
    assert done.failure.code == "attempt-expired"
    assert len(core.exchanges()) == before


def test_only_what_was_forwarded_is_answered_so(core: Core) -> None:
    connect(core, "crm", core.client())
    begun = core.house.authorization.begin("crm")
    with pytest.raises(WizardError, match="callback-wrong-browser"):
        core.house.authorization.complete_forwarded(core.consent(begun))
    for text, code in (
        ("http://localhost:8733/callback?code=1", "callback-without-state"),
        ("http://localhost:8733/callback?code=1&state=other", "callback-unknown-state"),
        ("no address", "callback-without-state"),
    ):
        with pytest.raises(WizardError, match=code):
            core.house.authorization.complete_forwarded(text)


def test_a_forwarded_consent_is_not_pushed_out_by_others(core: Core) -> None:
    begun = forwarded(core)
    other = core.client("other")
    for number in range(8):
        if number == 4:
            core.advance(minutes=11)
        core.connection(f"other{number}", other)
        core.house.authorization.begin(f"other{number}")
    assert core.house.authorization.complete_forwarded(core.consent(begun)).generation == 2


def test_the_message_asks_each_person_and_the_answers_repair(shell: Shell, stored: Core) -> None:
    client = stored.client()
    connect(stored, "crm", client)
    connect(stored, "leads", client, CARLA, PRODUCTION)
    asked = shell.run("reauthorize", "crm", "leads", "--ask", "--yes")
    assert asked.code == 0, asked.err
    assert f"Sign in there as {ANNA}" in asked.out
    assert f"Sign in there as {CARLA}" in asked.out
    first, second = URL.findall(asked.out)
    shell.sandbox.admin.advance(3 * 3600)
    admin = shell.sandbox.admin
    answers = [admin.authorize(first, ANNA), admin.authorize(second, CARLA, PRODUCTION)]

    done = shell.run("reauthorize", "--answer", given="\n".join(answers))

    assert done.code == 0, done.err
    assert done.out.count("✓ repaired") == 2
