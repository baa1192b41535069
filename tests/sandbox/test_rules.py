"""The table of rules and the tests belong together, row by row."""

import ast
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from wizard.sandbox.settings import Settings, described


def _table() -> dict[str, dict[str, str]]:
    text = files("wizard.sandbox").joinpath("rules.toml").read_text("utf-8")
    return tomllib.loads(text)


def _claimed() -> set[str]:
    """Return every id that a `rule(…)` mark of a test in this folder names."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "rule":
                found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return found


def test_every_rule_has_a_test() -> None:
    assert set(_table()) - _claimed() == set()


def test_no_test_claims_a_rule_that_is_not_in_the_table() -> None:
    assert _claimed() - set(_table()) == set()


@pytest.mark.parametrize(("rule", "row"), _table().items())
def test_a_rule_is_one_sentence_with_its_confidence(rule: str, row: dict[str, str]) -> None:
    assert row["says"].endswith(".")
    assert row["confidence"] in {"sure", "likely", "guess"}
    assert row.get("setting", "code_life") in described()


def test_every_setting_is_described_and_belongs_to_a_rule() -> None:
    described_names = set(described())
    assert set(Settings.default().to_dict()) == described_names
    assert described_names - {row.get("setting") for row in _table().values()} <= {
        # The windows of limits whose rules name the count.
        "codes_period",
        "refresh_tokens_created_period",
    }


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean code_life"):
        Settings.default().changed(code_live=3)


@pytest.mark.parametrize(
    ("name", "value"), [("code_life", "3"), ("code_life", -1), ("throttle_key", "x")]
)
def test_a_setting_of_the_wrong_kind_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Settings.default().changed(**{name: value})
