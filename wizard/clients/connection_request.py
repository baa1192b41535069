"""The request for a new connection, from a page, a command or the assisted browser."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from wizard.errors import fail
from wizard.model import Client, Connection
from wizard.zoho import ACCOUNT_SCOPE, parse_scope, preset


@dataclass(frozen=True)
class ConnectionRequest:
    """What a new connection should be able to do, and in which data center."""

    preset_ids: tuple[str, ...]
    scope: tuple[str, ...]
    """The scopes of the presets, other requested ones, and `ACCOUNT_SCOPE`."""
    location: str | None
    """None: not known yet; the callback decides."""

    @classmethod
    def of(cls, preset_ids: Iterable[str], scope: str, location: str | None) -> Self:
        """Create a request from presets and scopes.

        Raises ``unknown-preset``, ``malformed-scope``, or ``no-preset`` if there are neither.
        """
        presets = [preset(each) for each in dict.fromkeys(preset_ids)]
        scopes = [each for one in presets for each in one.scope]
        if scope.strip():
            scopes.extend(parse_scope(scope))
        if not scopes:
            raise fail("no-preset")
        whole = parse_scope(",".join([*scopes, ACCOUNT_SCOPE]))
        return cls(tuple(one.id for one in presets), whole, location)

    def connection(self, name: str, client: Client, at: datetime) -> Connection:
        """The connection, not stored yet."""
        return Connection(
            name=name,
            client_id=client.client_id,
            scope=self.scope,
            location=self.location,
            presets=self.preset_ids,
            created_at=at,
        )
