"""The fixture and the mark of the tests of the simulator's rules."""

import pytest
from support.zoho_driver import ZohoDriver

from wizard.simulator.server import Simulator


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rule(*ids): rows of the simulator's table of rules")


@pytest.fixture
def zoho(zoho_simulator: Simulator) -> ZohoDriver:
    """The simulated Zoho with its users and one registered client."""
    return ZohoDriver(zoho_simulator)
