"""What a repair will take: whose sign-ins, how many consents, and how long they must wait."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from wizard.broker import Pace
from wizard.reauthorization.line import Line


@dataclass(frozen=True)
class Group:
    """Connections that one person accepts one after the other, with one client."""

    email: str
    """Who must sign in; empty where no consent has told it yet."""
    location: str
    client_id: str
    client: str
    names: tuple[str, ...]
    wait: timedelta
    """Until the last of these consents may begin."""


@dataclass(frozen=True)
class Plan:
    """The groups of a repair in the order in which they are done."""

    groups: tuple[Group, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The connections, in order."""
        return tuple(name for group in self.groups for name in group.names)

    @property
    def sign_ins(self) -> int:
        """How often somebody signs in: once an account and data centre."""
        return len({(group.email, group.location) for group in self.groups})

    @property
    def wait(self) -> timedelta:
        """Until the last consent of all may begin."""
        return max((group.wait for group in self.groups), default=timedelta(0))


def in_order(lines: Iterable[Line]) -> list[Line]:
    """The lines in the order of their consents: each person signs in once a data centre."""
    return sorted(lines, key=_place)


def plan_of(lines: Iterable[Line], paces: Mapping[str, Pace], now: datetime) -> Plan:
    """The plan for `lines`; `paces` says how fast each client's consents may follow each other."""
    left = dict(paces)
    groups = []
    for _key, members in groupby(in_order(lines), key=lambda line: _place(line)[:-1]):
        group = list(members)
        first, at = group[0], now
        for _line in group:
            at = left[first.client_id].next(now)
            left[first.client_id] = left[first.client_id].after(at)
        groups.append(
            Group(
                first.email,
                first.location,
                first.client_id,
                first.client,
                tuple(each.connection for each in group),
                at - now,
            )
        )
    return Plan(tuple(groups))


def _place(line: Line) -> tuple[str, str, str, str, str]:
    return line.email.casefold(), line.location, line.client, line.client_id, line.connection
