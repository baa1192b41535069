"""What a repair will take: whose sign-ins, how many consents, and how long they must wait."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from wizard.reauthorization.items import ReauthorizationItem
from wizard.tokens import ConsentSchedule


@dataclass(frozen=True)
class ConsentGroup:
    """Connections that one person accepts one after the other, with one client."""

    email: str
    """Who must sign in; empty where no consent has told it yet."""
    location: str
    client_id: str
    client_name: str
    names: tuple[str, ...]
    wait: timedelta
    """Until the last of these consents may begin."""


@dataclass(frozen=True)
class ReauthorizationPlan:
    """The groups of a repair in the order in which they are done."""

    groups: tuple[ConsentGroup, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The connections, in order."""
        return tuple(name for group in self.groups for name in group.names)

    @property
    def sign_in_count(self) -> int:
        """How often somebody signs in: once an account and data centre."""
        return len({(group.email, group.location) for group in self.groups})

    @property
    def wait(self) -> timedelta:
        """Until the last consent of all may begin."""
        return max((group.wait for group in self.groups), default=timedelta(0))


def in_consent_order(items: Iterable[ReauthorizationItem]) -> list[ReauthorizationItem]:
    """The lines in the order of their consents: each person signs in once a data centre."""
    return sorted(items, key=_sort_key)


def create_plan(
    items: Iterable[ReauthorizationItem],
    consent_schedules: Mapping[str, ConsentSchedule],
    now: datetime,
) -> ReauthorizationPlan:
    """The plan for `lines`; `paces` says how fast each client's consents may follow each other."""
    left = dict(consent_schedules)
    groups = []
    for _key, members in groupby(in_consent_order(items), key=lambda line: _sort_key(line)[:-1]):
        group = list(members)
        first, at = group[0], now
        for _line in group:
            at = left[first.client_id].next_start(now)
            left[first.client_id] = left[first.client_id].with_start(at)
        groups.append(
            ConsentGroup(
                first.email,
                first.location,
                first.client_id,
                first.client_name,
                tuple(each.connection for each in group),
                at - now,
            )
        )
    return ReauthorizationPlan(tuple(groups))


def _sort_key(item: ReauthorizationItem) -> tuple[str, str, str, str, str]:
    return item.email.casefold(), item.location, item.client_name, item.client_id, item.connection
