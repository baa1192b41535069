"""The fixture and the mark of the tests of the sandbox's rules."""

import pytest
from zoho_driver import Zoho

from wizard.sandbox.server import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rule(*ids): rows of the sandbox's table of rules")


@pytest.fixture
def zoho(zoho_sandbox: Sandbox) -> Zoho:
    """The simulated Zoho with its people and one registered client."""
    return Zoho(zoho_sandbox)
