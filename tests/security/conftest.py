"""A wizard that really listens, beside a simulated Zoho."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port

from wizard.house import House
from wizard.sandbox.server import Sandbox
from wizard.settings import from_environment
from wizard.web import Server, serve


@pytest.fixture
def house(zoho_sandbox: Sandbox, tmp_path: Path) -> Iterator[House]:
    """A house of its own, on a port of its own."""
    chosen = {
        "HOME": str(tmp_path),
        "ZOHO_WIZARD_HOME": str(tmp_path / "home"),
        "ZOHO_WIZARD_ZOHO": zoho_sandbox.url,
        "ZOHO_WIZARD_PORT": str(free_port()),
    }
    with House.open(from_environment(chosen), zoho_sandbox.clock) as house:
        yield house


@pytest.fixture
def server(house: House) -> Iterator[Server]:
    """The pages of that house."""
    server = serve(house)
    yield server
    server.stop()
