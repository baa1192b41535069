"""A simulated Zoho for your own tests: the fixture `zoho_sandbox`.

Load it with one line in the `conftest.py` at the root of your tests:

pytest_plugins = ["wizard.sandbox.pytest_plugin"]

def test_my_integration_survives_a_password_change(zoho_sandbox):
    client = zoho_sandbox.admin.register_client(
        "anna@zylker.example", ["http://localhost:8000/callback"]
    )
    my_program.connect(accounts_server=f"{zoho_sandbox.url}/eu/accounts", client=client)
    zoho_sandbox.admin.change_password("anna@zylker.example")
    assert my_program.notices_that_it_must_ask_again()
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wizard.sandbox.server import Sandbox


@pytest.fixture
def zoho_sandbox() -> Iterator[Sandbox]:
    """A running simulated Zoho with the made-up people, new for each test."""
    from wizard.sandbox.server import Sandbox  # Flask is loaded only where a test asks for it

    with Sandbox() as sandbox:
        yield sandbox
