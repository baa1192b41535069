"""The request that a new connection is made from, by a page, a command or the assisted window."""

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
    """Those of the presets and those named, with the one that identifies the account."""
    location: str | None
    """None: not known yet; Zoho says it with the authorization."""

    @classmethod
    def of(cls, preset_ids: Iterable[str], scope: str, location: str | None) -> Self:
        """The request for presets and scopes.

        Raises ``unknown-preset``, ``malformed-scope``, or ``no-preset`` if it is for nothing.
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
