"""Helpers for tests of deliveries."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.harness import Harness
from wizard.errors import WizardError
from wizard.model import Grant
from wizard.store import Destination


def deliver(
    harness: Harness,
    profile_id: str,
    target: Path | str,
    *,
    connection: str = "crm",
    **options: Any,
) -> Destination:
    """Add a destination and deliver to it for the first time."""
    delivery = harness.services.delivery
    return delivery.add(
        delivery.describe(Destination(connection, profile_id, str(target), **options))
    )


def reauthorize(harness: Harness, name: str = "crm") -> Grant:
    """A new consent, verified: the next generation."""
    done = harness.authorize(name)
    assert done.generation is not None, done.failure
    harness.verify(name, done.generation)
    grant = harness.services.store.grants.get(name)
    assert grant is not None
    assert grant.generation == done.generation
    return grant


@dataclass
class RaisedFailure:
    """The details of a failure, once it was raised."""

    details: dict[str, str] = field(default_factory=dict)


@contextmanager
def raises_failure(code: str) -> Iterator[RaisedFailure]:
    """Check that the block fails with `code`."""
    captured = RaisedFailure()
    with pytest.raises(WizardError) as raised:
        yield captured
    assert raised.value.failure.code == code
    captured.details.update(raised.value.failure.details)
