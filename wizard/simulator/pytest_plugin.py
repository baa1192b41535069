"""A simulated Zoho for your own tests: the fixture `zoho_simulator`.

Load it with one line in the `conftest.py` at the root of your tests:

    pytest_plugins = ["wizard.simulator.pytest_plugin"]

    @pytest.mark.zoho_simulator(seed=7, settings={"token_request_limit": 3})
    def test_my_integration_survives_a_password_change(zoho_simulator):
        tokens = zoho_simulator.controls.issue_tokens("anna@zylker.example", "ZohoCRM.org.READ")
        my_program.connect(tokens)
        zoho_simulator.controls.change_password("anna@zylker.example")
        assert my_program.asks_for_reauthorization()

The mark and `zoho_simulator_factory` take the keys of a configuration file. With the option
`--zoho-simulator-url`, the tests use a simulator that is running there, and reset it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wizard.simulator.remote import RemoteSimulator
    from wizard.simulator.server import Simulator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("zoho").addoption(
        "--zoho-simulator-url",
        metavar="URL",
        help="Use the simulated Zoho that is running at this URL, such as one in a container.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers", "zoho_simulator(**configuration): how the simulated Zoho of this test starts"
    )


@pytest.fixture(scope="session")
def zoho_simulator_factory() -> Iterator[Callable[..., Simulator]]:
    """Start simulators that run until the session ends: `zoho_simulator_factory(seed=7)`.

    Use it in a fixture of your own, of any scope.
    """
    with ExitStack() as running:

        def start(**configuration: Any) -> Simulator:
            return running.enter_context(_simulator(**configuration))

        yield start


@pytest.fixture(scope="session")
def zoho_simulator_session(zoho_simulator_factory: Callable[..., Simulator]) -> Simulator:
    """One running simulated Zoho for all tests of the session, with the sample users."""
    return zoho_simulator_factory()


@pytest.fixture
def zoho_simulator(request: pytest.FixtureRequest) -> Iterator[Simulator | RemoteSimulator]:
    """A running simulated Zoho with the sample users, new or reset for each test.

    The mark `zoho_simulator` configures it. With `real_hostnames=True`, the environment of the test
    leads to it, too.
    """
    mark = request.node.get_closest_marker("zoho_simulator")
    configuration = mark.kwargs if mark else {}
    url = request.config.getoption("--zoho-simulator-url", default=None)
    if url:
        from wizard.simulator.remote import RemoteSimulator

        yield RemoteSimulator(url).start_over(**configuration)
        return
    with _simulator(**configuration) as simulator, pytest.MonkeyPatch.context() as patch:
        if simulator.real_host_names:
            for name in simulator.removed_variables:
                patch.delenv(name, raising=False)
            for name, value in simulator.environment.items():
                patch.setenv(name, value)
        yield simulator


def _simulator(**configuration: Any) -> Simulator:
    # Loads Flask only in tests that use it.
    from wizard.simulator.configuration import Configuration
    from wizard.simulator.server import Simulator

    return Simulator(Configuration(port=0).with_changes(**configuration))
