"""The table of rules and the tests match, row by row."""

import ast
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from support.claims import over_rows

from wizard.simulator.settings import SimulatorSettings, setting_definitions


def _rule_ids() -> dict[str, dict[str, str]]:
    text = files("wizard.simulator").joinpath("rules.toml").read_text("utf-8")
    return tomllib.loads(text)


def _tested_rule_ids() -> set[str]:
    """Return every id that a `rule(…)` mark of a test in this folder names."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "rule":
                found |= {ast.literal_eval(each) for each in node.args}
    return found


def test_every_rule_has_a_test() -> None:
    assert set(_rule_ids()) - _tested_rule_ids() == set()


def test_no_test_claims_a_rule_that_is_not_in_the_table() -> None:
    assert _tested_rule_ids() - set(_rule_ids()) == set()


@over_rows(("rule", "row"), _rule_ids().items())
def test_a_rule_has_a_sentence_a_confidence_and_a_source(rule: str, row: dict[str, str]) -> None:
    assert row["description"].endswith(".")
    assert row["confidence"] in {"sure", "likely", "guess"}
    assert row["source"] != "no source found" or row["confidence"] == "guess"
    assert row.get("setting", "code_lifetime_seconds") in setting_definitions()


def test_every_setting_is_described_and_belongs_to_a_rule() -> None:
    described_names = set(setting_definitions())
    assert set(SimulatorSettings.default().to_dict()) == described_names
    assert described_names - {row.get("setting") for row in _rule_ids().values()} <= {
        # The windows of limits whose rules name the count.
        "code_period_seconds",
        "new_refresh_token_period_seconds",
    }


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="Did you mean “code_lifetime_seconds”"):
        SimulatorSettings.default().with_changes(code_lifetime_second=3)


@over_rows(
    ("name", "value"),
    [("code_lifetime_seconds", "3"), ("code_lifetime_seconds", -1), ("rate_limit_key", "x")],
)
def test_a_setting_of_the_wrong_kind_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        SimulatorSettings.default().with_changes(**{name: value})
