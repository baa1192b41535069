"""The driver's sources contain nothing that types or reads what the user typed."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from wizard import assisted_browser
from wizard.errors import message_table

PACKAGE = Path(assisted_browser.__file__).parent
CONSOLE_PREFIX = "console"
"""Prefixes of files that fill in forms of the API console and take no part in signing in."""
FORBIDDEN_NAMES = {
    "fill",
    "type",
    "press",
    "press_sequentially",
    "insert_text",
    "keyboard",
    "set_input_files",
    "select_option",
    "input_value",
    "inner_html",
    "content",
    "aria_snapshot",
    "screenshot",
    "storage_state",
    "cookies",
    "tracing",
    "record_video_dir",
    "record_har_path",
    "dispatch_event",
}
"""Names of Playwright's API that type, read what was typed, or record pages."""
FORBIDDEN_IN_SCRIPTS = re.compile(
    r"\.value\b|\bvalue\s*=|FormData|\.cookie\b|localStorage|innerHTML|\.click\("
)
ALLOWED_DEVTOOLS = {
    "Fetch.enable",
    "Fetch.failRequest",
    "Fetch.continueRequest",
    "Fetch.requestPaused",
    "Target.getTargetInfo",
}
"""The only DevTools commands: they stop at the redirect URI and identify the main frame, so that
an image or a frame in it ends nothing."""


def nodes() -> Iterator[ast.AST]:
    for file in PACKAGE.glob("*.py"):
        if not file.name.startswith(CONSOLE_PREFIX):
            yield from ast.walk(ast.parse(file.read_text("utf-8")))


def string_constants(nodes: Iterable[ast.AST]) -> set[str]:
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return {each for each in constants if isinstance(each, str)}


def test_no_source_types_or_reads_what_the_user_typed() -> None:
    used = {node.attr for node in nodes() if isinstance(node, ast.Attribute)}
    passed = {node.arg for node in nodes() if isinstance(node, ast.keyword)}
    assert "click" in used, "this looks at the right sources"
    assert (used | passed) & FORBIDDEN_NAMES == set()


def test_code_that_reads_a_field_is_detected() -> None:
    """The check can fail."""
    assert FORBIDDEN_IN_SCRIPTS.search("document.querySelector('#password').value")
    assert not FORBIDDEN_IN_SCRIPTS.search('element.getAttribute("value")')


@pytest.mark.parametrize("script", ["page_snapshot.js", "notice.js"])
def test_no_script_reads_what_the_user_typed(script: str) -> None:
    assert not FORBIDDEN_IN_SCRIPTS.search((PACKAGE / script).read_text("utf-8"))


def test_there_are_no_other_scripts() -> None:
    others = {
        each.name for each in PACKAGE.glob("*.js") if not each.name.startswith(CONSOLE_PREFIX)
    }
    assert others == {"page_snapshot.js", "notice.js"}


def test_scripts_run_only_from_files() -> None:
    """Scripts that run in a page are separate files, where the check above sees them."""
    calls = [node for node in nodes() if isinstance(node, ast.Call)]
    run = [call for call in calls if getattr(call.func, "attr", "") == "evaluate"]
    assert len(run) == 2
    assert not any(
        isinstance(each, ast.Constant | ast.JoinedStr) for call in run for each in call.args
    )


def test_browser_developer_tools_are_used_only_for_the_end_of_a_consent() -> None:
    asked = {
        each
        for each in string_constants(nodes())
        if re.fullmatch(r"[A-Z][A-Za-z]+\.[a-z][A-Za-z]+", each)
    }
    assert asked == ALLOWED_DEVTOOLS


def test_every_handover_has_a_message_and_all_messages_are_used() -> None:
    calls = [node for node in nodes() if isinstance(node, ast.Call)]
    named = [
        call for call in calls if getattr(call.func, "id", "") in ("PromptUser", "ConsentMismatch")
    ]
    codes = {arg.value for call in named for arg in call.args[:1] if isinstance(arg, ast.Constant)}
    sources = [*PACKAGE.glob("*.py"), *(PACKAGE.parent / "cli").rglob("*.py")]
    said = "".join(file.read_text("utf-8") for file in sources)
    assert codes <= set(message_table()["user-prompts"])
    assert [each for each in message_table()["user-prompts"] if f'"{each}"' not in said] == []
