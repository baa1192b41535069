"""The page of one connection: the data that it shows, and its destinations.

Pages can't add destinations, so that a browser session can't write arbitrary files or run arbitrary
commands. They show the command that adds one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.authorization import ATTEMPT_LIFETIME
from wizard.code_samples import CodeSample, code_samples
from wizard.connection_details import access_places
from wizard.delivery.profiles import profile_title, profiles
from wizard.delivery.service import DestinationStatus, recorded_state
from wizard.diagnosis.incidents import Incident
from wizard.diagnosis.rendering import explain_failure
from wizard.diagnosis.service import ExplainedStatus
from wizard.errors import describe_event, describe_outcome, fail
from wizard.model import (
    AnswerOption,
    Attempt,
    AttemptMode,
    AttemptState,
    Cause,
    Confidence,
    Connection,
    Explanation,
    Grant,
    GrantState,
)
from wizard.model.failure import codes_with
from wizard.model.states import (
    ActivityKind,
    ConnectionState,
    DestinationState,
    Tone,
    last_check_of,
)
from wizard.serialization import explanation_to_json, to_json
from wizard.store import ConnectionOverview, Destination
from wizard.verification.service import VERIFIABLE_STATES
from wizard.web import view_models
from wizard.web.context import assisted_name, get_services
from wizard.web.view_models import CardTone, ReportView, ScopeView, StatusBadge, state_badge
from wizard.zoho import limits

pages = Blueprint("connection_page", __name__)

_SETTLED_ADDITIONS = (AttemptState.STORED, AttemptState.ABANDONED)

NEW_AUTHORIZATION_AGE = timedelta(minutes=15)
"""For so long, the report of an authorization is the first thing on the page."""


@dataclass(frozen=True)
class ConnectionView:
    """The head of the page: the connection and its state."""

    connection: Connection
    state: ConnectionState
    badges: tuple[StatusBadge, ...]
    verified_at: datetime | None
    """When the last step passed; None if the connection isn't verified."""
    checking_until: datetime | None
    """Until when a running check waits for a rate limit."""
    is_checking: bool
    progress: int | None
    place: tuple[str, ...]
    """Organizations, environments, data center and account, as far as they are known."""
    scopes: list[ScopeView]
    grant: Grant | None
    """The current grant, else the newest."""
    client_id: str
    client_name: str
    attempt: Attempt | None
    is_waiting: bool
    """A browser was sent to Zoho and has not come back."""

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def path(self) -> str:
        return f"/connections/{self.name}"

    @property
    def needs_reauthorization(self) -> bool:
        return self.state is ConnectionState.NEEDS_REAUTHORIZATION


@dataclass(frozen=True)
class ProblemView:
    """What is wrong with the connection, the likeliest cause, and what to do."""

    explanation: Explanation
    tone: CardTone
    is_rejected_by_user: bool
    """The user has just pressed Reject at Zoho, as far as the evidence shows."""
    leading_cause: Cause | None
    """The likeliest cause; None if the evidence points to none."""
    other_causes: tuple[Cause, ...]
    names_to_reauthorize: tuple[str, ...]
    """The connections that stopped together and need re-authorization, or probably do, with this
    one."""
    shared_cause: str
    """Why they stopped together; empty if this one stopped by itself."""
    email: str
    program_count: int
    """Programs that a re-authorization updates."""
    can_verify: bool
    """The failure concerns the live calls, which may succeed later."""
    can_ignore_wait: bool
    """Zoho asked to wait, and one request may be sent anyway."""
    can_retry: bool
    """The authorization failed, and another one can be started."""
    can_reauthorize: bool
    failed_at: datetime | None
    report: str
    """The failure as JSON, to be copied into an issue. It contains no secret."""

    @property
    def answers(self) -> dict[str, AnswerOption]:
        """The answers to the question, by the cause that they affirm; others deny all causes."""
        return {each.answers[-1]: each for each in self.explanation.answer_options}

    @property
    def denials(self) -> list[AnswerOption]:
        """The answers that deny the causes that the question names."""
        codes = {each.code for each in self.explanation.causes}
        return [each for code, each in self.answers.items() if code not in codes]


@dataclass(frozen=True)
class ScopeAdditionView:
    """The newest attempt to add scopes in place, until it is settled."""

    scope: str
    """The scopes to add, separated by commas."""
    started_at: datetime
    email: str
    """Who must be signed in at Zoho."""
    explanation: Explanation | None
    """Why the scopes weren't added, or that it is unknown; None: Zoho hasn't answered yet."""


@dataclass(frozen=True)
class UsageView:
    """How programs use a verified connection; commands and URLs, never a token."""

    samples: tuple[CodeSample, ...]
    add_command: str
    reveal_command: str
    sign_out_url: str


def page_context(name: str, answers: tuple[str, ...] = ()) -> dict[str, Any]:
    """The template context of the page of connection `name`; `answers` are the user's answers to
    the diagnosis's questions. Raises ``unknown-connection``."""
    services = get_services()
    unsettled = services.store.overviews.unsettled(also=[name])  # read at once with this one
    overview = services.store.overviews.get(name)
    request_log = services.request_log.view(name)  # first, because it reads the longest period
    report = _report_view(overview, answers)
    status = services.diagnosis.status_of(name, answers, _running(name, report))
    if report and status.explanation:
        report = report.without_explanation(status.explanation.code)
    view = _connection_view(overview, status, report)
    current = overview.grant
    is_usable = current is not None and current.state is GrantState.VERIFIED
    is_verifying = report is not None and report.is_running
    problem = None if is_verifying else _problem_view(name, status, unsettled)
    return {
        "view": view,
        "answers": answers,
        "problem": problem,
        "report": report,
        "is_usable": is_usable,
        "is_report_first": report is not None and _is_report_first(report, status.grant),
        "usage": _usage_view(current) if current and is_usable else None,
        "mismatch": compare_grants(status.grant, current) if _is_mismatch(status) else None,
        "can_add_in_place": services.scope_addition.can_begin(name),
        "scope_addition": _scope_addition_view(overview),
        "zoho_page_choices": services.diagnosis.possible_zoho_pages(name)
        if view.is_waiting
        else (),
        "destinations": destination_views(name),
        "destinations_elsewhere": destinations_elsewhere(name, current),
        "profiles": list(profiles().values()),
        "cautions": services.cautions.of_connection(name),
        "grant_data_center": services.zoho.data_center(view.grant.location) if view.grant else None,
        "request_log": request_log,
        "requests": [
            {"at": each.at, "kind": each.kind, "outcome": describe_outcome(each.outcome)}
            for each in request_log.requests
        ],
        "limits": limits(),
        "history": [
            {"at": each.at, "text": describe_event(each)}
            for each in services.store.events.of_connection(name)
        ],
    }


def _scope_addition_view(overview: ConnectionOverview) -> ScopeAdditionView | None:
    """The attempt to add scopes in place that the user waits for, or whose outcome is new or
    unknown."""
    attempt, now = overview.attempt, get_services().clock()
    if attempt is None or not attempt.is_in_place or attempt.state in _SETTLED_ADDITIONS:
        return None
    is_old = now - attempt.created_at > ATTEMPT_LIFETIME
    if attempt.state is not AttemptState.OUTCOME_UNKNOWN and is_old:
        return None
    failure = attempt.failure
    return ScopeAdditionView(
        scope=",".join(attempt.scope),
        started_at=attempt.created_at,
        email=overview.grant.email if overview.grant else "",
        explanation=explain_failure(failure, now) if failure else None,
    )


def verifiable_grant(name: str) -> Grant | None:
    """The newest grant of connection `name` that can be verified."""
    grant = get_services().store.grants.candidate(name) or get_services().store.grants.get(name)
    return grant if grant is not None and grant.state in VERIFIABLE_STATES else None


def connection_report(name: str) -> ReportView | None:
    """The report of connection `name`: of the candidate if there is one, else of the current grant;
    None if there is neither, or it is revoked."""
    return _report_view(get_services().store.overviews.get(name), ())


def _report_view(overview: ConnectionOverview, answers: tuple[str, ...]) -> ReportView | None:
    services, name = get_services(), overview.connection.name
    grant = overview.candidate or overview.grant
    if grant is None or grant.state is GrantState.REVOKED:
        return None
    is_verifying = (name, grant.generation) in services.running_work.verifications
    report = services.store.verification_reports.get(name, grant.generation)
    if assisted_name() == name and grant.state is GrantState.NOT_VERIFIED:
        is_verifying |= report is None or not report.has_failed
    own = replace(overview, attempt=None)
    if grant.state is GrantState.NOT_VERIFIED:
        own = replace(own, grant=None, last_check=last_check_of(report), unanswered_refresh=None)
    now = services.clock()
    badges = view_models.status_badges(
        own.status(now, ActivityKind.VERIFYING if is_verifying else None), now
    )
    explain = partial(services.diagnosis.explain, name, answers=answers)
    return view_models.report_view(grant, report, is_verifying, badges, explain)


def _is_report_first(report: ReportView, grant: Grant | None) -> bool:
    """Whether the report is what the user waits for: it is running, or the authorization is new."""
    if report.is_running or report.is_unfinished:
        return True
    is_new = grant is not None and get_services().clock() - grant.granted_at < NEW_AUTHORIZATION_AGE
    return is_new and not report.is_outdated


def _running(name: str, report: ReportView | None) -> ActivityKind | None:
    """What this process is doing with connection `name` now."""
    if report is not None and report.is_running:
        return ActivityKind.VERIFYING
    is_checking = name in get_services().running_work.checked_names
    return ActivityKind.CHECKING if is_checking else None


def _connection_view(
    overview: ConnectionOverview, explained: ExplainedStatus, report: ReportView | None
) -> ConnectionView:
    services, connection, attempt = get_services(), overview.connection, explained.attempt
    grant = overview.grant or explained.grant
    client = services.store.clients.get(connection.client_id)
    status, checks = explained.status, services.running_work.checks
    badges = view_models.status_badges(status, services.clock())
    if _is_rejected_by_user(explained):
        badges = tuple(replace(each, tone=Tone.NEUTRAL) for each in badges)
    is_verified = status.state is ConnectionState.VERIFIED
    is_checking = status.activity is not None and status.activity.kind is ActivityKind.CHECKING
    return ConnectionView(
        connection=connection,
        state=status.state,
        badges=badges,
        verified_at=report.passed_at if is_verified and report else None,
        checking_until=checks.waiting_until if checks and is_checking else None,
        is_checking=is_checking,
        progress=None if connection.generation else _progress(explained),
        place=_place(connection, grant),
        scopes=view_models.scope_views(connection.scope),
        grant=grant,
        client_id=client.client_id,
        client_name=client.name,
        attempt=attempt,
        is_waiting=attempt is not None and attempt.state is AttemptState.REDIRECTED,
    )


def _place(connection: Connection, grant: Grant | None) -> tuple[str, ...]:
    if grant is None:
        return (connection.location.upper(),) if connection.location else ()
    return (*access_places(grant), *filter(None, [grant.email]))


def _progress(explained: ExplainedStatus) -> int | None:
    """The step that a connection not verified yet is at, as an index for `progress_steps` of the
    templates; None if none fits."""
    if explained.attempt is not None or explained.grant is None:
        return 2
    return 3 if explained.grant.state is GrantState.NOT_VERIFIED else None


def _problem_view(
    name: str, explained: ExplainedStatus, unsettled: Sequence[ConnectionOverview]
) -> ProblemView | None:
    """What is wrong with connection `name`; None if nothing is. `unsettled` are the connections
    that may need attention."""
    explanation, grant, attempt = explained.explanation, explained.grant, explained.attempt
    if explanation is None or explanation.code == "no-grant":
        return None
    is_working = grant is not None and grant.state is GrantState.VERIFIED
    is_temporary = bool(explanation.failure and explanation.failure.temporary)
    can_verify = attempt is None and _can_verify(explained)
    can_retry = attempt is not None and (
        attempt.state is AttemptState.OUTCOME_UNKNOWN
        or (attempt.state is AttemptState.FAILED and not is_working)
    )
    # A new refresh token doesn't help against an outage at Zoho.
    can_reauthorize = (
        not can_retry
        and (attempt is None or is_working)
        and not (can_verify and is_temporary)
        and (grant is not None and (grant.state.is_ended or _can_verify(explained)))
    )
    leading = _leading_cause(explanation)
    incident = _incident(name, explained, unsettled)
    names = incident.to_reauthorize if incident else ()
    programs = {
        (each.machine, each.target)
        for each in get_services().store.destinations.everywhere()
        if each.connection in (names or (name,))
    }
    return ProblemView(
        explanation=explanation,
        tone=_problem_tone(explained, explanation),
        is_rejected_by_user=_is_rejected_by_user(explained),
        leading_cause=leading,
        other_causes=tuple(each for each in explanation.causes if each is not leading),
        names_to_reauthorize=names,
        shared_cause=incident.explanation.cause if incident and len(names) > 1 else "",
        email=grant.email if grant else "",
        program_count=len(programs),
        can_verify=can_verify,
        can_ignore_wait=can_verify and explanation.code in codes_with("ignorable_wait"),
        can_retry=can_retry,
        can_reauthorize=can_reauthorize,
        failed_at=explained.status.last_check.at if explained.status.last_check else None,
        report=to_json(explanation_to_json(explanation), indent=2),
    )


def _problem_tone(explained: ExplainedStatus, explanation: Explanation) -> CardTone:
    tone, grant = view_models.card_tone(explanation), explained.grant
    is_working = grant is not None and grant.state is GrantState.VERIFIED
    if tone is CardTone.ERROR and is_working and explained.attempt is not None:
        return CardTone.WARNING  # a new authorization failed; the current one works
    return tone


def _is_rejected_by_user(explained: ExplainedStatus) -> bool:
    """Whether the user of this wizard has pressed Reject: Zoho says so, and the client's limit,
    after which it says the same, isn't known to be used up."""
    explanation, attempt = explained.explanation, explained.attempt
    return (
        explanation is not None
        and attempt is not None
        and attempt.mode is not AttemptMode.FORWARDED
        and explanation.failure_class == "consent-refused"
        and explanation.causes[0].code == "consent-rejected"
    )


def _leading_cause(explanation: Explanation) -> Cause | None:
    """The likeliest cause. A confirmed one already gives the explanation its words."""
    first = next(iter(explanation.causes), None)
    return first if first and first.confidence is not Confidence.POSSIBLE else None


def _incident(
    name: str, explained: ExplainedStatus, unsettled: Sequence[ConnectionOverview]
) -> Incident | None:
    """What ended this connection and others, or probably did; None if nothing was rejected."""
    is_rejected = explained.status.state is ConnectionState.NEEDS_REAUTHORIZATION
    if explained.attempt is not None and not is_rejected:
        return None
    incidents = get_services().incidents.stored(unsettled)
    return next((each for each in incidents if name in each.to_reauthorize), None)


def _can_verify(explained: ExplainedStatus) -> bool:
    """Whether the shown grant can be verified again."""
    grant = explained.grant
    return grant is not None and (
        grant.state is GrantState.VERIFIED
        or (grant.state is GrantState.NOT_VERIFIED and last_check_of(explained.report) is not None)
    )


def _is_mismatch(explained: ExplainedStatus) -> bool:
    grant = explained.grant
    return explained.attempt is None and grant is not None and grant.state is GrantState.MISMATCH


def _usage_view(grant: Grant) -> UsageView:
    name = grant.connection
    return UsageView(
        samples=code_samples(grant, get_services().zoho.data_center(grant.location)),
        add_command=f"zoho-wizard destination add {name} --profile dotenv --to .env",
        reveal_command=f"zoho-wizard show {name} --reveal",
        sign_out_url=get_services().zoho.data_center(grant.location).sign_out_url,
    )


def compare_grants(new: Grant | None, previous: Grant | None) -> dict[str, Any]:
    """Compare a grant that needs a decision with the previous one, for the template."""
    sides = (("previous", previous), ("new", new))
    return {
        "generation": new.generation if new else 0,
        "sign_out": get_services().zoho.data_center(new.location).sign_out_url if new else "",
        "sides": [_grant_side(role, grant) for role, grant in sides if grant is not None],
    }


def _grant_side(role: str, grant: Grant) -> dict[str, Any]:
    return {
        "role": role,
        "is_in_use": grant.state is GrantState.VERIFIED,
        "account": grant.email,
        "organizations": [view_models.describe_organization(each) for each in grant.organizations],
        "where": get_services().zoho.data_center(grant.location).name,
    }


@dataclass(frozen=True)
class DestinationView:
    """One destination, without delivered values."""

    id: int
    target: str
    entry: str
    kind: str
    state: DestinationState
    badge: StatusBadge
    changed_fields: str
    delivered_at: datetime | None
    reloaded_at: datetime | None
    reload_command: str
    can_undo: bool
    explanation: Explanation | None


def destination_views(name: str) -> list[DestinationView]:
    """The destinations of connection `name` and their status."""
    services = get_services()
    return [
        _destination_view(services.delivery.check(each))
        for each in services.store.destinations.all(name)
    ]


@dataclass(frozen=True)
class DestinationElsewhere:
    """One destination on another machine that shares the store."""

    target: str
    entry: str
    machine: str
    seen_at: datetime | None
    """When the machine last wrote to the store."""
    badge: StatusBadge
    delivered_at: datetime | None


def destinations_elsewhere(name: str, current: Grant | None) -> list[DestinationElsewhere]:
    """The destinations of connection `name` on other machines, by machine."""
    found = [
        DestinationElsewhere(
            each.target,
            each.entry,
            each.machine_name,
            each.machine_seen_at,
            state_badge(recorded_state(each, current), generation=str(each.generation)),
            each.delivered_at,
        )
        for each in get_services().store.destinations.elsewhere(name)
    ]
    return sorted(found, key=lambda each: each.machine)


@pages.post("/connections/<name>/deliver")
def deliver(name: str) -> Response:
    """Deliver the current grant to one destination."""
    return _apply(name, get_services().delivery.deliver)


@pages.post("/connections/<name>/undo-delivery")
def undo_delivery(name: str) -> Response:
    """Restore the previous content of one destination."""
    return _apply(name, get_services().delivery.undo)


@pages.post("/connections/<name>/remove-destination")
def remove_destination(name: str) -> Response:
    """Stop delivering to one destination, which keeps its content."""
    get_services().delivery.remove(_selected_destination(name))
    return redirect(f"/connections/{name}", 303)


def _apply(name: str, action: Callable[[Destination], Destination]) -> Response:
    action(_selected_destination(name))
    return redirect(f"/connections/{name}#destinations", 303)


def _selected_destination(name: str) -> Destination:
    """The destination that the form names, if it belongs to this connection."""
    get_services().store.connections.get(name)
    value = request.form.get("destination", "")
    for each in get_services().store.destinations.all(name):
        if str(each.id) == value:
            return each
    raise fail("unknown-destination", name=name, target="")


def _destination_view(status: DestinationStatus) -> DestinationView:
    destination, failure = status.destination, status.failure
    return DestinationView(
        id=destination.id,
        target=destination.target,
        entry=destination.entry,
        kind=profile_title(destination.profile),
        state=status.state,
        badge=state_badge(status.state, **status.details),
        changed_fields=", ".join(status.changed_fields),
        delivered_at=destination.delivered_at,
        reloaded_at=destination.reloaded_at,
        reload_command=destination.reload_command,
        can_undo=destination.delivered_at is not None
        and destination.previous_generation != destination.generation,
        explanation=get_services().diagnosis.explain(destination.connection, failure)
        if failure
        else None,
    )
