"""Every failure code has one kind, and no module lists codes."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from wizard.errors import message_table
from wizard.model import Failure, FailureKind
from wizard.model.failure import (
    class_of,
    codes_of,
    codes_with,
    exit_code_of,
    http_status_of,
    kind_of,
)

PACKAGE = Path(__file__).parents[2] / "wizard"
CODES = codes_of(*FailureKind)


def codes_in(collection: ast.expr) -> list[str]:
    """The failure codes in a literal: its elements, or the keys of a dictionary."""
    if isinstance(collection, ast.Dict):
        elements = [key for key in collection.keys if key is not None]
    elif isinstance(collection, ast.Tuple | ast.List | ast.Set):
        elements = list(collection.elts)
    else:
        return []
    found: list[str] = []
    for each in elements:
        inner = each.value if isinstance(each, ast.Starred) else each
        if isinstance(inner, ast.Constant) and inner.value in CODES:
            found.append(inner.value)
        elif isinstance(each, ast.Starred):
            found += codes_in(inner)
    return found


def lists_of_codes() -> Iterator[str]:
    """Each literal of the package with two or more codes, and its position."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.expr) and len(found := codes_in(node)) > 1:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} lists {', '.join(found)}"


def test_every_code_with_a_message_has_one_kind() -> None:
    counts = Counter(code for kind in FailureKind for code in codes_of(kind))
    assert [code for code, count in counts.items() if count > 1] == []
    assert counts.keys() == {code for code, row in message_table().items() if "title" in row}


def test_no_module_lists_codes() -> None:
    assert list(lists_of_codes()) == []


@pytest.mark.parametrize(
    ("code", "kind", "exit_code", "http_status"),
    [
        ("network-dns", "network", 4, 503),
        ("throttled", "limit", 4, 503),
        ("invalid-client", "client", 1, 409),
        ("refresh-token-rejected", "grant", 3, 409),
        ("scope-missing", "scope", 3, 409),
        ("fewer-scopes", "scope", 1, 409),
        ("store-locked", "store", 5, 500),
        ("unknown-connection", "not_found", 2, 404),
        ("bad-name", "usage", 2, 400),
        ("page-wrong-method", "usage", 2, 405),
        ("nothing-wrong", "information", 0, 409),
        ("no-such-code", "unknown", 1, 409),
    ],
)
def test_a_code_has_a_kind_an_exit_code_and_an_http_status(
    code: str, kind: str, exit_code: int, http_status: int
) -> None:
    assert Failure(code).kind is kind_of(code) is FailureKind(kind)
    assert (exit_code_of(code), http_status_of(code)) == (exit_code, http_status)


def test_classes_and_attributes_name_known_codes() -> None:
    attributes = (
        "retryable",
        "outcome_unknown",
        "ignorable_wait",
        "caused_by_user",
        "zoho_page",
        "unwritable",
    )
    assert {code for each in attributes for code in codes_with(each)} <= CODES
    assert {class_of(code) for code in CODES} - {""} <= message_table()["classes"].keys()
