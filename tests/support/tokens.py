"""Helpers for tests of tokens."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.harness import Harness
from wizard.errors import WizardError
from wizard.model import AccessToken, Failure, Grant


def token_failure(harness: Harness, name: str = "crm", **options: Any) -> Failure:
    """The failure of a token request for `name`."""
    with pytest.raises(WizardError) as error:
        harness.services.tokens.access_token(name, **options)
    return error.value.failure


def seconds_left(harness: Harness, token: AccessToken) -> float:
    """Seconds until `token` expires."""
    seconds: float = (token.expires_at - harness.now()).total_seconds()
    return seconds


def current_grant(harness: Harness, name: str = "crm") -> Grant:
    """The grant in use."""
    grant = harness.services.store.grants.get(name)
    assert grant is not None
    return grant


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 30.0) -> None:
    """Wait until `state` is true, which another process or thread causes."""
    deadline, tick = time.monotonic() + timeout_seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        tick.wait(0.02)
