"""Which world a request is of. One application serves them all: a new world for each test costs
nothing but the world, for routes and templates are compiled once."""

import threading
from typing import Any, cast

from flask import request

from wizard.sandbox.world import World

_WORLD, _STOPPING = "zoho_sandbox.world", "zoho_sandbox.stopping"


def serve(environ: dict[str, Any], world: World, stopping: threading.Event) -> None:
    """Make a WSGI request one of `world`. Setting `stopping` ends answers held back."""
    environ.update({_WORLD: world, _STOPPING: stopping})


def world() -> World:
    """The world of the present request."""
    return cast(World, request.environ[_WORLD])


def stopping() -> threading.Event:
    """What is set when the server of the present request stops."""
    return cast(threading.Event, request.environ[_STOPPING])
