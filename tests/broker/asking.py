"""What the broker's tests ask again and again."""

import threading
import time
from collections.abc import Callable

import pytest
from core import Core

from wizard.errors import WizardError
from wizard.model import AccessToken, Failure, Grant


def failure(core: Core, name: str = "crm", **wish: bool) -> Failure:
    """The failure that asking for a token of `name` ends in."""
    with pytest.raises(WizardError) as error:
        core.house.broker.access_token(name, **wish)
    return error.value.failure


def left(core: Core, token: AccessToken) -> float:
    """Seconds until `token` ends."""
    seconds: float = (token.expires_at - core.now()).total_seconds()
    return seconds


def current(core: Core, name: str = "crm") -> Grant:
    """The grant in use."""
    grant = core.house.store.grant(name)
    assert grant is not None
    return grant


def wait_for(state: Callable[[], bool], patience: float = 30.0) -> None:
    """Wait until `state` holds, which another process or thread brings about."""
    deadline, tick = time.monotonic() + patience, threading.Event()
    while not state():
        assert time.monotonic() < deadline, "it never came to that"
        tick.wait(0.02)
