"""What every journey begins with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from journey import Journey, travelling
from playwright.sync_api import BrowserContext

from wizard.sandbox.person import Person
from wizard.sandbox.server import Sandbox


@pytest.fixture
def journey(zoho_sandbox: Sandbox, tmp_path: Path, person: Person) -> Iterator[Journey]:
    """A person, a wizard that has nothing stored yet, and a Zoho that knows only its people."""
    with travelling(zoho_sandbox, tmp_path, person) as journey:
        yield journey


@pytest.fixture
def private_window(new_context: Callable[..., BrowserContext]) -> Person:
    """The same person at a window that shares no cookie with the first; or somebody else."""
    return Person(new_context().new_page())
