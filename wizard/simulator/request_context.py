"""Which world a request is of. One application serves them all: a new world for each test costs
nothing but the world, for routes and templates are compiled once."""

import threading
from typing import Any, cast

from flask import request

from wizard.simulator.world import World

_WORLD_KEY, _STOP_EVENT_KEY = "zoho_simulator.world", "zoho_simulator.stop_event"


def bind_world(environ: dict[str, Any], world: World, stop_event: threading.Event) -> None:
    """Make a WSGI request one of `world`. Setting `stopping` ends answers held back."""
    environ.update({_WORLD_KEY: world, _STOP_EVENT_KEY: stop_event})


def current_world() -> World:
    """The world of the present request."""
    return cast(World, request.environ[_WORLD_KEY])


def current_stop_event() -> threading.Event:
    """What is set when the server of the present request stops."""
    return cast(threading.Event, request.environ[_STOP_EVENT_KEY])
