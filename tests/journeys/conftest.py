"""Fixtures of every journey."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext
from support.user_journey import Journey, start_journey

from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import SimulatedUser


@pytest.fixture
def journey(zoho_simulator: Simulator, tmp_path: Path, person: SimulatedUser) -> Iterator[Journey]:
    """A user, a wizard with nothing stored, and a Zoho that has only its users."""
    with start_journey(zoho_simulator, tmp_path, person) as journey:
        yield journey


@pytest.fixture
def private_window(new_context: Callable[..., BrowserContext]) -> SimulatedUser:
    """The same user in a window that shares no cookies with the first; or a different user."""
    return SimulatedUser(new_context().new_page())
