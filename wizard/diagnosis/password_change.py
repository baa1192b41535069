"""What a change of password puts at risk, from what is stored. Pure; asks nobody."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from wizard.errors import message
from wizard.model import GrantState
from wizard.model.states import ConnectionStatus
from wizard.store import ConnectionOverview, Destination

ADVICE = ("untick", "sessions", "forced", "admin", "after")
"""What to know before the change, in this order; the sentences stand in the table of words."""


@dataclass(frozen=True)
class AffectedConnection:
    """One connection that the account's password may end, and how it is now."""

    name: str
    status: ConnectionStatus
    last_refreshed_at: datetime | None
    """When it last gave an access token; None: it never did."""


@dataclass(frozen=True)
class PasswordChangeRisk:
    """What hangs on one account."""

    email: str
    location: str
    connections: tuple[AffectedConnection, ...]
    client_ids: tuple[str, ...]
    """The clients' ids."""
    programs: tuple[str, ...]
    """The destinations that hold its credentials."""

    @property
    def connection_names(self) -> tuple[str, ...]:
        """The connections, by name."""
        return tuple(each.name for each in self.connections)

    @property
    def message_to_owner(self) -> str:
        """What to send to the person who is going to change the password."""
        count = len(self.connections)
        connections = "1 connection" if count == 1 else f"{count} connections"
        names = ", ".join(self.connection_names)
        return message(
            "password-change", "message", email=self.email, connections=connections, names=names
        )


def password_change_risks(
    rows: Iterable[ConnectionOverview],
    destinations: Iterable[Destination],
    last_refreshes: Mapping[str, datetime],
    now: datetime,
    email: str = "",
) -> tuple[PasswordChangeRisk, ...]:
    """What hangs on the account `email`, or on each account, most first.

    `worked` says when each connection last gave an access token.
    """
    targets = defaultdict(list)
    for each in destinations:
        targets[each.connection].append(each.target)
    accounts = defaultdict(list)
    for row in rows:
        grant = row.grant
        if grant is None or grant.account is None or grant.state is GrantState.REVOKED:
            continue
        if email and grant.account.email.casefold() != email.casefold():
            continue
        stake = AffectedConnection(
            grant.connection,
            row.status(now),
            last_refreshes.get(grant.connection),
        )
        accounts[grant.account.email, grant.location].append((stake, grant.client_id))
    found = [
        PasswordChangeRisk(
            email=owner,
            location=location,
            connections=tuple(stake for stake, _ in members),
            client_ids=tuple(dict.fromkeys(client for _, client in members)),
            programs=tuple(
                dict.fromkeys(each for stake, _ in members for each in targets[stake.name])
            ),
        )
        for (owner, location), members in accounts.items()
    ]
    return tuple(sorted(found, key=lambda risk: (-len(risk.connections), risk.email)))


def advice() -> tuple[str, ...]:
    """The sentences to read before a change of password."""
    return tuple(message("password-change", code) for code in ADVICE)
