"""The mutations of `make sabotage` still fit the code, and name tests that exist."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from sabotage.mutations import ROOT, TABLES, read_mutations


@cache
def text_of(path: str) -> str:
    return (ROOT / path).read_text()


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's test functions; those in classes as `Class::name`."""
    names = set()
    for node in ast.parse(text_of(path)).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}::{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef)
            }
    return frozenset(name for name in names if "test_" in name)


def exists(node_id: str) -> bool:
    path, _, name = node_id.partition("::")
    return Path(ROOT, path).is_file() and (not name or name.partition("[")[0] in names_in(path))


def test_each_old_text_occurs_exactly_once() -> None:
    found = {each.id: text_of(each.path).count(each.old) for each in read_mutations()}
    assert {name: count for name, count in found.items() if count != 1} == {}


@pytest.mark.slow
def test_each_mutation_changes_code_that_python_can_read() -> None:
    for each in read_mutations():
        assert each.new != each.old
        if each.path.endswith(".py"):
            ast.parse(each.applied_to(text_of(each.path)), each.id)


def test_each_mutation_names_tests_that_exist() -> None:
    missing = [
        (each.id, node_id)
        for each in read_mutations()
        for node_id in each.tests or ("none",)
        if not exists(node_id)
    ]
    assert missing == []


def test_each_mutation_has_an_id_of_its_own_and_removes_something_else() -> None:
    mutations = read_mutations()
    assert len(mutations) >= 150
    for values in (
        (each.id for each in mutations),
        ((each.path, each.old, each.new) for each in mutations),
    ):
        assert [value for value, count in Counter(values).items() if count > 1] == []
    assert len({each.claim for each in mutations}) == len(mutations)
    assert sorted(TABLES.glob("*.toml"))
