"""Fixtures and hooks for all tests."""

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from jinja2 import FileSystemBytecodeCache
from support import known_skips
from support.browser import browser, callback, context, new_context, page, person
from support.compiled_statements import share_compiled_statements
from support.fork_server import close_fork_server
from support.harness import harness
from support.shell import shell, shell_harness
from support.storage import database_url, paths, postgresql_url, store, vault
from support.variations import mark_variations_slow

__all__ = [
    "browser",
    "callback",
    "context",
    "database_url",
    "harness",
    "new_context",
    "page",
    "paths",
    "person",
    "postgresql_url",
    "shell",
    "shell_harness",
    "store",
    "vault",
]

# Before anything loads keyring: no test uses the real keyring, and keyring never selects a backend
# that a test defines.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

# Properties don’t depend on the speed of the machine. The first text of a process takes seconds.
settings.register_profile(
    "thorough", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=40)

STRAY = ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY")
"""Variables of a developer's session that would affect the wizard."""


MEMORY = Path("/dev/shm")
"""Tests commit about a hundred times each, and a commit on disk takes milliseconds."""


def _is_usable_memory(place: Path) -> bool:
    """Whether temporary folders can be there: the tests start programs that they write."""
    if not os.access(place, os.W_OK):
        return False
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize > 2**31 and not status.f_flag & os.ST_NOEXEC


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of these tests."""
    known_skips.pytest_addoption(parser)
    parser.addoption(
        "--shared-store",
        action="store_true",
        help="keep in PostgreSQL what tests would store in SQLite",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=25,
        help="how many processes a slow test of the shared store kills",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Restore SIGINT, and try fewer examples of properties in the quick tests.

    A shell starts background processes with Ctrl-C ignored, and commands under test inherit that.
    """
    is_quick = config.getoption("markexpr").startswith("not slow")
    settings.load_profile("quick" if is_quick else "thorough")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    known_skips.pytest_configure(config)
    if _is_usable_memory(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with a reason, tests that need a program that isn't installed. With `--shared-store`,
    leave out those that need a local database. Of many similar cases, some are quick tests."""
    mark_variations_slow(items)
    if config.getoption("shared_store"):
        items[:] = [each for each in items if not each.get_closest_marker("local_store")]
    for item in items:
        mark = item.get_closest_marker("needs")
        for program in mark.args if mark else ():
            if shutil.which(program) is None:
                item.add_marker(pytest.mark.skip(reason=f"{program} is not installed"))


def pytest_collection_finish() -> None:
    """Don’t search modules and collected tests for garbage: they stay."""
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(autouse=True, scope="session")
def nothing_left_running() -> Iterator[None]:
    """Stop the fork server after the tests."""
    yield
    close_fork_server()


@pytest.fixture(autouse=True, scope="session")
def templates_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Share Jinja's compiled templates between the applications of all tests."""
    kept = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    Flask.jinja_options = {"bytecode_cache": kept}


@pytest.fixture(autouse=True, scope="session")
def statements_compiled_once() -> None:
    """Share SQLAlchemy's compiled statements between the stores of all tests."""
    share_compiled_statements()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings, proxies and session of the user who runs the tests."""
    for name in tuple(os.environ):
        chosen = name.startswith("ZOHO_WIZARD_") and name != "ZOHO_WIZARD_BROWSER"
        if chosen or name in STRAY or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
