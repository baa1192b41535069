"""What fails together, and what that shows: pure judges of failures that were met in one look."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from wizard.model import Connection, Failure, Grant
from wizard.verification import SUSPECTED_REJECTION

UNREACHABLE_CODES = frozenset(
    {
        *("network-dns", "network-refused", "network-timeout", "network-tls", "network-reset"),
        *("network-unreachable", "network-proxy", "data-centre-down", "not-json", "zoho-resting"),
    }
)
"""Failures of the way to a data centre, or of the data centre itself."""

CLIENT_REJECTED_CODES = frozenset({"invalid-client", "invalid-client-secret", "missing-secret"})
"""Failures of a client in a data centre, whoever uses it."""

REFRESH_TOKEN_REJECTED, ACCESS_TOKEN_REJECTED = "grant-dead", "token-invalid"
"""The refresh token is refused for good; the access token is."""

NOT_CHECKED_CODES = frozenset(
    {
        *("token-budget", "client-budget", "token-rejected", "throttled"),
        *("refresh-under-way", "climb-under-way", SUSPECTED_REJECTION),
    }
)
"""Zoho's limits, or another process, kept a connection from being asked: no verdict."""

MIN_SIMULTANEOUS = 2
"""Tokens of one account and client that died, from which on another is likely to have died too."""


class CauseLevel(StrEnum):
    """How far a cause reaches."""

    CONNECTION = "connection"
    ACCOUNT = "account"
    CLIENT = "client"
    DATA_CENTER = "data_center"


@dataclass(frozen=True)
class FailureCase:
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
        location = self.grant.location if self.grant else self.connection.location
        return location or self.failure.details.get("location", "")

    @property
    def email(self) -> str:
        return self.grant.account.email if self.grant and self.grant.account else ""

    @property
    def account_and_client(self) -> tuple[str, str, str]:
        """The account, its data centre and the client: what mostly dies together."""
        return self.email, self.location, self.client_id

    @property
    def mark(self) -> str:
        """In which way the connection fails, its name, and of which grant that is said."""
        ways = {
            "unreached": UNREACHABLE_CODES,
            "client": CLIENT_REJECTED_CODES,
            REFRESH_TOKEN_REJECTED: _TOKEN_FAILURE_CODES,
        }
        way = next((way for way, codes in ways.items() if self.code in codes), self.code)
        return f"{way} {self.name} {self.grant.generation if self.grant else 0}"


_TOKEN_FAILURE_CODES = frozenset(
    {REFRESH_TOKEN_REJECTED, ACCESS_TOKEN_REJECTED, *NOT_CHECKED_CODES}
)
"""Failures of connections that may belong to a cause which ended refresh tokens."""


@dataclass(frozen=True)
class CauseGroup:
    """Connections that one cause has stopped."""

    level: CauseLevel
    key: str
    cases: tuple[FailureCase, ...]
    suspected_cases: tuple[FailureCase, ...] = ()
    """Those that it most likely stopped, too."""

    @property
    def is_single_grant(self) -> bool:
        """Whether one connection died by itself, of which its own words say more."""
        return (
            len(self.cases) == 1
            and self.cases[0].code == REFRESH_TOKEN_REJECTED
            and not self.suspected_cases
        )

    @property
    def all_cases(self) -> tuple[FailureCase, ...]:
        return (*self.cases, *self.suspected_cases)

    @property
    def code(self) -> str:
        """Where the words for all of it stand; empty where those of its first case say it."""
        code = self.cases[0].code
        if self.level is CauseLevel.CONNECTION or self.is_single_grant:
            return ""
        if code == SUSPECTED_REJECTION:
            return "account-refused-for-now" if len(self.cases) > 1 else ""
        if code in NOT_CHECKED_CODES:
            return "not-asked-yet"
        return "client-refused" if code in CLIENT_REJECTED_CODES else _CODE_BY_LEVEL[self.level]


_CODE_BY_LEVEL = {
    CauseLevel.ACCOUNT: "account-tokens-dead",
    CauseLevel.CLIENT: "client-tokens-dead",
    CauseLevel.DATA_CENTER: "data-centre-unreached",
}


def group_by_cause(
    cases: Iterable[FailureCase], is_client_only: Callable[[FailureCase], bool]
) -> list[CauseGroup]:
    """The cases by their causes. `client_alone` tells of a dead one whether its account lives on
    with another client."""
    cases = sorted(cases, key=lambda case: case.name)
    ended: dict[tuple[str, str, str], list[FailureCase]] = defaultdict(list)
    for case in cases:
        if case.code == REFRESH_TOKEN_REJECTED and case.email:
            ended[case.account_and_client].append(case)
    of = {owner: _key_of_rejected(rejected[0], is_client_only) for owner, rejected in ended.items()}
    by_key: dict[tuple[CauseLevel, str], list[FailureCase]] = defaultdict(list)
    suspects: dict[tuple[CauseLevel, str], list[FailureCase]] = defaultdict(list)
    for case in cases:
        dead = ended.get(case.account_and_client, [])
        if case in dead:
            by_key[of[case.account_and_client]].append(case)
        elif _is_suspected(case, dead):
            suspects[of[case.account_and_client]].append(case)
        else:
            by_key[_key_of(case)].append(case)
    return [
        CauseGroup(
            reach, f"{reach} {who} {found[0].code}", tuple(found), tuple(suspects[reach, who])
        )
        for (reach, who), found in by_key.items()
    ]


def _key_of_rejected(
    case: FailureCase, is_client_only: Callable[[FailureCase], bool]
) -> tuple[CauseLevel, str]:
    email, location, client_id = case.account_and_client
    if is_client_only(case):
        return CauseLevel.CLIENT, f"{email} {client_id} {location}"
    return CauseLevel.ACCOUNT, f"{email} {location}"


def _is_suspected(case: FailureCase, rejected: list[FailureCase]) -> bool:
    """Whether a connection most likely died with others of its account and client: its access token
    is refused, or several died and nobody could ask about this one."""
    if case.code in (ACCESS_TOKEN_REJECTED, SUSPECTED_REJECTION):
        return bool(rejected)
    return case.code in NOT_CHECKED_CODES and len(rejected) >= MIN_SIMULTANEOUS


def _key_of(case: FailureCase) -> tuple[CauseLevel, str]:
    """What a connection that fails has in common with others that fail alike."""
    if case.code in UNREACHABLE_CODES:
        return CauseLevel.DATA_CENTER, case.location
    if case.code in CLIENT_REJECTED_CODES:
        return CauseLevel.CLIENT, f"{case.client_id} {case.location}"
    if case.code == SUSPECTED_REJECTION:
        return CauseLevel.ACCOUNT, f"{case.email or case.name} {case.location} suspected"
    if case.code in NOT_CHECKED_CODES:
        return CauseLevel.CLIENT, f"{case.client_id} {case.location} not-asked"
    return CauseLevel.CONNECTION, f"{case.name} {case.location}"
