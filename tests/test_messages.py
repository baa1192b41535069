"""Every failure has a message, every message is used, and what it offers exists."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
from support.claims import over_rows
from support.harness import Harness

from wizard import cli
from wizard.diagnosis.evidence import StoredTokenKind, TokenFormat
from wizard.errors import explain, fill, message_table, placeholders
from wizard.model import Failure
from wizard.model.failure import codes_with
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens
from wizard.zoho import error_codes

PACKAGE = Path(__file__).parent.parent / "wizard"
SOURCES = [path for path in PACKAGE.rglob("*.py") if "simulator" not in path.parts]
MESSAGES = {code: row for code, row in message_table().items() if "title" in row}
LOOKUP_STEPS = message_table()["lookup-steps"]
SENTENCE_TABLES = {
    code: row
    for code, row in message_table().items()
    if "title" not in row and code not in ("lookup-steps", "client-steps", "unknown-values")
}
"""Tables of single sentences: the names of steps, the lines of the history."""
RAISING_FUNCTIONS = re.compile(r"fail|_?failed|_?malformed|Failure|WizardError|Conflict")
KEBAB = re.compile(r"[a-z]+(-[a-z]+)+")


def trees() -> Iterator[ast.AST]:
    for path in SOURCES:
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


@cache
def raised_codes() -> set[str]:
    """The codes that the sources raise by name, and those for Zoho's own error codes."""
    found: set[str] = set()
    for node in trees():
        if not isinstance(node, ast.Call):
            continue
        name = str(getattr(node.func, "id", None) or getattr(node.func, "attr", ""))
        named = [each.value for each in node.keywords if each.arg == "code"]
        first = node.args[:1] if RAISING_FUNCTIONS.fullmatch(name) else []
        found |= {
            value.value
            for value in (*first, *named)
            if isinstance(value, ast.Constant) and isinstance(value.value, str)
        }
    pastes = PACKAGE / "diagnosis" / "pasted_text" / "recognized_texts.toml"
    read = tomllib.loads(pastes.read_text("utf-8"))
    read.pop("rate_limit")
    languages = tomllib.loads(pastes.with_name("languages.toml").read_text("utf-8")).values()
    foreign = (table for language in languages for table in language.values())
    tables = (*error_codes().values(), *read.values(), *foreign)
    meanings = {str(code) for table in tables for code in table.values()}
    listed = {*codes_with("zoho_page"), *codes_with("better_key_storage")}
    return (found | meanings | listed) - {""}


def mentioned_codes() -> set[str]:
    """Every string in the sources that could be a code."""
    constants = (node.value for node in trees() if isinstance(node, ast.Constant))
    return {each for each in constants if isinstance(each, str) and KEBAB.fullmatch(each)}


def message_texts(message: Mapping[str, Any]) -> Iterator[str]:
    yield from (message["title"], message["cause"], message["fix"])
    for step in message.get("next_steps", ()):
        yield from step.values()


def shown_texts(path: Path) -> Iterator[str]:
    """The texts in a module except docstrings and the help of options."""
    hidden: set[ast.AST] = set()
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("help", "epilog"):
            hidden |= {*ast.walk(node.value)}
        if isinstance(node, ast.Expr):
            hidden.add(node.value)
        if isinstance(node, ast.JoinedStr) and node not in hidden:
            parts = (each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
            yield "".join(map(str, parts))
            hidden |= {*ast.walk(node)}
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in hidden:
            yield node.value


def steps() -> list[tuple[str, dict[str, str]]]:
    known = [(code, step) for code, row in MESSAGES.items() for step in row.get("next_steps", ())]
    return [*known, *LOOKUP_STEPS.items(), *message_table()["client-steps"].items()]


def test_every_failure_that_can_be_raised_has_a_message() -> None:
    assert raised_codes() - MESSAGES.keys() == set()


def test_every_message_explains_something_that_can_happen() -> None:
    assert MESSAGES.keys() - raised_codes() - mentioned_codes() == set()


@over_rows("path", [each for each in (PACKAGE / "cli").rglob("*.py") if each.name != "__init__.py"])
def test_no_sentence_of_the_command_line_is_in_its_code(path: Path) -> None:
    sentence = re.compile(r"(?!#|<)\s*(\S+ ){2,}\S+[.:?!]")
    assert [text for text in shown_texts(path) if sentence.fullmatch(text)] == []


@over_rows("code", MESSAGES)
def test_a_message_says_what_happened_why_and_what_to_do(code: str) -> None:
    row = MESSAGES[code]
    assert set(row) <= {"title", "cause", "fix", "next_steps"}
    assert not row["title"].endswith("."), "a title is no sentence"
    assert len(explain(Failure(code)).title) <= 90
    for part in ("cause", "fix"):
        assert re.search(r"[.)}\]]$", row[part]), f"{part} ends as sentences do"
    for text in message_texts(row):
        assert not re.search(
            r"\b(creds|perms|auth_url|callback_url|please|oops|sorry)\b", text, re.I
        )
        assert "  " not in text


def test_every_placeholder_has_a_source() -> None:
    known: set[object] = {"code", "zoho_error", "retry_at"}
    for node in trees():
        if isinstance(node, ast.keyword) and node.arg:
            known.add(node.arg)
        if isinstance(node, ast.Dict):
            known |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            known.add(node.slice.value)
    wanted = {
        field
        for row in MESSAGES.values()
        for text in message_texts(row)
        for field in placeholders(text)
    }
    wanted |= {
        f for table in SENTENCE_TABLES.values() for t in table.values() for f in placeholders(t)
    }
    assert wanted - known == set()


def test_a_value_that_is_a_code_is_shown_in_words() -> None:
    faults = {
        node.args[2].value
        for node in trees()
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "FormatError"
        and isinstance(node.args[2], ast.Constant)
    }
    assert len(faults) > 5
    assert faults <= message_table()["reasons"].keys()
    assert {*TokenFormat} == message_table()["token-formats"].keys()
    assert {*StoredTokenKind} == message_table()["token-kinds"].keys()
    details = {"reason": "wrong-column-count", "count": "2", "most": "{name}", "name": "crm"}
    assert (
        "2 columns instead of {name}"
        in explain(
            Failure("destination-broken", details={**details, "target": "x", "line": "1"})
        ).cause
    )


def test_each_observation_of_a_verification_has_a_label_and_a_text() -> None:
    table = message_table()
    assert table["evidence-labels"].keys() == table["evidence-texts"].keys()


@over_rows(("code", "step"), steps())
def test_every_command_that_is_offered_exists(code: str, step: dict[str, str]) -> None:
    parts = step.get("command", "").split()
    if not parts or parts[0] != "zoho-wizard":
        others = ["export", "unset", "chmod", "sudo", "pip", "curl", "ssh", "ssh-keygen"]
        assert parts[:1] in ([], *([each] for each in others))
        return
    command: click.Command = cli.zoho_wizard
    remaining_words = parts[1:]
    while isinstance(command, click.Group) and remaining_words:
        found = command.get_command(click.Context(command), remaining_words.pop(0))
        assert found is not None, code
        command = found
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word for word in remaining_words if word.startswith("--")} <= options


def test_every_page_that_is_offered_exists(harness: Harness) -> None:
    routes = create_app(harness.services, link_tokens=LinkTokens()).url_map.bind("localhost:8733")
    for code, step in steps():
        path = re.sub(r"\{\w+\}", "x", step.get("path", "/")).partition("?")[0]
        assert routes.test(path, "GET"), f"{code} offers {path}"


def rendered(values: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The texts of each message and each single sentence, with these values."""
    zoho_error, details = values.get("zoho_error", ""), dict(values)
    found: dict[str, tuple[str, ...]] = {}
    for code in MESSAGES:
        words = explain(Failure(code, zoho_error=zoho_error, details=details))
        found[code] = (words.title, words.cause, words.fix)
    for table, row in SENTENCE_TABLES.items():
        found |= {f"{table}.{code}": (fill(text, values),) for code, text in row.items()}
    return found


ALL_PLACEHOLDERS = {
    name
    for row in message_table().values()
    for part in row.values()
    if isinstance(part, str)
    for name in placeholders(part)
}
ALL_VALUES = {name: f"value-of-{name}" for name in ALL_PLACEHOLDERS}
FLAWS = re.compile(
    r"[{}]|\[\[|\]\]|\|\||(?<=\S)  |\s[.,;:!?](\s|$)|[.,;:!?][.,;:]|(^|[.!?] )[.!?]"
    r"|“”|``|\(\)|^\W*$"
)
"""What must not be left where a value is missing: a placeholder or its syntax, a double space, a
space before punctuation, an empty sentence, empty quotes."""


NO_VALUES_TEXTS, ALL_VALUES_TEXTS = rendered({}), rendered(ALL_VALUES)


@over_rows(
    ("code", "texts"),
    [*ALL_VALUES_TEXTS.items(), *((code, NO_VALUES_TEXTS[code]) for code in MESSAGES)],
)
def test_a_message_reads_well_with_all_its_values_and_with_none(
    code: str, texts: tuple[str, ...]
) -> None:
    assert [text for text in texts if FLAWS.search(text)] == [], code
    gaps = "".join(texts).count("…")
    assert gaps == "".join(ALL_VALUES_TEXTS[code]).count("…"), "a value without a second form"


def test_an_empty_value_reads_as_an_unknown_one() -> None:
    for blank in ("", " ", "\n"):
        assert rendered(dict.fromkeys(ALL_PLACEHOLDERS, blank)) == NO_VALUES_TEXTS


def test_a_hostile_value_is_shown_as_it_is_and_changes_nothing_else() -> None:
    plain = rendered({name: f"<{name}>" for name in ALL_PLACEHOLDERS})
    for hostile in ("{name}[[x||y]]{0|a|b}", "<script>", "x" * 5000):
        shown = rendered({name: f"<{name}{hostile}>" for name in ALL_PLACEHOLDERS})
        for code, texts in shown.items():
            assert tuple(text.replace(hostile, "") for text in texts) == plain[code]
    control = rendered(dict.fromkeys(ALL_PLACEHOLDERS, "a\x1b[2J\r\x00\u202e\tb"))
    for texts in control.values():
        assert "".join(texts).replace("\n", "").isprintable()


def test_no_two_titles_are_alike() -> None:
    for rows in (NO_VALUES_TEXTS, ALL_VALUES_TEXTS):
        titles = [texts[0].casefold() for code, texts in rows.items() if code in MESSAGES]
        assert [title for title in titles if titles.count(title) > 1] == []


def test_an_unknown_code_is_explained_as_unknown() -> None:
    found = explain(Failure("no-such-code", zoho_error="odd_word"))
    assert "odd_word" in found.cause
    assert "no-such-code" in found.cause


def test_a_step_without_its_value_becomes_the_step_that_finds_it() -> None:
    assert [each.command for each in explain(Failure("no-grant")).next_steps] == [
        "zoho-wizard list"
    ]
    assert explain(Failure("no-grant"), name="crm").next_steps[0].path == "/connections/crm"


def test_a_missing_or_empty_value_gets_the_second_form() -> None:
    text = "Rejected[[ {client}]]. [[It said {reason}.||It said nothing.]]"
    assert fill(text, {"client": "1000.X", "reason": "no"}) == "Rejected 1000.X. It said no."
    assert fill(text, {"client": ""}) == "Rejected. It said nothing."


def test_a_usual_value_has_words_that_start_a_sentence_with_a_capital() -> None:
    assert (
        fill("Ask {email}. {email} knows.", {}) == "Ask the account owner. The account owner knows."
    )
    where = {"data_center": "United States"}
    assert (
        fill("{data_center}, in {data_center}", where) == "The United States, in the United States"
    )


def test_the_number_decides_between_two_plural_forms() -> None:
    text = "[[{count} {count|connection needs|connections need} you||{count||s}]]"
    assert fill(text, {"count": "1"}) == "1 connection needs you"
    assert fill(text, {"count": "0"}) == "0 connections need you"


def test_a_value_is_never_read_as_syntax() -> None:
    text = "[[{first} and {second}]]"
    assert fill(text, {"first": "{second}", "second": "[[x||y]]"}) == "{second} and [[x||y]]"
    found = explain(Failure("callback-error", zoho_error="{name} {0} {}"), name="crm")
    assert "{name} {0} {}" in found.cause


def test_control_characters_of_a_value_are_not_shown() -> None:
    assert fill("{name}!", {"name": "a\x1b[31m\tb"}) == "a [31m b!"


def test_values_in_commands_are_quoted_for_the_shell() -> None:
    details = {"path": "/home/anna/my files", "owner": "0"}
    [step] = explain(Failure("data-directory-foreign-owner", details=details)).next_steps
    assert step.command.endswith(" '/home/anna/my files'")


def test_a_message_file_has_a_header_for_each_code() -> None:
    """`MessageTable` finds a code by it."""
    for file in (PACKAGE / "messages").glob("*.toml"):
        text = file.read_text("utf-8")
        assert [code for code in tomllib.loads(text) if f"[{code}" not in text] == [], file
