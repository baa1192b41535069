"""What tests of deliveries do again and again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from core import Core

from wizard.errors import WizardError
from wizard.model import Grant
from wizard.store import Destination


def deliver(
    core: Core, profile_id: str, target: Path | str, *, connection: str = "crm", **options: Any
) -> Destination:
    """Make a destination and deliver to it for the first time."""
    delivery = core.house.delivery
    return delivery.add(delivery.describe(connection, profile_id, str(target), **options))


def renew(core: Core, name: str = "crm") -> Grant:
    """A new consent, proved: the next generation."""
    done = core.authorize(name)
    assert done.generation is not None, done.failure
    core.climb(name, done.generation)
    grant = core.house.store.grant(name)
    assert grant is not None
    assert grant.generation == done.generation
    return grant


@dataclass
class Told:
    """The details of a failure, once it has happened."""

    details: dict[str, str] = field(default_factory=dict)


@contextmanager
def failing(code: str) -> Iterator[Told]:
    """The block fails with `code`."""
    told = Told()
    with pytest.raises(WizardError) as raised:
        yield told
    assert raised.value.failure.code == code
    told.details.update(raised.value.failure.details)
