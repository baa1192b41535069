"""What fails together, and what that shows: pure judges of failures that were met in one look."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from wizard.model import Connection, Failure, Grant
from wizard.validation import SUSPECTED

UNREACHED = frozenset(
    {
        *("network-dns", "network-refused", "network-timeout", "network-tls", "network-reset"),
        *("network-unreachable", "network-proxy", "data-centre-down", "not-json", "zoho-resting"),
    }
)
"""Failures of the way to a data centre, or of the data centre itself."""

CLIENT_REFUSED = frozenset({"invalid-client", "invalid-client-secret", "missing-secret"})
"""Failures of a client in a data centre, whoever uses it."""

DEAD, ACCESS_REFUSED = "grant-dead", "token-invalid"
"""The refresh token is refused for good; the access token is."""

NOT_ASKED = frozenset(
    {
        *("token-budget", "client-budget", "token-rejected", "throttled"),
        *("refresh-under-way", "climb-under-way", SUSPECTED),
    }
)
"""Zoho's limits, or another process, kept a connection from being asked: no verdict."""

TOGETHER = 2
"""Tokens of one account and client that died, from which on another is likely to have died too."""


class Reach(StrEnum):
    """How far a cause reaches."""

    CONNECTION = "connection"
    ACCOUNT = "account"
    CLIENT = "client"
    DATA_CENTRE = "data-centre"


@dataclass(frozen=True)
class Case:
    """One connection that fails."""

    connection: Connection
    grant: Grant | None
    failure: Failure

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def code(self) -> str:
        return self.failure.code

    @property
    def client_id(self) -> str:
        return self.grant.client_id if self.grant else self.connection.client_id

    @property
    def location(self) -> str:
        told = self.grant.location if self.grant else self.connection.location
        return told or self.failure.details.get("location", "")

    @property
    def email(self) -> str:
        return self.grant.account.email if self.grant and self.grant.account else ""

    @property
    def owner(self) -> tuple[str, str, str]:
        """The account, its data centre and the client: what mostly dies together."""
        return self.email, self.location, self.client_id

    @property
    def mark(self) -> str:
        """In which way the connection fails, its name, and of which grant that is said."""
        ways = {"unreached": UNREACHED, "client": CLIENT_REFUSED, DEAD: _ENDING}
        way = next((way for way, codes in ways.items() if self.code in codes), self.code)
        return f"{way} {self.name} {self.grant.generation if self.grant else 0}"


_ENDING = frozenset({DEAD, ACCESS_REFUSED, *NOT_ASKED})
"""Failures of connections that may belong to a cause which ended refresh tokens."""


@dataclass(frozen=True)
class Group:
    """Connections that one cause has stopped."""

    reach: Reach
    key: str
    cases: tuple[Case, ...]
    suspects: tuple[Case, ...] = ()
    """Those that it most likely stopped, too."""

    @property
    def alone(self) -> bool:
        """Whether one connection died by itself, of which its own words say more."""
        return len(self.cases) == 1 and self.cases[0].code == DEAD and not self.suspects

    @property
    def everything(self) -> tuple[Case, ...]:
        return (*self.cases, *self.suspects)

    @property
    def code(self) -> str:
        """Where the words for all of it stand; empty where those of its first case say it."""
        code = self.cases[0].code
        if self.reach is Reach.CONNECTION or self.alone:
            return ""
        if code == SUSPECTED:
            return "account-refused-for-now" if len(self.cases) > 1 else ""
        if code in NOT_ASKED:
            return "not-asked-yet"
        return "client-refused" if code in CLIENT_REFUSED else _CODES[self.reach]


_CODES = {
    Reach.ACCOUNT: "account-tokens-dead",
    Reach.CLIENT: "client-tokens-dead",
    Reach.DATA_CENTRE: "data-centre-unreached",
}


def grouped(cases: Iterable[Case], client_alone: Callable[[Case], bool]) -> list[Group]:
    """The cases by their causes. `client_alone` tells of a dead one whether its account lives on
    with another client."""
    cases = sorted(cases, key=lambda case: case.name)
    ended: dict[tuple[str, str, str], list[Case]] = defaultdict(list)
    for case in cases:
        if case.code == DEAD and case.email:
            ended[case.owner].append(case)
    of = {owner: _of_ended(dead[0], client_alone) for owner, dead in ended.items()}
    met: dict[tuple[Reach, str], list[Case]] = defaultdict(list)
    suspects: dict[tuple[Reach, str], list[Case]] = defaultdict(list)
    for case in cases:
        dead = ended.get(case.owner, [])
        if case in dead:
            met[of[case.owner]].append(case)
        elif _died_too(case, dead):
            suspects[of[case.owner]].append(case)
        else:
            met[_of(case)].append(case)
    return [
        Group(reach, f"{reach} {who} {found[0].code}", tuple(found), tuple(suspects[reach, who]))
        for (reach, who), found in met.items()
    ]


def _of_ended(case: Case, client_alone: Callable[[Case], bool]) -> tuple[Reach, str]:
    email, location, client_id = case.owner
    if client_alone(case):
        return Reach.CLIENT, f"{email} {client_id} {location}"
    return Reach.ACCOUNT, f"{email} {location}"


def _died_too(case: Case, dead: list[Case]) -> bool:
    """Whether a connection most likely died with others of its account and client: its access token
    is refused, or several died and nobody could ask about this one."""
    if case.code in (ACCESS_REFUSED, SUSPECTED):
        return bool(dead)
    return case.code in NOT_ASKED and len(dead) >= TOGETHER


def _of(case: Case) -> tuple[Reach, str]:
    """What a connection that fails has in common with others that fail alike."""
    if case.code in UNREACHED:
        return Reach.DATA_CENTRE, case.location
    if case.code in CLIENT_REFUSED:
        return Reach.CLIENT, f"{case.client_id} {case.location}"
    if case.code == SUSPECTED:
        return Reach.ACCOUNT, f"{case.email or case.name} {case.location} suspected"
    if case.code in NOT_ASKED:
        return Reach.CLIENT, f"{case.client_id} {case.location} not-asked"
    return Reach.CONNECTION, f"{case.name} {case.location}"
