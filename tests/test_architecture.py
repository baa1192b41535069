"""Layers and libraries, read from the imports; the commands and what they say of themselves."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from support.claims import over_rows

ROOT = Path(__file__).parent.parent
PACKAGE, TESTS = ROOT / "wizard", ROOT / "tests"

LAYERS = {
    **dict.fromkeys(("tables", "access_tokens"), 0),
    **dict.fromkeys(("model", "errors", "files", "locks", "timefmt", "credential_formats"), 1),
    **dict.fromkeys(("transport", "zoho", "settings", "paths", "serialization"), 2),
    **dict.fromkeys(("fastpath", "connection_details"), 3),
    "vault": 4,
    **dict.fromkeys(("oauth", "product_api", "store"), 5),
    "tokens": 6,
    **dict.fromkeys(("clients", "code_samples"), 7),
    **dict.fromkeys(("verification", "delivery", "client_files"), 8),
    **dict.fromkeys(("authorization", "diagnosis", "importing", "backup"), 9),
    **dict.fromkeys(("reauthorization", "monitoring", "comparison", "takeover"), 10),
    "connections_file": 11,
    "services": 12,
    **dict.fromkeys(("web", "assisted_browser", "local_api"), 13),
    "cli": 14,
    "__main__": 15,
}
"""A package imports from lower layers only."""

SIDEWAYS_IMPORTS = {
    "model": {"credential_formats"},
    "errors": {"model", "timefmt"},
    "locks": {"errors", "model"},
    "serialization": {"transport"},
    "settings": {"paths"},
    "transport": {"zoho"},
}
"""Within the two lowest layers: which package may import which."""

ALLOWED_IMPORTERS = {
    "authlib": {"oauth"},
    "requests": {"transport"},
    "urllib3": {"transport"},
    "truststore": {"transport"},
    "sqlalchemy": {"store"},
    "psycopg": {"fastpath", "store"},
    "cryptography": {"fastpath", "simulator", "vault"},
    "keyring": {"vault"},
    "filelock": {"locks"},
    "fcntl": {"locks"},
    "flask": {"web", "simulator"},
    "flask_wtf": {"web"},
    "waitress": {"web", "simulator"},
    "playwright": {"assisted_browser", "simulator"},
    "dotenv": {"delivery"},
    "click": {"cli"},
    "rich": {"cli"},
}
"""The only packages that import a library."""


FOLDERS_OF_WHOLE_STORIES = {"journeys", "security"}
"""User journeys in a browser, and attacks on any part."""

FILES_OF_WHOLE_PACKAGE = {
    "architecture",
    "documentation",
    "enumerations",
    "messages",
    "sabotage",
    "soak",
    "support",
}
"""Claims about every module, about the documentation, and about the tests themselves."""

TESTED_THROUGH_OTHERS = {"__init__", "connection_details", "errors", "serialization", "tables"}
"""Modules and packages without tests of their own: those of their callers fail with them."""


def sources() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    """The package of `wizard` that a module belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@cache
def imports(path: Path, *, at_runtime: bool = False) -> tuple[str, ...]:
    """The dotted names that a module imports, wherever in the module.

    With `at_runtime`, without those that only the type checker reads.
    """
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    typing = {
        node
        for branch in nodes
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    names: list[str] = []
    for node in nodes:
        if at_runtime and node in typing:
            continue
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def imported_packages(path: Path) -> set[str]:
    """The other packages that a module imports."""
    parts = [name.split(".") for name in imports(path) if name.startswith("wizard.")]
    return {each[1] for each in parts} - {package_of(path)}


def relative_name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def upward_imports() -> Iterator[str]:
    """Each import that doesn't go down the layers."""
    for path in sources():
        package = package_of(path)
        for other in sorted(imported_packages(path)):
            if package in ("simulator", "__init__"):
                yield f"{relative_name(path)} imports {other}; it shares no code with the rest"
            elif other == "simulator":
                if package != "cli":
                    yield f"{relative_name(path)} imports the simulator; only cli starts it"
            elif LAYERS[other] >= LAYERS[package] and other not in SIDEWAYS_IMPORTS.get(
                package, set()
            ):
                yield f"{relative_name(path)} (layer {LAYERS[package]}) imports {other}"


def layers_figure() -> str:
    """The layers in `docs/architecture.md`, highest first."""
    rows = [
        f"{layer:2}  " + "  ".join(name for name, its in LAYERS.items() if its == layer)
        for layer in sorted(set(LAYERS.values()), reverse=True)
    ]
    return "\n".join(["```text", *rows, "```"])


def test_every_module_imports_from_lower_layers_only() -> None:
    assert list(upward_imports()) == []


def test_every_package_has_a_layer() -> None:
    assert {package_of(path) for path in sources()} == LAYERS.keys() | {"simulator", "__init__"}


def test_the_figure_in_the_documentation_shows_the_layers() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = text.partition("<!-- layers:begin -->")[2].partition("<!-- layers:end -->")[0]
    assert shown.strip() == layers_figure()


def test_the_tests_of_a_package_are_in_its_folder_and_those_of_a_module_in_its_file() -> None:
    folders = {each.name for each in TESTS.iterdir() if any(each.glob("test_*.py"))}
    files = {
        "__main__" if name == "main" else name
        for name in (each.stem.removeprefix("test_") for each in TESTS.glob("test_*.py"))
    }
    packages = {each.parent.name for each in PACKAGE.glob("*/__init__.py")}
    modules = {each.stem for each in PACKAGE.glob("*.py")}
    assert folders - packages == FOLDERS_OF_WHOLE_STORIES
    assert files - modules == FILES_OF_WHOLE_PACKAGE
    assert packages - folders == TESTED_THROUGH_OTHERS & packages
    assert modules - files == TESTED_THROUGH_OTHERS & modules


def is_defined(dotted_name: str) -> bool:
    """Whether `wizard` has a module of this name, or a module that defines its last part."""
    module, _, last = dotted_name.rpartition(".")
    path, parent = (PACKAGE / name.replace(".", "/") for name in (dotted_name, module))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    file = parent / "__init__.py" if parent.is_dir() else parent.with_suffix(".py")
    code = file.read_text("utf-8") if file.exists() else ""
    return re.search(rf"^(?:class |def )?{last}\b", code, re.MULTILINE) is not None


def test_every_name_in_the_documentation_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    words = set(re.findall(r"\.?\w[\w./-]*[\w/]", text))  # diagrams have no quotation marks
    paths = {each for each in words if re.search(r"^(wizard|tests)/|\.(py|toml|md|sql)$", each)}
    modules = {each for each in words - paths if re.match(rf"({'|'.join(LAYERS)})\.", each)}
    names = set(re.findall(r"`([A-Za-z_]\w+)`", text))
    source = "\n".join(path.read_text("utf-8") for path in sources())
    assert min(len(paths), len(modules), len(names)) > 20
    assert [each for each in sorted(paths) if not (ROOT / each).exists()] == []
    assert [each for each in sorted(modules) if not is_defined(each)] == []
    assert [each for each in sorted(names) if not re.search(rf"\b{each}\b", source)] == []


@over_rows("library", ALLOWED_IMPORTERS)
def test_only_its_own_package_imports_a_library(library: str) -> None:
    used_by = {
        package_of(file)
        for file in sources()
        if any(name.split(".")[0] == library for name in imports(file, at_runtime=True))
    }
    assert used_by <= ALLOWED_IMPORTERS[library]


def test_only_the_simulated_user_in_the_simulator_imports_playwright() -> None:
    users = [
        relative_name(file)
        for file in sources()
        if package_of(file) == "simulator" and any("playwright" in name for name in imports(file))
    ]
    assert users == ["simulator/simulated_user.py"]


def test_only_paths_and_settings_read_the_environment() -> None:
    reading = re.compile(r"\bos\.(environ\b(?!\")|getenv)")
    readers = {
        package_of(file)
        for file in sources()
        if package_of(file) != "simulator" and is_in_code(reading, file)
    }
    # `__main__` passes the environment on to `paths` unread: importing `settings` would be slow.
    # `access_tokens` is part of a user's program.
    assert readers <= {"paths", "settings", "__main__", "access_tokens"}


def test_only_files_creates_private_files() -> None:
    """Modes, exclusive creation and replacement are easily forgotten elsewhere."""
    by_hand = re.compile(
        r"\b(O_CREAT|O_EXCL|mkstemp|NamedTemporaryFile|fchmod|fchown|0o600|0o700|384|448)\b"
    )
    found = {
        relative_name(file)
        for file in sources()
        if package_of(file) != "simulator" and is_in_code(by_hand, file)
    }
    # filelock creates the file of a lock, and binding creates a socket.
    assert found == {"files.py", "locks.py", "local_api/__init__.py"}


def test_help_version_and_completion_load_no_library_but_click() -> None:
    completing = {"_ZOHO_WIZARD_COMPLETE": "bash_complete", "COMP_WORDS": "zoho-wizard l"}
    for option, environment in {"--help": {}, "--version": {}, "": completing}.items():
        words = (
            "import atexit, sys; from wizard.__main__ import main; atexit.register(lambda: print("
            "*sorted({each.split('.')[0] for each in sys.modules}), file=sys.stderr)); main()"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", words, option],
            env={**os.environ, **environment, "COMP_CWORD": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stderr.split()
        assert "click" in loaded
        assert not set(ALLOWED_IMPORTERS) & set(loaded) - {"click"}, option


def test_nothing_of_postgresql_is_loaded_with_the_local_store() -> None:
    words = "import sys, wizard.services, wizard.store.sqlite; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [each for each in loaded if "postgresql" in each or "psycopg" in each] == []


def test_no_file_contains_a_path_of_one_machine() -> None:
    for file in [*sources(), ROOT / "README.md", ROOT / "Makefile"]:
        assert str(ROOT) not in file.read_text("utf-8"), file


def is_in_code(pattern: re.Pattern[str], path: Path) -> bool:
    """Whether a module's source matches, without its comments and strings."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return pattern.search(ast.unparse(tree)) is not None
