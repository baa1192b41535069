"""What may go wrong later, while nothing is wrong: told beside a connection that works."""

from collections.abc import Iterable
from itertools import groupby

from wizard.broker import Broker
from wizard.errors import explain
from wizard.model import Failure, Finding
from wizard.store import Store, Twin
from wizard.zoho import limits

NAMED = 5
"""Connections that a sentence names; of more it gives the number."""


class Cautions:
    """Looks at what is stored; asks nobody."""

    def __init__(self, store: Store, broker: Broker) -> None:
        self._store = store
        self._broker = broker

    def of(self, name: str) -> tuple[Finding, ...]:
        """What there is to be careful about with connection `name`."""
        return (*two_homes(self._store.twins(name)), *self._near_the_limit(name))

    def of_home(self) -> tuple[Finding, ...]:
        """What there is to be careful about with this home as a whole."""
        return (*self.of_notifications(), *two_homes(self._store.twins()))

    def of_notifications(self) -> tuple[Finding, ...]:
        """Whether the last notification did not arrive: what fails next may reach nobody."""
        failed = self._store.notify_failure()
        return (explain(failed.failure),) if failed else ()

    def _near_the_limit(self, name: str) -> tuple[Finding, ...]:
        grant, view = self._store.grant(name), self._broker.ledger(name)
        if grant is None or grant.account is None or not view.warning:
            return ()
        known = {
            "count": str(view.refresh_tokens),
            "most": str(limits().refresh_tokens_per_user_and_client),
            "stop": str(limits().refresh_tokens_stop),
            "email": grant.account.email,
            "client": self._store.client(grant.client_id).name,
        }
        return (explain(Failure("refresh-tokens-near", details=known)),)


def two_homes(twins: Iterable[Twin]) -> tuple[Finding, ...]:
    """A finding for each other home that may tend grants of this one, too. Pure."""
    ordered = sorted(twins, key=lambda each: (each.made_on, each.made_at))
    return tuple(
        _two_homes(made_on, [*those])
        for made_on, those in groupby(ordered, key=lambda each: each.made_on)
    )


def _two_homes(made_on: str, twins: list[Twin]) -> Finding:
    names = ", ".join(each.connection for each in twins[:NAMED])
    more = f" and {len(twins) - NAMED} more" if len(twins) > NAMED else ""
    made_at = f"{twins[-1].made_at.astimezone():%Y-%m-%d %H:%M}"
    known = {"names": names + more, "made_on": made_on, "made_at": made_at}
    return explain(Failure("two-homes" if made_on else "home-came-back", details=known))
