"""A simulated Zoho for your own tests: the fixture `zoho_simulator`.

Load it with one line in the `conftest.py` at the root of your tests:

    pytest_plugins = ["wizard.simulator.pytest_plugin"]

    def test_my_integration_survives_a_password_change(zoho_simulator):
        client = zoho_simulator.controls.register_client(
            "anna@zylker.example", ["http://localhost:8000/callback"]
        )
        my_program.connect(accounts_server=f"{zoho_simulator.url}/eu/accounts", client=client)
        zoho_simulator.controls.change_password("anna@zylker.example")
        assert my_program.asks_for_reauthorization()
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wizard.simulator.server import Simulator


@pytest.fixture
def zoho_simulator() -> Iterator[Simulator]:
    """A running simulated Zoho with the sample users, new for each test."""
    from wizard.simulator.server import Simulator  # loads Flask only in tests that use it

    with Simulator() as simulator:
        yield simulator
