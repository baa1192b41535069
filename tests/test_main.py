"""Ctrl-C from the hooks of `wizard.__main__` to the end of the process.

Before the hooks, while Python itself starts, nothing of ours can handle it.
"""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.shell import PROCESS_TIMEOUT_SECONDS

import wizard
from wizard.diagnosis.rendering import explain_failure
from wizard.model import Failure
from wizard.serialization import explanation_to_json
from wizard.services import utc_now

STOPPED = b"Stopped. Your data is kept.\n"

MODULE = Path(wizard.__file__).with_name("__main__.py")

LAUNCHER = """
import ast, os, signal, sys
path, descriptor, place = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "rb") as file:
    tree = ast.parse(file.read())
tree.body[place:place] = ast.parse("begin()").body
def begin():
    os.write(descriptor, b".")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
sys.argv[:4] = ["zoho-wizard"]
exec(compile(tree, path, "exec"), {"__name__": "__main__", "begin": begin})
"""
"""Runs the module as Python does, but holds back SIGINT until its hooks are set."""


def statements_before_hooks() -> list[ast.stmt]:
    """The statements of the module that run before it can handle Ctrl-C."""
    body = ast.parse(MODULE.read_text("utf-8")).body
    hooks = [i for i, each in enumerate(body) if "sys.unraisablehook =" in ast.unparse(each)]
    return body[: hooks[-1] + 1]


def run(
    directory: Path, arguments: Sequence[str], seconds: float | None
) -> tuple[int, bytes, float]:
    """Run a command; send SIGINT so many seconds after its first lines (None: never).

    Returns exit code, stderr and the seconds from there to the end.
    """
    reader, writer = os.pipe()
    place = str(len(statements_before_hooks()))
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(MODULE), str(writer), place, *arguments],
        env={
            "PATH": os.defpath,
            "HOME": str(directory),
            "PYTHON_KEYRING_BACKEND": os.environ["PYTHON_KEYRING_BACKEND"],
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[writer],
    ) as process:
        os.close(writer)
        assert os.read(reader, 1) == b"."
        begun = time.perf_counter()
        os.close(reader)
        if seconds is not None:
            while time.perf_counter() < begun + seconds:
                pass
            process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PROCESS_TIMEOUT_SECONDS)
        return process.returncode, stderr, time.perf_counter() - begun


@pytest.mark.parametrize("tries", [8, pytest.param(32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("arguments", [["--help"], ["show", "crm"]], ids=" ".join)
def test_ctrl_c_at_any_moment_exits_130_with_one_line_or_comes_too_late(
    tmp_path: Path, arguments: list[str], tries: int
) -> None:
    code, stderr, duration = run(tmp_path, arguments, None)
    outcomes = [run(tmp_path, arguments, duration * i / tries)[:2] for i in range(tries)]
    assert set(outcomes) <= {(code, stderr), (130, STOPPED), (130, stderr + STOPPED)}
    assert outcomes[0] == (130, STOPPED)


CLASS_LAUNCHER = """
import runpy, sys
class Attribute:
    def __set_name__(self, owner, name): raise KeyboardInterrupt
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            type("Class", (), {"attribute": Attribute()})
module, sys.argv[:2] = sys.argv[1], ["zoho-wizard"]
sys.meta_path.insert(0, Finder())
runpy.run_module("wizard", run_name="__main__")
"""
"""Interrupts the creation of a class once, while a module is imported."""


@pytest.mark.parametrize("module", ["wizard.cli", "wizard.services", "sqlalchemy"])
def test_a_ctrl_c_while_a_class_is_created_is_no_internal_error(
    tmp_path: Path, module: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLASS_LAUNCHER, module, "list"],
        cwd=MODULE.parents[1],
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, STOPPED)


def test_with_json_an_early_ctrl_c_prints_the_same_error_document_as_a_late_one(
    tmp_path: Path,
) -> None:
    code, stderr, _ = run(tmp_path, ["show", "crm", "--json"], 0)
    explanation = explain_failure(Failure("interrupted"), utc_now())
    assert code == explanation.exit_code == 130
    assert json.loads(stderr) == {"error": explanation_to_json(explanation)}


def test_json_after_two_dashes_belongs_to_the_other_command(tmp_path: Path) -> None:
    assert run(tmp_path, ["run", "crm", "--", "x", "--json"], 0)[:2] == (130, STOPPED)


def test_the_installed_command_is_the_same_module() -> None:
    project = Path(wizard.__file__).parent.parent / "pyproject.toml"
    assert 'zoho-wizard = "wizard.__main__:main"' in project.read_text("utf-8")


def test_the_first_lines_import_only_what_python_has_loaded_and_define_functions() -> None:
    statements = [ast.unparse(each) for each in statements_before_hooks()[1:]]
    plain = ("import os", "import sys", "TYPE_CHECKING = ", "if TYPE_CHECKING:", "def ", "sys.")
    assert [each for each in statements if not each.startswith(plain)] == []


def test_the_module_imports_nothing_before_it_can_be_interrupted() -> None:
    script = (
        "import sys, os; before = set(sys.modules); import wizard.__main__;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["wizard", "wizard.__main__"]
