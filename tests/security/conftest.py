"""A wizard that really listens, with a simulated Zoho."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ports import free_port

from wizard.services import Services
from wizard.settings import from_environment
from wizard.simulator.server import Simulator
from wizard.web.server import Server, serve


@pytest.fixture
def services(zoho_simulator: Simulator, tmp_path: Path) -> Iterator[Services]:
    """Services on a port of their own."""
    chosen = {
        "HOME": str(tmp_path),
        "ZOHO_WIZARD_HOME": str(tmp_path / "home"),
        "ZOHO_WIZARD_SIMULATOR_URL": zoho_simulator.url,
        "ZOHO_WIZARD_PORT": str(free_port()),
    }
    with Services.open(from_environment(chosen), zoho_simulator.clock) as services:
        yield services


@pytest.fixture
def server(services: Services) -> Iterator[Server]:
    """The server of these services."""
    server = serve(services)
    yield server
    server.stop()
