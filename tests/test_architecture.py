"""The plan of the house, read from its imports: floors, doors, sizes, and the README's commands."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from wizard import cli

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "wizard"

FLOORS = {
    **dict.fromkeys(
        ("model", "errors", "document", "zoho", "settings", "transport", "vault", "home"), 0
    ),
    **dict.fromkeys(("oauth", "resource", "store", "cache"), 1),
    "broker": 2,
    **dict.fromkeys(("validation", "delivery"), 3),
    **dict.fromkeys(("authorization", "diagnosis", "adoption", "backup"), 4),
    **dict.fromkeys(("reauthorization", "watch"), 5),
    "house": 6,
    **dict.fromkeys(("web", "browser", "endpoint"), 7),
    "cli": 8,
    "__main__": 9,
}
"""A room may import rooms of lower floors only."""

GROUND = {
    "model": set(),
    "errors": {"model"},
    "document": {"errors", "model", "transport"},
    "home": {"errors"},
    "zoho": {"errors", "model"},
    "settings": {"errors", "model", "home"},
    "vault": {"errors", "model", "home"},
    "transport": {"errors", "model", "zoho"},
}
"""Within floor 0: who may use whom."""

DOORS = {
    "authlib": {"oauth"},
    "requests": {"transport"},
    "urllib3": {"transport"},
    "truststore": {"transport"},
    "sqlalchemy": {"store"},
    "cryptography": {"vault"},
    "keyring": {"vault"},
    "flask": {"web", "sandbox"},
    "flask_wtf": {"web"},
    "waitress": {"web", "sandbox"},
    "playwright": {"browser", "sandbox"},
    "dotenv": {"delivery"},
    "click": {"cli"},
    "rich": {"cli"},
}
"""A neighbour has one door: the only rooms that import it."""

LONGEST_FILE = 350
LONGEST_FUNCTION = 40


def sources() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """All of a module's tree, to be read and never changed: many claims look at the same files."""
    return tuple(ast.walk(ast.parse(file.read_text("utf-8"))))


def room_of(file: Path) -> str:
    """The room a module belongs to; the package's own face has none."""
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(file: Path, *, loaded: bool = False) -> Iterator[str]:
    """The dotted names that a module imports, wherever in the module.

    With `loaded`, without those that only the type checker reads.
    """
    typing = {
        node
        for branch in nodes(file)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in nodes(file):
        if loaded and node in typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(file: Path) -> set[str]:
    """The other rooms that a module imports."""
    parts = [name.split(".") for name in imports(file) if name.startswith("wizard.")]
    return {each[1] for each in parts} - {room_of(file)}


def name_of(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


@pytest.mark.parametrize("file", sources(), ids=name_of)
def test_a_module_imports_from_lower_floors_only(file: Path) -> None:
    room = room_of(file)
    if room in ("sandbox", "__init__"):
        assert not rooms_imported(file), "the sandbox shares no code with the house"
        return
    floor = FLOORS[room]
    for other in rooms_imported(file):
        if other == "sandbox":
            assert room == "cli", "only the command line starts the sandbox"
        elif floor == 0 and FLOORS[other] == 0:
            assert other in GROUND[room]
        else:
            assert FLOORS[other] < floor, f"{room} (floor {floor}) imports {other}"


@pytest.mark.parametrize("neighbour", DOORS)
def test_a_neighbour_has_one_door(neighbour: str) -> None:
    used_by = {
        room_of(file)
        for file in sources()
        if any(name.split(".")[0] == neighbour for name in imports(file, loaded=True))
    }
    assert used_by <= DOORS[neighbour]


def test_playwright_stays_with_the_person_in_the_sandbox() -> None:
    users = [
        name_of(file)
        for file in sources()
        if room_of(file) == "sandbox" and any("playwright" in name for name in imports(file))
    ]
    assert users
    assert all(user.startswith("sandbox/person/") for user in users)


def test_only_home_and_settings_read_the_environment() -> None:
    readers = {
        room_of(file)
        for file in sources()
        if re.search(r"\bos\.(environ\b(?!\")|getenv)", _code(file)) and room_of(file) != "sandbox"
    }
    # `__main__` hands the environment on to `home` unread: importing `settings` would cost it
    # more time than all else.
    assert readers <= {"home", "settings", "__main__"}


@pytest.mark.parametrize("file", sources(), ids=name_of)
def test_a_file_is_short(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("file", sources(), ids=name_of)
def test_a_function_is_short(file: Path) -> None:
    for node in nodes(file):
        if isinstance(node, ast.FunctionDef):
            assert _own_lines(node) <= LONGEST_FUNCTION, node.name


def commands(
    group: click.Group = cli.zoho_wizard, path: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    context = click.Context(group)
    for name in sorted(group.list_commands(context)):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*each, id=each[0]) for each in commands()]
)
def test_a_command_stands_in_the_readme_and_explains_itself(
    words: str, command: click.Command
) -> None:
    assert f"zoho-wizard {words}" in (ROOT / "README.md").read_text("utf-8")
    assert command.get_short_help_str()
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert all(option.help for option in options)


def test_the_list_of_commands_repeats_each_command_s_own_first_sentence() -> None:
    context = click.Context(cli.zoho_wizard)
    for section in cli.Commands.sections.values():
        for name, entry in section.items():
            command = cli.zoho_wizard.get_command(context, name)
            assert command is not None
            assert entry.help == command.get_short_help_str(limit=200), name


def test_help_and_version_load_no_library_but_click() -> None:
    for option in ("--help", "--version"):
        words = (
            "import sys; from wizard.__main__ import main; sys.argv[1:] = [sys.argv[1]]; main(); "
            "print(*sorted({each.split('.')[0] for each in sys.modules}), file=sys.stderr)"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", words, option], capture_output=True, text=True, check=True
        ).stderr.split()
        assert "click" in loaded
        assert not set(DOORS) & set(loaded) - {"click"}, option


def test_nothing_names_a_place_of_one_machine() -> None:
    for file in [*sources(), ROOT / "README.md", ROOT / "Makefile"]:
        assert str(ROOT) not in file.read_text("utf-8"), file


def _own_lines(function: ast.FunctionDef) -> int:
    """The lines of a function's body, without its docstring and the functions within it."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    within = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef)]
    nested = [_span(node) for node in within if node is not function]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 - sum(nested)


def _span(node: ast.FunctionDef) -> int:
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return (node.end_lineno or 0) - first + 1


def _code(file: Path) -> str:
    """A module's source without its comments and texts."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)
