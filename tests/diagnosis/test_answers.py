"""What a person answers to the question of a finding: it makes likely, it decides nothing alone."""

import json
import re

import pytest
from core import ANNA, Core
from scenes import codes, diagnosed, notice, proved
from shell import Shell
from worlds.deaths import change_password, deactivate, remove_app

from wizard.diagnosis.answers import ASKED, MOMENTS, NO, NONE
from wizard.diagnosis.judge import CLASSES
from wizard.errors import words
from wizard.model import Confidence, Finding

CERTAIN, LIKELY, RULED_OUT = Confidence.CERTAIN, Confidence.LIKELY, Confidence.RULED_OUT
YOU_SAY = "You say that it was so."


def dead(core: Core) -> None:
    proved(core, "crm")
    change_password(core)
    notice(core, "crm")


def told(core: Core, *answers: str, name: str = "crm") -> Finding:
    return core.house.diagnosis.diagnose(name, told=answers)


def offered(found: Finding) -> list[str]:
    return [each.told[-1] for each in found.answers]


def test_every_question_can_be_answered() -> None:
    questions = {*words()["questions"]} - {"code-or-refresh-token-refused"}
    assert questions == {*ASKED}
    named = {code for causes in ASKED.values() for code in causes}
    assert named | {NONE, NO, *MOMENTS} == {*words()["answers"]}
    assert {each.code for each in CLASSES} - {*words()["questions"]} <= {"scope-refused"}


def test_what_is_told_becomes_likely_and_gives_its_remedy(core: Core) -> None:
    dead(core)
    assert offered(diagnosed(core)) == [
        *("password-changed", "user-deactivated", "app-removed"),
        NONE,
    ]
    found = told(core, "user-deactivated")
    assert found.causes[0].code == "user-deactivated"
    assert codes(found, LIKELY) == {"user-deactivated"}
    assert found.causes[0].evidence_for == (YOU_SAY,)
    assert not codes(found, CERTAIN), "a word proves nothing"
    assert found.question == ""
    assert found.answers == ()
    assert "activate the account" in found.remedy
    assert "zoho-wizard reauthorize crm --as EMAIL" in [each.command for each in found.steps]


def test_what_is_denied_comes_last_and_the_next_question_is_asked(core: Core) -> None:
    dead(core)
    found = told(core, NONE)
    denied = [each.code for each in found.causes[-3:]]
    assert {*denied} == {"password-changed", "user-deactivated", "app-removed"}
    assert "You say that it was not so." in found.causes[-1].evidence_against
    assert not codes(found, LIKELY) | codes(found, RULED_OUT), "somebody else may have done it"
    assert "disconnect" in found.question
    assert [each.told for each in found.answers] == [
        (NONE, "token-revoked-elsewhere"),
        (NONE, "refresh-token-evicted"),
    ]
    assert told(core, NONE, "refresh-token-evicted").causes[0].code == "refresh-token-evicted"


def test_the_only_cause_that_is_not_denied_is_likely(core: Core) -> None:
    found = core.house.reader.read("access_denied", (NO,)).finding
    assert codes(found, LIKELY) == {"codes-used-up"}
    assert found.causes[0].evidence_for == ("You say that none of the others was so.",)


def test_no_word_moves_what_the_evidence_has_ruled_out(core: Core) -> None:
    proved(core, "books")
    proved(core, "crm")
    remove_app(core)
    notice(core, "crm")
    found = told(core, "password-changed")
    assert "password-changed" in codes(found, RULED_OUT)
    assert YOU_SAY in next(
        each.evidence_for for each in found.ruled_out if each.code == "password-changed"
    )
    assert not codes(found, LIKELY) & {"password-changed"}


def test_of_two_likely_causes_the_one_that_is_told_leads(core: Core) -> None:
    for name in ("crm", "books", "desk"):
        proved(core, name)
    deactivate(core)
    notice(core, "crm", "books", "desk")
    found = told(core, "user-deactivated")
    assert codes(found, LIKELY) == {"user-deactivated"}
    assert found.causes[0].evidence_for[-1] == YOU_SAY


def test_a_consent_that_failed_is_answered_though_the_grant_before_works(core: Core) -> None:
    proved(core, "crm")
    begun = core.house.authorization.begin("crm")
    core.finish(begun, f"http://x/callback?state={_state(begun.url)}&error=access_denied")
    finding = core.house.diagnosis.step_of("crm").finding
    assert finding is not None
    assert offered(finding) == ["consent-rejected", NO]
    assert told(core, "consent-rejected").causes[0].code == "consent-rejected"


def _state(url: str) -> str:
    found = re.search(r"state=([^&]+)", url)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("moment", "kind", "leading"),
    [
        ("while-connecting", "code-refused", "code-expired"),
        ("on-refresh", "refresh-token-refused", "password-changed"),
    ],
)
def test_a_bare_word_stands_under_two_headings_and_asks_when_it_was_met(
    core: Core, moment: str, kind: str, leading: str
) -> None:
    read = core.house.reader.read
    found = read('{"error":"invalid_code"}').finding
    assert [title for title, _ in found.groups] == [words()["answers"][each] for each in MOMENTS]
    assert [len(causes) for _, causes in found.groups] == [6, 8]
    assert offered(found) == [*MOMENTS]
    narrowed = read('{"error":"invalid_code"}', (moment,)).finding
    assert narrowed.failure_class == kind
    assert [title for title, _ in narrowed.groups] == [""]
    after = read('{"error":"invalid_code"}', (moment, leading)).finding
    assert codes(after, LIKELY) == {leading}


def test_a_masked_text_goes_with_the_answer_only_where_it_is_read_alike(core: Core) -> None:
    grant = proved(core, "crm")
    secret = f"refresh_token={grant.refresh_token}&error=invalid_code"
    reading = core.house.reader.read(secret)
    assert grant.refresh_token not in reading.again
    plain = core.house.reader.read('{"error":"invalid_code"}')
    assert core.house.reader.read(plain.again).finding == plain.finding


def test_the_terminal_prints_the_lines_that_answer(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    stored.admin.change_password(ANNA)
    notice(stored, "crm")
    asked = shell.run("diagnose", "crm").out
    assert "zoho-wizard diagnose crm --told user-deactivated" in asked
    line = "diagnose crm --told none --told refresh-token-evicted"
    assert f"zoho-wizard {line}" in shell.run("diagnose", "crm", "--told", "none").out
    found = json.loads(shell.run(*line.split(), "--json").out)["finding"]
    assert (found["causes"][0]["code"], found["answers"]) == ("refresh-token-evicted", [])


def test_the_lines_for_a_text_repeat_it_unless_it_holds_a_secret(shell: Shell) -> None:
    said = shell.run("diagnose", "{invalid_code}").out
    assert "zoho-wizard diagnose '{invalid_code}' --told while-connecting" in said
    piped = shell.run("diagnose", "-", given="invalid_code").out
    assert "zoho-wizard diagnose - --told on-refresh" in piped
    secret = "1000." + "a1b2c3d4" * 4 + "." + "0f1e2d3c" * 4
    said = shell.run("diagnose", f"invalid_code {secret}").out
    assert "zoho-wizard diagnose --told while-connecting" in said
    assert secret not in said


def test_an_answer_to_nothing_is_said_so(shell: Shell) -> None:
    slip = shell.run("diagnose", "invalid_code", "--told", "pasword-changed")
    assert slip.code == 2
    assert "password-changed" in slip.err
    vain = shell.run("diagnose", "invalid_client", "--told", "password-changed")
    assert "decides nothing" in vain.err
