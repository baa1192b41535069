"""What fails together, and what that shows: pure judges of failures that were met in one look."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from wizard.model import Connection, Failure, FailureKind, Grant
from wizard.verification.steps import SUSPECTED_REJECTION

UNREACHABLE_KINDS = (FailureKind.NETWORK, FailureKind.OUTAGE)
"""Failures of the way to a data centre, or of the data centre itself."""

REFRESH_TOKEN_REJECTED = "grant-dead"  # noqa: S105 a code, no secret
ACCESS_TOKEN_REJECTED = "token-invalid"  # noqa: S105 a code, no secret

NOT_CHECKED_KINDS = (FailureKind.LIMIT, FailureKind.BUSY, FailureKind.UNCONFIRMED)
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
    def kind(self) -> FailureKind:
        return self.failure.kind

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
        if self.kind in UNREACHABLE_KINDS:
            way = "unreached"
        elif self.kind is FailureKind.CLIENT:
            way = "client"
        elif self.code == ACCESS_TOKEN_REJECTED or self.kind in NOT_CHECKED_KINDS:
            way = REFRESH_TOKEN_REJECTED  # may belong to a cause that ended refresh tokens
        else:
            way = self.code
        return f"{way} {self.name} {self.grant.generation if self.grant else 0}"


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
        code, kind = self.cases[0].code, self.cases[0].kind
        if self.level is CauseLevel.CONNECTION or self.is_single_grant:
            return ""
        if code == SUSPECTED_REJECTION:
            return "account-refused-for-now" if len(self.cases) > 1 else ""
        if kind in NOT_CHECKED_KINDS:
            return "not-asked-yet"
        return "client-refused" if kind is FailureKind.CLIENT else _CODE_BY_LEVEL[self.level]


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
    return case.kind in NOT_CHECKED_KINDS and len(rejected) >= MIN_SIMULTANEOUS


def _key_of(case: FailureCase) -> tuple[CauseLevel, str]:
    """What a connection that fails has in common with others that fail alike."""
    if case.kind in UNREACHABLE_KINDS:
        return CauseLevel.DATA_CENTER, case.location
    if case.kind is FailureKind.CLIENT:
        return CauseLevel.CLIENT, f"{case.client_id} {case.location}"
    if case.code == SUSPECTED_REJECTION:
        return CauseLevel.ACCOUNT, f"{case.email or case.name} {case.location} suspected"
    if case.kind in NOT_CHECKED_KINDS:
        return CauseLevel.CLIENT, f"{case.client_id} {case.location} not-asked"
    return CauseLevel.CONNECTION, f"{case.name} {case.location}"
