"""What may go wrong later, while nothing is wrong: told beside a connection that works."""

from collections.abc import Iterable
from itertools import groupby

from wizard.errors import explain
from wizard.model import Explanation, Failure
from wizard.store import SharedGrant, Store
from wizard.timefmt import format_time
from wizard.tokens.request_log import RequestLog
from wizard.zoho import limits

MAX_LISTED_CONNECTIONS = 5
"""Connections that a sentence names; of more it gives the number."""


class Cautions:
    """Looks at what is stored; asks nobody."""

    def __init__(self, store: Store, request_log: RequestLog) -> None:
        self._store = store
        self._request_log = request_log

    def of_connection(self, name: str) -> tuple[Explanation, ...]:
        """What there is to be careful about with connection `name`."""
        return (
            *shared_grant_cautions(self._store.shared_grants.all(name)),
            *self._near_refresh_token_limit(name),
        )

    def of_installation(self) -> tuple[Explanation, ...]:
        """What there is to be careful about with this home as a whole."""
        return (*self.of_notifications(), *shared_grant_cautions(self._store.shared_grants.all()))

    def of_notifications(self) -> tuple[Explanation, ...]:
        """Whether the last notification did not arrive: what fails next may reach nobody."""
        failed = self._store.monitoring.notify_failure()
        return (explain(failed.failure),) if failed else ()

    def _near_refresh_token_limit(self, name: str) -> tuple[Explanation, ...]:
        grant, view = self._store.grants.get(name), self._request_log.view(name)
        if grant is None or grant.account is None or not view.is_near_refresh_token_limit:
            return ()
        known = {
            "count": str(view.refresh_token_count),
            "most": str(limits().refresh_tokens_per_user_and_client),
            "hard_stop": str(limits().refresh_tokens_hard_stop),
            "email": grant.account.email,
            "client": self._store.clients.get(grant.client_id).name,
        }
        return (explain(Failure("refresh-tokens-near", details=known)),)


def shared_grant_cautions(shared_grants: Iterable[SharedGrant]) -> tuple[Explanation, ...]:
    """A finding for each other home that may tend grants of this one, too. Pure."""
    ordered = sorted(shared_grants, key=lambda each: (each.backup_host, each.backup_created_at))
    return tuple(
        _shared_grant_caution(backup_host, [*those])
        for backup_host, those in groupby(ordered, key=lambda each: each.backup_host)
    )


def _shared_grant_caution(backup_host: str, shared_grants: list[SharedGrant]) -> Explanation:
    names = ", ".join(each.connection for each in shared_grants[:MAX_LISTED_CONNECTIONS])
    more = (
        f" and {len(shared_grants) - MAX_LISTED_CONNECTIONS} more"
        if len(shared_grants) > MAX_LISTED_CONNECTIONS
        else ""
    )
    backup_created_at = format_time(shared_grants[-1].backup_created_at, None)
    known = {
        "names": names + more,
        "backup_host": backup_host,
        "backup_created_at": backup_created_at,
    }
    return explain(Failure("two-homes" if backup_host else "home-came-back", details=known))
