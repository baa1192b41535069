"""What may fail later although everything works, and what a password change affects."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from wizard.errors import explain, message
from wizard.model import Explanation, Failure, GrantState
from wizard.model.states import ConnectionStatus
from wizard.store import ConnectionOverview, SharedGrant, Store
from wizard.timefmt import format_time
from wizard.tokens.request_log import RequestLog
from wizard.zoho import limits

MAX_LISTED_CONNECTIONS = 5
"""A sentence names so many connections; for more, it has only the number."""


class Cautions:
    """Explains stored facts that may cause a failure later. Sends nothing."""

    def __init__(self, store: Store, request_log: RequestLog) -> None:
        self._store = store
        self._request_log = request_log

    def of_connection(self, name: str) -> tuple[Explanation, ...]:
        """The cautions about one connection."""
        shared = shared_grant_cautions(self._store.shared_grants.all(name))
        return tuple(explain(each) for each in (*shared, *self._near_refresh_token_limit(name)))

    def of_installation(self) -> tuple[Explanation, ...]:
        """The cautions about this installation as a whole."""
        shared = shared_grant_cautions(self._store.shared_grants.all())
        return (*self.of_now(), *(explain(each) for each in shared))

    def of_now(self) -> tuple[Explanation, ...]:
        """The cautions that everyone should see: the last notification failed, so that the next may
        fail, too; and the data directory is a copy, so that the other may be in use."""
        failed = self._store.monitoring.notify_failure()
        found = [failed.failure] if failed else []
        if self._store.installation.is_copied():
            path = self._store.database.place
            found.append(Failure("installation-copied", details={"path": path}))
        return tuple(explain(each) for each in found)

    def _near_refresh_token_limit(self, name: str) -> tuple[Failure, ...]:
        grant, view = self._store.grants.get(name), self._request_log.view(name)
        if grant is None or grant.account is None or not view.is_near_refresh_token_limit:
            return ()
        details = {
            "count": str(view.refresh_token_count),
            "most": str(limits().refresh_tokens_per_user_and_client),
            "hard_stop": str(limits().refresh_tokens_hard_stop),
            "email": grant.account.email,
            "client": self._store.clients.get(grant.client_id).name,
        }
        return (Failure("refresh-tokens-near", details=details),)


def shared_grant_cautions(shared_grants: Iterable[SharedGrant]) -> tuple[Failure, ...]:
    """One caution for each other installation that may use the same refresh tokens. Pure."""
    ordered = sorted(shared_grants, key=lambda each: (each.backup_host, each.backup_created_at))
    return tuple(
        _shared_grant_caution(backup_host, [*those])
        for backup_host, those in groupby(ordered, key=lambda each: each.backup_host)
    )


def _shared_grant_caution(backup_host: str, shared_grants: list[SharedGrant]) -> Failure:
    names = ", ".join(each.connection for each in shared_grants[:MAX_LISTED_CONNECTIONS])
    count_left = len(shared_grants) - MAX_LISTED_CONNECTIONS
    details = {
        "names": f"{names} and {count_left} more" if count_left > 0 else names,
        "backup_host": backup_host,
        "backup_created_at": format_time(shared_grants[-1].backup_created_at, None),
    }
    return Failure(
        "two-installations" if backup_host else "installation-came-back", details=details
    )


ADVICE = ("untick", "sessions", "forced", "admin", "after")
"""What to know before the change, in this order."""


@dataclass(frozen=True)
class AffectedConnection:
    """One connection that a password change may end, and its status."""

    name: str
    status: ConnectionStatus
    last_refreshed_at: datetime | None
    """When it last got an access token; None: never."""


@dataclass(frozen=True)
class PasswordChangeRisk:
    """What depends on one account."""

    email: str
    location: str
    connections: tuple[AffectedConnection, ...]
    client_ids: tuple[str, ...]
    """The clients with which they were authorized."""
    programs: tuple[str, ...]
    """The destinations that have its credentials."""

    @property
    def connection_names(self) -> tuple[str, ...]:
        """The names of the connections."""
        return tuple(each.name for each in self.connections)

    @property
    def message_to_owner(self) -> str:
        """A message to the account owner."""
        count, names = str(len(self.connections)), ", ".join(self.connection_names)
        return message("password-change", "message", email=self.email, count=count, names=names)


def password_change_risks(
    rows: Iterable[ConnectionOverview],
    programs: Mapping[str, Sequence[str]],
    last_refreshes: Mapping[str, datetime],
    now: datetime,
    email: str = "",
) -> tuple[PasswordChangeRisk, ...]:
    """What depends on account `email`, or on each account, the largest first.

    By connection, `programs` has the destinations, and `last_refreshes` the time of the last access
    token.
    """
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
                dict.fromkeys(each for stake, _ in members for each in programs.get(stake.name, ()))
            ),
        )
        for (owner, location), members in accounts.items()
    ]
    return tuple(sorted(found, key=lambda risk: (-len(risk.connections), risk.email)))


def advice() -> tuple[str, ...]:
    """What to read before changing a password."""
    return tuple(message("password-change", code) for code in ADVICE)
