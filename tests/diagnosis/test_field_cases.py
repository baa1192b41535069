"""Public reports of failures: the tuned cases are explained rightly, and no case shows a secret."""

import re

from support.claims import over_rows
from support.field_cases import FieldCase, load_cases, load_not_yet_right
from support.harness import Harness

from wizard.credential_formats import CLIENT_SECRET, TOKEN

TUNED, HELD_OUT = load_cases("tuned"), load_cases("held_out")
NOT_YET_RIGHT = load_not_yet_right()


@over_rows("case", TUNED)
def test_a_tuned_case_is_explained_rightly_unless_it_is_listed(
    harness: Harness, case: FieldCase
) -> None:
    found = case.shortcomings(harness.services.reader.explain_text(case.paste))
    if case.name in NOT_YET_RIGHT:
        assert found, f"{case.name} is right now: remove it from not_yet_right.toml"
    else:
        assert not found, found


def test_the_list_of_cases_not_yet_right_is_sorted_and_names_tuned_cases() -> None:
    assert list(NOT_YET_RIGHT) == sorted(set(NOT_YET_RIGHT))
    assert set(NOT_YET_RIGHT) <= {each.name for each in TUNED}


@over_rows("case", (*TUNED, *HELD_OUT))
def test_no_secret_of_a_case_is_shown(harness: Harness, case: FieldCase) -> None:
    shown = repr(harness.services.reader.explain_text(case.paste))
    secrets = [*TOKEN.findall(case.paste), *re.findall(rf"\b{CLIENT_SECRET.pattern}\b", case.paste)]
    assert not [each for each in secrets if each in shown]


def test_the_halves_have_no_case_in_common_and_each_says_why_its_cause_is_certain() -> None:
    assert not {each.paste for each in TUNED} & {each.paste for each in HELD_OUT}
    assert all(each.source and each.confirmed and each.causes for each in (*TUNED, *HELD_OUT))
