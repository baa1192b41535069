"""The web server for a world."""

import socket
import threading
from collections.abc import Iterable
from functools import cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from flask.typing import ResponseReturnValue
from waitress import wasyncore
from waitress.server import create_server
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from wizard.simulator import accounts, middleware, product_apis
from wizard.simulator.catalog import data_centers
from wizard.simulator.controls import Controls
from wizard.simulator.middleware import html_page
from wizard.simulator.pages import admin
from wizard.simulator.pages import blueprint as pages_blueprint
from wizard.simulator.settings import Clock
from wizard.simulator.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
"""Loopback only. Not `localhost`, where the wizard is: for browsers, the two are different sites.
"""

WORKER_THREADS = 16
"""Enough for many processes that refresh at once, and some slow responses."""


class LocationConverter(BaseConverter):
    """The location of a data center in a URL."""

    regex = "|".join(data_centers())


class SimulatorApp(Flask):
    """A Flask application that holds the world's lock while a view runs.

    It doesn't hold the lock while a slow response is sent. Flask's way to wrap every view is to
    override `dispatch_request`.
    """

    def dispatch_request(self) -> ResponseReturnValue:
        with middleware.current_world().lock:
            return super().dispatch_request()


@cache
def flask_app() -> Flask:
    """Return the application for all worlds of this process.

    Each request finds its world in the WSGI environment. A new world for each test is cheap,
    because routes and templates are compiled once.
    """
    app = SimulatorApp(__name__, static_folder=None, template_folder=None)
    app.url_map.converters["location"] = LocationConverter
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.register_blueprint(admin.controls_api)
    app.register_blueprint(accounts.routes)
    app.register_blueprint(pages_blueprint())
    app.register_blueprint(product_apis.routes)
    middleware.attach(app)
    for status in (404, 405):
        app.register_error_handler(status, partial(_error_page, status))
    return app


def create_app(world: World, stop_event: threading.Event) -> "WSGIApplication":
    """Return the WSGI application of a world. Setting `stop_event` ends delayed responses."""

    def wsgi_app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        middleware.bind_world(environ, world, stop_event)
        return flask_app()(environ, start_response)

    return wsgi_app


def _error_page(status: int, _: HTTPException) -> Response:
    return html_page(status)


class Simulator:
    """A simulated Zoho that listens on loopback, in a thread of this process.

    `port` 0 takes a free one. It serves `world`, or a new one with the sample users. `url` is its
    address. It's a context manager: leaving it stops the server and closes its sockets. OSError if
    the port is in use.
    """

    def __init__(
        self, *, port: int = 0, world: World | None = None, clock: Clock | None = None
    ) -> None:
        if world is None:
            world = World(clock=clock)
            world.users.add_samples()
        listening = socket.create_server((HOST, port))
        self.world = world
        self.controls = Controls(world)
        self._stop_event = threading.Event()
        app = create_app(world, self._stop_event)
        self._socket_map: dict[int, Any] = {}
        self._server = create_server(
            app, sockets=[listening], threads=WORKER_THREADS, ident="ZGS", map=self._socket_map
        )
        self.url = world.origin = f"http://{HOST}:{listening.getsockname()[1]}"
        self._loop_ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    @property
    def clock(self) -> Clock:
        """The clock of the world, which the program under test can share."""
        return self.world.clock

    def start(self) -> "Simulator":
        """Start to serve; return itself."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop and close every socket. Delayed responses are sent at once."""
        self._stop_event.set()
        self.world.faults.clear()
        self._server.task_dispatcher.shutdown(timeout=5)
        if self._thread.is_alive():
            # Close the trigger only after the loop has ended: otherwise, the byte that wakes the
            # loop could go to a descriptor that is closed or reused.
            self._loop_ended.set()
            self._server.pull_trigger()
            self._thread.join(timeout=5)
        self._server.close()
        wasyncore.close_all(self._socket_map, ignore_all=True)

    def _serve(self) -> None:
        while not self._loop_ended.is_set():
            wasyncore.loop(timeout=1, map=self._socket_map, count=1)

    def __enter__(self) -> "Simulator":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
