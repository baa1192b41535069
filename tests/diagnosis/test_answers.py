"""A user's answers to the question of a diagnosis raise a cause to likely but confirm none."""

import json
import re

import pytest
from support.diagnosis import add_verified_connection, cause_codes, detect_rejection, diagnose
from support.failure_scenarios.refresh_tokens import change_password, deactivate, remove_app
from support.harness import ANNA, Harness
from support.shell import Shell

from wizard.diagnosis.evidence import ANSWER_EVIDENCE_CODES, NO, NONE, ORIGIN_ANSWERS
from wizard.diagnosis.judgment import CLASSES
from wizard.errors import message, message_table
from wizard.model import Confidence, Explanation
from wizard.model.failure import question_causes

CERTAIN, LIKELY, RULED_OUT = Confidence.CONFIRMED, Confidence.LIKELY, Confidence.RULED_OUT
ANSWER_EVIDENCE, DENIAL_EVIDENCE, REMAINDER_EVIDENCE = (
    message("evidence", code) for code in ANSWER_EVIDENCE_CODES
)


def add_rejected_connection(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    change_password(harness)
    detect_rejection(harness, "crm")


def diagnose_with_answers(harness: Harness, *answers: str, name: str = "crm") -> Explanation:
    return harness.services.diagnosis.diagnose(name, answers=answers)


def offered_answers(explanation: Explanation) -> list[str]:
    return [each.answers[-1] for each in explanation.answer_options]


DECIDED_BY_RESPONSE = {
    *("refused-call", "forbidden-call", "error-answer-ignored", "sdk-error", "jwt-expected"),
    "failed-call",
}
"""Classes whose fix is to paste the response or to change the program, so no question helps."""


def test_every_question_can_be_answered() -> None:
    questions = {*message_table()["questions"]} - {"code-or-refresh-token-refused"}
    assert questions == {*question_causes()}
    named = {code for causes in question_causes().values() for code in causes}
    assert named | {NONE, NO, *ORIGIN_ANSWERS} == {*message_table()["answers"]}
    asking = {*message_table()["questions"]}
    assert {each.code for each in CLASSES} - asking <= DECIDED_BY_RESPONSE | {"scope-refused"}


def test_a_confirmed_cause_becomes_likely_and_shows_its_fix(harness: Harness) -> None:
    add_rejected_connection(harness)
    assert offered_answers(diagnose(harness)) == [
        *("password-changed", "user-deactivated", "app-removed"),
        NONE,
    ]
    found = diagnose_with_answers(harness, "user-deactivated")
    assert found.causes[0].code == "user-deactivated"
    assert cause_codes(found, LIKELY) == {"user-deactivated"}
    assert found.causes[0].evidence_for == (ANSWER_EVIDENCE,)
    assert not cause_codes(found, CERTAIN), "an answer confirms nothing"
    assert found.question == ""
    assert found.answer_options == ()
    assert "ask an administrator" in found.fix
    assert "zoho-wizard reauthorize crm --as EMAIL" in [each.command for each in found.next_steps]


def test_a_denied_cause_moves_to_the_end_and_the_next_question_is_asked(harness: Harness) -> None:
    add_rejected_connection(harness)
    found = diagnose_with_answers(harness, NONE)
    denied = [each.code for each in found.causes[-3:]]
    assert {*denied} == {"password-changed", "user-deactivated", "app-removed"}
    assert DENIAL_EVIDENCE in found.causes[-1].evidence_against
    assert not cause_codes(found, LIKELY) | cause_codes(found, RULED_OUT), (
        "someone else may have done it"
    )
    assert "disconnect" in found.question
    assert [each.answers for each in found.answer_options] == [
        (NONE, "token-revoked-elsewhere"),
        (NONE, "refresh-token-evicted"),
    ]
    assert (
        diagnose_with_answers(harness, NONE, "refresh-token-evicted").causes[0].code
        == "refresh-token-evicted"
    )


def test_the_only_cause_not_denied_is_likely(harness: Harness) -> None:
    found = harness.services.reader.explain_text("access_denied", (NO,)).explanation
    assert cause_codes(found, LIKELY) == {"codes-used-up"}
    assert found.causes[0].evidence_for == (REMAINDER_EVIDENCE,)


def test_no_answer_changes_a_cause_that_evidence_ruled_out(harness: Harness) -> None:
    add_verified_connection(harness, "books")
    add_verified_connection(harness, "crm")
    remove_app(harness)
    detect_rejection(harness, "crm")
    found = diagnose_with_answers(harness, "password-changed")
    assert "password-changed" in cause_codes(found, RULED_OUT)
    assert ANSWER_EVIDENCE in next(
        each.evidence_for for each in found.ruled_out if each.code == "password-changed"
    )
    assert not cause_codes(found, LIKELY) & {"password-changed"}


def test_of_two_likely_causes_the_confirmed_one_comes_first(harness: Harness) -> None:
    for name in ("crm", "books", "desk"):
        add_verified_connection(harness, name)
    deactivate(harness)
    detect_rejection(harness, "crm", "books", "desk")
    found = diagnose_with_answers(harness, "user-deactivated")
    assert cause_codes(found, LIKELY) == {"user-deactivated"}
    assert found.causes[0].evidence_for[-1] == ANSWER_EVIDENCE


def test_a_failed_consent_can_be_answered_although_the_previous_grant_works(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "crm")
    begun = harness.services.authorization.begin("crm")
    harness.complete_authorization(
        begun, f"http://x/callback?state={_state(begun.url)}&error=access_denied"
    )
    finding = harness.services.diagnosis.status_of("crm").explanation
    assert finding is not None
    assert offered_answers(finding) == ["consent-rejected", NO]
    assert diagnose_with_answers(harness, "consent-rejected").causes[0].code == "consent-rejected"


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
def test_a_code_without_context_has_two_headings_and_a_question_where_it_occurred(
    harness: Harness, moment: str, kind: str, leading: str
) -> None:
    read = harness.services.reader.explain_text
    found = read('{"error":"invalid_code"}').explanation
    assert [title for title, _ in found.groups] == [
        message_table()["answers"][each] for each in ORIGIN_ANSWERS
    ]
    assert [len(causes) for _, causes in found.groups] == [6, 11]
    assert offered_answers(found) == [*ORIGIN_ANSWERS]
    narrowed = read('{"error":"invalid_code"}', (moment,)).explanation
    assert narrowed.failure_class == kind
    assert [title for title, _ in narrowed.groups] == [""]
    after = read('{"error":"invalid_code"}', (moment, leading)).explanation
    assert cause_codes(after, LIKELY) == {leading}


def test_a_masked_text_is_sent_with_an_answer_only_if_it_parses_the_same(harness: Harness) -> None:
    grant = add_verified_connection(harness, "crm")
    secret = f"refresh_token={grant.refresh_token}&error=invalid_code"
    reading = harness.services.reader.explain_text(secret)
    assert grant.refresh_token not in reading.repeat_text
    plain = harness.services.reader.explain_text('{"error":"invalid_code"}')
    assert harness.services.reader.explain_text(plain.repeat_text).explanation == plain.explanation


def test_the_terminal_prints_the_commands_that_answer(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.change_password(ANNA)
    detect_rejection(shell_harness, "crm")
    asked = shell.run("diagnose", "crm").stdout
    assert "zoho-wizard diagnose crm --answer user-deactivated" in asked
    line = "diagnose crm --answer none --answer refresh-token-evicted"
    assert f"zoho-wizard {line}" in shell.run("diagnose", "crm", "--answer", "none").stdout
    found = json.loads(shell.run(*line.split(), "--json").stdout)["explanation"]
    assert (found["causes"][0]["code"], found["answer_options"]) == ("refresh-token-evicted", [])


def test_the_commands_for_a_text_repeat_it_or_ask_for_it_again_if_it_contains_a_secret(
    shell: Shell,
) -> None:
    said = shell.run("diagnose", "{invalid_code}").stdout
    assert "zoho-wizard diagnose '{invalid_code}' --answer while-connecting" in said
    piped = shell.run("diagnose", "-", stdin_text="invalid_code").stdout
    assert "zoho-wizard diagnose - --answer on-refresh" in piped
    secret = "1000." + "a1b2c3d4" * 4 + "." + "0f1e2d3c" * 4
    said = shell.run("diagnose", f"invalid_code {secret}").stdout
    assert "zoho-wizard diagnose - --answer while-connecting" in said
    assert secret not in said


def test_an_answer_to_no_question_is_reported(shell: Shell) -> None:
    slip = shell.run("diagnose", "invalid_code", "--answer", "pasword-changed")
    assert slip.exit_code == 2
    assert "password-changed" in slip.stderr
    vain = shell.run("diagnose", "invalid_client", "--answer", "password-changed")
    assert "didn’t change the diagnosis" in vain.stderr
