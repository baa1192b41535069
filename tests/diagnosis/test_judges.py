"""Decision functions return codes and data; only the last step reads messages."""

import ast
from collections.abc import Iterator
from pathlib import Path

from wizard import diagnosis

PACKAGE = Path(diagnosis.__file__).parent
WITH_MESSAGES = {"rendering.py", "cautions.py"}
"""The last step of a diagnosis, and the texts about a password change."""
WITHOUT_MESSAGES = {"Conflict", "WizardError", "fail"}
"""What a decision function may import from `wizard.errors`."""


def message_imports() -> Iterator[str]:
    """Each name that reads the message table, and the module that imports it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "wizard.errors":
                names = {alias.name for alias in node.names} - WITHOUT_MESSAGES
                yield from (f"{path.name} imports {name}" for name in sorted(names))


def test_only_the_last_step_of_a_diagnosis_reads_the_message_table() -> None:
    found = list(message_imports())
    assert any(each.startswith("rendering.py") for each in found)
    assert [each for each in found if each.split()[0] not in WITH_MESSAGES] == []
