"""Services with a simulated Zoho, their pages, and a visitor."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from support.ports import free_port
from support.web_visitor import ANNA, FakeTimer, Visitor, authorize, connection_form

from wizard.services import Services
from wizard.settings import Settings, from_environment
from wizard.simulator.server import Simulator
from wizard.web.app import create_app
from wizard.web.server import Server, serve
from wizard.web.sessions import LinkTokens


@pytest.fixture
def settings(zoho_simulator: Simulator, tmp_path: Path) -> Settings:
    return from_environment(
        {
            "ZOHO_WIZARD_HOME": str(tmp_path / "home"),
            "ZOHO_WIZARD_SIMULATOR_URL": zoho_simulator.url,
            "ZOHO_WIZARD_PORT": str(free_port()),
        }
    )


@pytest.fixture
def services(settings: Settings, zoho_simulator: Simulator) -> Iterator[Services]:
    with Services.open(settings, zoho_simulator.clock) as services:
        yield services


@pytest.fixture
def timer() -> FakeTimer:
    return FakeTimer()


@pytest.fixture
def link_tokens(timer: FakeTimer) -> LinkTokens:
    return LinkTokens(timer)


@pytest.fixture
def app(services: Services, link_tokens: LinkTokens, timer: FakeTimer) -> Flask:
    return create_app(services, link_tokens=link_tokens, elapsed=timer)


@pytest.fixture
def new_visitor(app: Flask, services: Services, link_tokens: LinkTokens) -> Callable[[], Visitor]:
    return lambda: Visitor(app.test_client(), services, link_tokens)


@pytest.fixture
def anonymous(new_visitor: Callable[[], Visitor]) -> Visitor:
    """A browser that never signed in."""
    return new_visitor()


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    """A browser that is signed in."""
    visitor = new_visitor()
    visitor.sign_in()
    return visitor


@pytest.fixture
def server(services: Services) -> Iterator[Server]:
    server = serve(services)
    yield server
    server.stop()


@pytest.fixture
def registered(zoho_simulator: Simulator, settings: Settings) -> dict[str, Any]:
    """A client in Zoho's console that the wizard doesn't know yet."""
    return zoho_simulator.controls.register_client(
        ANNA, [settings.redirect_uri], name="Test client"
    )


@pytest.fixture
def connected(visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator) -> Visitor:
    """A visitor with one verified connection, ``leads``."""
    begun = visitor.submit_form("/connections", **connection_form(registered))
    authorize(visitor, zoho_simulator, begun.location)
    return visitor
