"""A house on the simulated Zoho, its pages, and somebody who visits them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from ports import free_port
from visiting import ANNA, Visitor, Watch, accept, wish

from wizard.house import House
from wizard.sandbox.server import Sandbox
from wizard.settings import Settings, from_environment
from wizard.web import LaunchTokens, Server, create_app, serve


@pytest.fixture
def settings(zoho_sandbox: Sandbox, tmp_path: Path) -> Settings:
    return from_environment(
        {
            "ZOHO_WIZARD_HOME": str(tmp_path / "home"),
            "ZOHO_WIZARD_ZOHO": zoho_sandbox.url,
            "ZOHO_WIZARD_PORT": str(free_port()),
        }
    )


@pytest.fixture
def house(settings: Settings, zoho_sandbox: Sandbox) -> Iterator[House]:
    with House.open(settings, zoho_sandbox.clock) as house:
        yield house


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def launch(watch: Watch) -> LaunchTokens:
    return LaunchTokens(watch)


@pytest.fixture
def app(house: House, launch: LaunchTokens, watch: Watch) -> Flask:
    return create_app(house, launch=launch, elapsed=watch)


@pytest.fixture
def new_visitor(app: Flask, house: House, launch: LaunchTokens) -> Callable[[], Visitor]:
    return lambda: Visitor(app.test_client(), house, launch)


@pytest.fixture
def stranger(new_visitor: Callable[[], Visitor]) -> Visitor:
    """A browser that was never signed in."""
    return new_visitor()


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    """A browser that is signed in."""
    visitor = new_visitor()
    visitor.sign_in()
    return visitor


@pytest.fixture
def server(house: House) -> Iterator[Server]:
    server = serve(house)
    yield server
    server.stop()


@pytest.fixture
def registered(zoho_sandbox: Sandbox, settings: Settings) -> dict[str, Any]:
    """A client in Zoho's console, not yet known to the wizard."""
    return zoho_sandbox.admin.register_client(ANNA, [settings.redirect_uri], name="Test client")


@pytest.fixture
def connected(visitor: Visitor, registered: dict[str, Any], zoho_sandbox: Sandbox) -> Visitor:
    """A visitor with one proved connection, ``leads``."""
    begun = visitor.send("/connections", **wish(registered))
    accept(visitor, zoho_sandbox, begun.location)
    return visitor
