"""Group failing connections by cause.

Connections that fail together show the cause. If Zoho rejects tokens of one account but accepts
their clients, the account is the cause; if only one client's tokens fail, the app was removed. A
rejected client fails everywhere. An unreachable data center says nothing about a token.
A connection that couldn't be checked within Zoho's limits is listed with its most likely cause.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from wizard.delivery.service import DestinationStatus
from wizard.diagnosis.judgment import Diagnosis
from wizard.diagnosis.rendering import explain_failure, render
from wizard.diagnosis.service import DiagnosisService
from wizard.diagnosis.tokens import ACCESS_TOKEN_LIFETIME
from wizard.model import (
    Clock,
    Connection,
    Explanation,
    Failure,
    FailureKind,
    Grant,
    GrantState,
    RequestKind,
)
from wizard.store import ConnectionOverview, Store
from wizard.verification.steps import SUSPECTED_REJECTION
from wizard.zoho import Zoho

UNREACHABLE_KINDS = (FailureKind.NETWORK, FailureKind.OUTAGE)
"""The data center is down or can't be reached."""

REFRESH_TOKEN_REJECTED = "refresh-token-rejected"  # noqa: S105 a code, no secret
ACCESS_TOKEN_REJECTED = "token-invalid"  # noqa: S105 a code, no secret

NOT_CHECKED_KINDS = (FailureKind.LIMIT, FailureKind.BUSY, FailureKind.UNCONFIRMED)
"""Zoho's limits or another process prevented the check, so nothing is known."""

MIN_REJECTED_CONNECTIONS = 2
"""If so many tokens of one account and client were rejected, another probably is, too."""


class CauseLevel(StrEnum):
    """How much a cause affects."""

    CONNECTION = "connection"
    ACCOUNT = "account"
    CLIENT = "client"
    DATA_CENTER = "data_center"
    DESTINATION = "destination"


@dataclass(frozen=True)
class FailureCase:
    """One connection that fails."""

    connection: Connection
    grant: Grant | None
    failure: Failure
    is_access_token_rejected: bool = False

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
        return self.grant.email if self.grant else ""

    @property
    def account_and_client(self) -> tuple[str, str, str]:
        """The account, its data center and the client, whose connections usually fail together."""
        return self.email, self.location, self.client_id

    @property
    def mark(self) -> str:
        """How the connection fails, its name, and its generation."""
        if self.kind in UNREACHABLE_KINDS:
            way = "unreached"
        elif self.kind is FailureKind.CLIENT:
            way = "client"
        elif self.code == ACCESS_TOKEN_REJECTED or self.kind in NOT_CHECKED_KINDS:
            way = REFRESH_TOKEN_REJECTED  # the cause may have ended refresh tokens
        else:
            way = self.code
        return f"{way} {self.name} {self.grant.generation if self.grant else 0}"


@dataclass(frozen=True)
class CauseGroup:
    """Connections that fail for the same reason."""

    level: CauseLevel
    key: str
    cases: tuple[FailureCase, ...]
    suspected_cases: tuple[FailureCase, ...] = ()
    """Connections that probably fail for it, too."""

    @property
    def is_single_grant(self) -> bool:
        """Whether one connection failed by itself, so that its own explanation is better."""
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
        """The code of the words for all of them; empty if the first case's are better."""
        code, kind = self.cases[0].code, self.cases[0].kind
        if self.level is CauseLevel.CONNECTION or self.is_single_grant:
            return ""
        if code == SUSPECTED_REJECTION:
            return "account-refused-for-now" if len(self.cases) > 1 else ""
        if kind in NOT_CHECKED_KINDS:
            return "not-asked-yet"
        return "client-refused" if kind is FailureKind.CLIENT else _CODE_BY_LEVEL[self.level]


_CODE_BY_LEVEL = {
    CauseLevel.ACCOUNT: "account-tokens-rejected",
    CauseLevel.CLIENT: "client-tokens-rejected",
    CauseLevel.DATA_CENTER: "data-center-unreached",
    CauseLevel.DESTINATION: "destinations-not-current",
}


def group_by_cause(
    cases: Iterable[FailureCase], is_client_only: Callable[[FailureCase], bool]
) -> list[CauseGroup]:
    """Group cases by cause. `is_client_only` says whether another client's token of the same
    account works."""
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
    """Whether a connection probably failed with others of its account and client: its access token
    is rejected, or several of them were rejected and this one couldn't be checked."""
    if case.code in (ACCESS_TOKEN_REJECTED, SUSPECTED_REJECTION):
        return bool(rejected)
    return case.kind in NOT_CHECKED_KINDS and len(rejected) >= MIN_REJECTED_CONNECTIONS


def _key_of(case: FailureCase) -> tuple[CauseLevel, str]:
    """What a failing connection shares with others that fail for the same reason."""
    if case.kind in UNREACHABLE_KINDS:
        return CauseLevel.DATA_CENTER, case.location
    if case.kind is FailureKind.CLIENT:
        return CauseLevel.CLIENT, f"{case.client_id} {case.location}"
    if case.code == SUSPECTED_REJECTION:
        return CauseLevel.ACCOUNT, f"{case.email or case.name} {case.location} suspected"
    if case.kind in NOT_CHECKED_KINDS:
        return CauseLevel.CLIENT, f"{case.client_id} {case.location} not-asked"
    return CauseLevel.CONNECTION, f"{case.name} {case.location}"


NEEDS_CONSENT_EXIT_CODE = 3
"""The exit code of explanations that a new authorization fixes."""


@dataclass(frozen=True)
class Incident:
    """One cause, and everything it affects."""

    level: CauseLevel
    names: tuple[str, ...]
    explanation: Explanation
    key: str
    """Identifies this cause among others of the same check."""
    marks: frozenset[str]
    """How, which connection and which generation failed. Two checks with a common mark have found
    the same cause, however far it has spread."""
    email: str = ""
    """The account that has to sign in; empty if that fixes nothing, or if it is unknown."""
    programs: tuple[str, ...] = ()
    """The destinations that have credentials of these connections."""
    access_tokens_expire_at: datetime | None = None
    """When the last access token that a program may have expires; None: all have expired or were
    rejected."""
    suspected_names: tuple[str, ...] = ()
    """Connections that it probably affects, too, and that couldn't be checked. For a rejected
    client: those that fail when their access tokens expire."""

    @property
    def needs_reauthorization(self) -> bool:
        """Whether a new authorization is needed."""
        return self.explanation.exit_code == NEEDS_CONSENT_EXIT_CODE

    @property
    def is_pending(self) -> bool:
        """Whether the connections couldn't be checked yet."""
        return self.explanation.kind in NOT_CHECKED_KINDS

    @property
    def to_reauthorize(self) -> tuple[str, ...]:
        """The connections to re-authorize."""
        refused = self.needs_reauthorization or self.explanation.kind is FailureKind.UNCONFIRMED
        return (*self.names, *self.suspected_names) if refused else ()


RELOAD_FAILED = "reload-failed"
"""The destination has the current credentials; its program may not."""


def _destination_incident(
    code: str, statuses: Collection[DestinationStatus], now: datetime
) -> Incident:
    """One incident of several destinations; `code` is that of their words together."""
    problems = [(each.destination, each.problem) for each in statuses if each.problem]
    names = tuple(dict.fromkeys(destination.connection for destination, _ in problems))
    targets = tuple(dict.fromkeys(destination.target for destination, _ in problems))
    failure = problems[0][1]
    if len(problems) > 1:
        details = {"count": str(len(problems)), "targets": ", ".join(targets)}
        failure = Failure(code, details=details)
    return Incident(
        level=CauseLevel.DESTINATION,
        names=names,
        explanation=explain_failure(
            failure, now, **({"name": names[0]} if len(names) == 1 else {})
        ),
        key=f"{CauseLevel.DESTINATION} {code}",
        marks=frozenset(
            f"{each.code} {destination.connection} {destination.id} {destination.machine}".strip()
            for destination, each in problems
        ),
        programs=targets,
    )


def _case_of(row: ConnectionOverview, failure: Failure) -> FailureCase:
    return FailureCase(row.connection, row.grant, failure, row.is_access_token_rejected)


class Incidents:
    """Groups failures by cause."""

    def __init__(self, store: Store, diagnosis: DiagnosisService, zoho: Zoho, clock: Clock) -> None:
        self._store = store
        self._diagnosis = diagnosis
        self._zoho = zoho
        self._clock = clock

    def stored(self, rows: Iterable[ConnectionOverview] | None = None) -> tuple[Incident, ...]:
        """The causes of stored failures. `rows` are the unsettled connections, if they were read
        already. Sends nothing."""
        rows = self._store.overviews.unsettled() if rows is None else rows
        cases = ((row, self._stored_failure(row)) for row in rows)
        return self._create_incidents([_case_of(row, failure) for row, failure in cases if failure])

    def from_failures(
        self, failures: Mapping[str, Failure], working_names: Collection[str] = ()
    ) -> tuple[Incident, ...]:
        """The causes of the failures that a check has just found, by connection; `working_names`
        worked in the same check."""
        rows = self._store.overviews.all(failures)
        cases = [_case_of(row, failures[row.connection.name]) for row in rows]
        unreachable_locations = {case.location for case in cases if case.kind in UNREACHABLE_KINDS}
        others = (
            self._store.overviews.all(working_names)
            if unreachable_locations and working_names
            else ()
        )
        return self._create_incidents(cases, {row.grant.location for row in others if row.grant})

    def of_destinations(self, statuses: Iterable[DestinationStatus]) -> tuple[Incident, ...]:
        """The problems of destinations, as `DeliveryService.problems` found them."""
        of_reloads: list[DestinationStatus] = []
        of_content: list[DestinationStatus] = []
        for each in statuses:
            is_reload = each.problem is not None and each.problem.code == RELOAD_FAILED
            (of_reloads if is_reload else of_content).append(each)
        groups = (
            (_CODE_BY_LEVEL[CauseLevel.DESTINATION], of_content),
            ("reloads-failed", of_reloads),
        )
        return tuple(
            _destination_incident(code, found, self._clock()) for code, found in groups if found
        )

    def _stored_failure(self, row: ConnectionOverview) -> Failure | None:
        grant = row.grant or row.candidate
        if grant is None or grant.state is GrantState.REVOKED:
            return None
        if grant.state is GrantState.NEEDS_REAUTHORIZATION:
            return grant.failure or Failure("refresh-token-rejected")
        return row.last_check.failure if row.last_check else None

    def _create_incidents(
        self, cases: list[FailureCase], reachable_locations: Collection[str] = ()
    ) -> tuple[Incident, ...]:
        """The causes of `cases`; other connections reached the `reachable_locations`."""
        self._store.include(case.name for case in cases)
        groups = group_by_cause(cases, self._is_client_only)
        last = self._recent_refreshes(cases) if groups else {}
        programs = self._store.destinations.programs() if groups else {}
        incidents = [
            self._create_incident(group, last, programs, reachable_locations) for group in groups
        ]
        return tuple(
            sorted(
                incidents,
                key=lambda each: (not each.needs_reauthorization, -len(each.names), each.names),
            )
        )

    def _recent_refreshes(self, cases: Collection[FailureCase]) -> dict[str, datetime]:
        """When each connection of the cases' clients last got an access token that may still
        work."""
        since = self._clock() - ACCESS_TOKEN_LIFETIME
        refreshed = [
            each
            for client_id in {case.client_id for case in cases}
            for each in self._store.request_log.requests(since=since, client_id=client_id)
            if each.kind is RequestKind.REFRESH and each.outcome == "ok"
        ]
        last = {each.connection: each.at for each in reversed(refreshed)}
        rejected = {each.name for each in cases if each.is_access_token_rejected}
        return {name: at for name, at in last.items() if name not in rejected}

    def _is_client_only(self, case: FailureCase) -> bool:
        """Whether another client's token of the same account works, so that the account isn't the
        cause."""
        ruled_out = self._diagnosis.judge(case.name, case.failure).ruled_out
        return any(each.code == "password-changed" for each in ruled_out)

    def _create_incident(
        self,
        group: CauseGroup,
        last_refreshes: Mapping[str, datetime],
        programs: Mapping[str, list[str]],
        reachable_locations: Collection[str],
    ) -> Incident:
        first = group.cases[0]
        explanation = render(self._judge_group(group, reachable_locations))
        names = [each.name for each in group.all_cases]
        suspects = [each.name for each in group.suspected_cases]
        if first.kind is FailureKind.CLIENT:
            users = self._store.grants.connections_using(first.client_id, first.location)
            suspects = [name for name in users if name not in names]
        ends = [
            last_refreshes[name] + ACCESS_TOKEN_LIFETIME
            for name in (*names, *suspects)
            if name in last_refreshes
        ]
        signs_in = (
            explanation.exit_code == NEEDS_CONSENT_EXIT_CODE or first.code == SUSPECTED_REJECTION
        )
        targets = (each for name in names for each in programs.get(name, ()))
        return Incident(
            level=CauseLevel.CONNECTION if group.is_single_grant else group.level,
            names=tuple(case.name for case in group.cases),
            explanation=explanation,
            key=group.key,
            marks=frozenset(case.mark for case in group.all_cases),
            email=first.email if signs_in else "",
            programs=tuple(dict.fromkeys(targets)),
            access_tokens_expire_at=max((end for end in ends if end > self._clock()), default=None),
            suspected_names=tuple(suspects),
        )

    def _judge_group(self, group: CauseGroup, reachable_locations: Collection[str]) -> Diagnosis:
        """The diagnosis of the group's first connection, with what the group has in common."""
        first, code = group.cases[0], group.code
        own = self._diagnosis.judge(first.name, first.failure)
        if not code:
            return own
        if group.level is CauseLevel.DATA_CENTER and first.location in reachable_locations:
            code = "data-center-partly-unreached"
        incident = replace(first.failure, code=code, details=self._details(group))
        return replace(own, incident=incident)

    def _details(self, group: CauseGroup) -> dict[str, str]:
        first = group.cases[0]
        place = self._zoho.data_center(first.location).name if first.location else ""
        return {
            "obstacle": first.failure.details.get("obstacle", ""),
            "count": str(len(group.all_cases)),
            "suspected": str(len(group.suspected_cases) or ""),
            "names": " ".join(each.name for each in group.all_cases),
            "email": first.email,
            "client": self._store.clients.get(first.client_id).name,
            "client_id": first.client_id,
            "data_center": place,
        }
