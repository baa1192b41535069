"""The page of one connection: the data that it shows, and its destinations.

Pages can't add destinations, so that a browser session can't write arbitrary files or run arbitrary
commands. They show the command that adds one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.delivery.profiles import profile, profiles
from wizard.delivery.service import DestinationStatus
from wizard.diagnosis.service import ExplainedStatus
from wizard.errors import describe_event, describe_outcome, fail
from wizard.model import Attempt, AttemptState, Connection, Explanation, Grant, GrantState
from wizard.model.failure import codes_with
from wizard.model.states import ActivityKind, ConnectionState, last_check_of
from wizard.product_api import probe_url
from wizard.store import ConnectionOverview, Destination
from wizard.timefmt import format_time
from wizard.verification.service import VERIFIABLE_STATES
from wizard.web import view_models
from wizard.web.context import get_services
from wizard.web.view_models import ReportView, ScopeView, StatusBadge, state_badge
from wizard.zoho import products_of

pages = Blueprint("connection_page", __name__)


@dataclass(frozen=True)
class ConnectionView:
    """The head of the page: the connection and its state."""

    name: str
    state: ConnectionState
    badges: tuple[StatusBadge, ...]
    progress: int | None
    location_text: str
    scopes: list[ScopeView]
    facts: Mapping[str, str]
    client_id: str
    client_name: str
    has_grant: bool
    attempt: Attempt | None
    is_waiting: bool
    """A browser was sent to Zoho and has not come back."""
    explanation: Explanation | None
    is_warning: bool
    can_verify: bool
    """The failure concerns the live calls, which may succeed later."""
    can_ignore_wait: bool
    """Zoho asked to wait, and one request may be sent anyway."""
    authorize_label: str

    @property
    def path(self) -> str:
        return f"/connections/{self.name}"


@dataclass(frozen=True)
class UsageView:
    """How programs use a verified connection; commands and URLs, never a token."""

    token_command: str
    reveal_command: str
    curl_command: str
    sign_out_url: str


def page_context(name: str, answers: tuple[str, ...] = ()) -> dict[str, Any]:
    """The template context of the page of connection `name`; `answers` are the user's answers to
    the diagnosis's questions. Raises ``unknown-connection``."""
    services = get_services()
    overview = services.store.overviews.get(name)
    request_log = _request_log_view(name)  # first, because it reads the longest period
    report = _report_view(overview, answers)
    status = services.diagnosis.status_of(name, answers, _running(name, report))
    if report and status.explanation:
        report = report.without_explanation(status.explanation.code)
    view = _connection_view(overview.connection, status, report)
    current = overview.grant
    is_usable = current is not None and current.state is GrantState.VERIFIED
    return {
        "view": view,
        "answers": answers,
        "report": report,
        "usage": _usage_view(current) if current and is_usable else None,
        "mismatch": compare_grants(status.grant, current) if _is_mismatch(status) else None,
        "zoho_page_choices": services.diagnosis.possible_zoho_pages(name)
        if view.is_waiting
        else (),
        "destinations": destination_views(name),
        "profiles": list(profiles().values()),
        "cautions": services.cautions.of_connection(name),
        "request_log": request_log,
        "history": [
            {"at": each.at, "text": describe_event(each)}
            for each in services.store.events.of_connection(name)
        ],
    }


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
    # Before the report is read, so that a verification that ends in between is included.
    is_verifying = services.verification_worker.is_verifying(name, grant.generation)
    report = services.store.verification_reports.get(name, grant.generation)
    own = replace(overview, attempt=None)
    if grant.state is GrantState.NOT_VERIFIED:
        own = replace(own, grant=None, last_check=last_check_of(report), unanswered_refresh=None)
    now = services.clock()
    badges = view_models.status_badges(
        own.status(now, ActivityKind.VERIFYING if is_verifying else None), now
    )
    explain = partial(services.diagnosis.explain, name, answers=answers)
    return view_models.report_view(grant, report, is_verifying, badges, explain)


def _running(name: str, report: ReportView | None) -> ActivityKind | None:
    """What this process is doing with connection `name` now."""
    if report is not None and report.is_running:
        return ActivityKind.VERIFYING
    progress = get_services().background_checks.progress()
    return ActivityKind.CHECKING if progress and name in progress.remaining else None


def _connection_view(
    connection: Connection, explained: ExplainedStatus, report: ReportView | None
) -> ConnectionView:
    services, grant, attempt = get_services(), explained.grant, explained.attempt
    client = services.store.clients.get(connection.client_id)
    location = grant.location if grant else connection.location
    data_center_name = (
        services.zoho.data_center(location).name if location else "data centre not known yet"
    )
    explanation = None if report and report.is_running else explained.explanation
    is_temporary = _is_temporary(explanation)
    can_verify = bool(explanation) and attempt is None and _can_verify(explained)
    # A new refresh token doesn't help against an outage at Zoho.
    label = "" if can_verify and is_temporary else _authorize_label(explained)
    is_working = grant is not None and grant.state is GrantState.VERIFIED
    was_revoked = attempt is None and grant is not None and grant.state is GrantState.REVOKED
    return ConnectionView(
        name=connection.name,
        state=explained.status.state,
        badges=view_models.status_badges(explained.status, services.clock()),
        progress=None if connection.generation else _progress(explained),
        location_text=f"{data_center_name} · client {client.name}",
        scopes=view_models.scope_views(connection.scope),
        facts=_facts(connection, grant),
        client_id=client.client_id,
        client_name=client.name,
        has_grant=grant is not None,
        attempt=attempt,
        is_waiting=attempt is not None and attempt.state is AttemptState.REDIRECTED,
        explanation=explanation,
        is_warning=is_temporary or is_working or was_revoked,
        can_verify=can_verify,
        can_ignore_wait=can_verify
        and explanation is not None
        and explanation.code in codes_with("ignorable_wait"),
        authorize_label=label,
    )


def _progress(explained: ExplainedStatus) -> int | None:
    """The step that a connection not verified yet is at, as an index for `progress_steps` of the
    templates; None if none fits."""
    if explained.attempt is not None or explained.grant is None:
        return 2
    return 3 if explained.grant.state is GrantState.NOT_VERIFIED else None


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


def _authorize_label(explained: ExplainedStatus) -> str:
    """The label of the button beside an explanation that starts a new authorization; empty: no
    button."""
    grant, attempt = explained.grant, explained.attempt
    if explained.status.state is ConnectionState.OUTCOME_UNKNOWN:
        return "Begin a new consent"
    is_working = grant is not None and grant.state is GrantState.VERIFIED
    if attempt is not None and not is_working:
        return "Try again at Zoho" if attempt.state is AttemptState.FAILED else ""
    has_ended = grant is not None and grant.state.is_ended
    return "Re-authorize" if has_ended or _can_verify(explained) else ""


def _is_temporary(explanation: Explanation | None) -> bool:
    return bool(explanation and explanation.failure and explanation.failure.temporary)


def _facts(connection: Connection, grant: Grant | None) -> dict[str, str]:
    facts = {"Data centre chosen": connection.location or "none; Zoho tells"}
    if grant is not None:
        data_center = get_services().zoho.data_center(grant.location)
        facts = {
            "Grant": f"number {grant.generation}, "
            f"given {format_time(grant.granted_at, get_services().clock())}; "
            "a grant is what one consent gives: a refresh token",
            "Issued by": data_center.accounts_server,
            "API domain": f"{data_center.api_domain}, where your program’s calls go",
        }
        if grant.account is not None:
            facts["Account"] = f"{grant.account.email} (Zoho’s user id, ZUID: {grant.account.zuid})"
        for each in grant.organizations:
            facts[view_models.describe_organization(each).partition(":")[0]] = (
                f"{each.name} ({each.id})"
            )
    return facts


def _usage_view(grant: Grant) -> UsageView:
    name = grant.connection
    data_center = get_services().zoho.data_center(grant.location)
    token_expression = f"$(zoho-wizard token {name})"
    call = _probe_call(grant)
    header = f"printf 'Authorization: Zoho-oauthtoken %s' \"{token_expression}\""
    return UsageView(
        token_command=f"zoho-wizard token {name}",
        reveal_command=f"zoho-wizard show {name} --reveal",
        curl_command=f"{header} | curl -H @- '{call}'" if call else "",
        sign_out_url=data_center.sign_out_url,
    )


def _probe_call(grant: Grant) -> str:
    """The URL of the first live call that verified `grant`, else of the account."""
    data_center = get_services().zoho.data_center(grant.location)
    for product in products_of(grant.scope):
        organizations = [each for each in grant.organizations if each.product == product.id]
        if url := probe_url(
            product, data_center, organizations[0] if organizations else None, grant.scope
        ):
            return url
    return data_center.user_info_endpoint


def compare_grants(new: Grant | None, previous: Grant | None) -> dict[str, Any]:
    """Compare a grant that needs a decision with the previous one, for the template."""
    is_previous_in_use = previous is not None and previous.state is GrantState.VERIFIED
    sides = [("The one before, still in use" if is_previous_in_use else "The one before", previous)]
    sides.append(("The new one", new))
    return {
        "generation": new.generation if new else 0,
        "sign_out": get_services().zoho.data_center(new.location).sign_out_url if new else "",
        "sides": [_grant_side(title, grant) for title, grant in sides if grant is not None],
    }


def _grant_side(title: str, grant: Grant) -> dict[str, Any]:
    return {
        "title": title,
        "account": grant.account.email if grant.account else "unknown",
        "organizations": [view_models.describe_organization(each) for each in grant.organizations],
        "where": get_services().zoho.data_center(grant.location).name,
    }


def _request_log_view(name: str) -> dict[str, Any]:
    view = get_services().request_log.view(name)
    is_deferrable_lower = view.deferrable_requests_left < view.token_requests_left
    deferrable_text = (
        f" ({view.deferrable_requests_left} for a diagnosis, which leaves room for the client)"
        if is_deferrable_lower
        else ""
    )
    sentence = (
        f"In these ten minutes {view.token_requests_left} token requests and "
        f"{view.authorizations_left} "
        "consents are left before the wizard stops itself, below Zoho’s own limits"
        f"{deferrable_text}. "
        f"Refresh tokens of this person and client stored here: {view.refresh_token_count}."
    )
    if view.is_counted_by_client:
        sentence += (
            " Zoho throttled a grant within its own budget: for a day the client’s requests are "
            f"counted together ({view.client_requests_left} left) and its renewals are spread."
        )
    requests = [
        {"at": a.at, "kind": a.kind, "outcome": describe_outcome(a.outcome)} for a in view.requests
    ]
    return {"sentence": sentence, "requests": requests}


@dataclass(frozen=True)
class DestinationView:
    """One destination, without delivered values."""

    id: int
    target: str
    entry: str
    kind: str
    badge: StatusBadge
    changed_fields: str
    delivered_at: datetime | None
    usage: str
    """Whether its program uses what was delivered, in words."""
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
        kind=profile(destination.profile).title,
        badge=state_badge(status.state, **status.details),
        changed_fields=", ".join(status.changed_fields),
        delivered_at=destination.delivered_at,
        usage=_usage_text(destination),
        reload_command=destination.reload_command,
        can_undo=destination.delivered_at is not None
        and destination.previous_generation != destination.generation,
        explanation=get_services().diagnosis.explain(destination.connection, failure)
        if failure
        else None,
    )


def _usage_text(destination: Destination) -> str:
    if destination.reloaded_at is not None:
        return "in use: the reload succeeded"
    if destination.reload_command:
        return "not proved: the reload has not succeeded"
    return "not known: no reload command was given"
