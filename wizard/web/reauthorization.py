"""The page of a re-authorization: its plan, its progress, and one consent after the other.

Progress is read from the store at every request, so it survives a closed browser, a crash and a
second tab. After a consent the next one opens automatically, unless it isn't known yet who
consented or a different account must sign in.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from flask import Blueprint, current_app, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.clients import AssistedConnection
from wizard.connection_details import describe_organizations, headline
from wizard.errors import WizardError, fail
from wizard.model import Explanation, is_same_email
from wizard.model.states import ItemState
from wizard.reauthorization.plan import (
    ARRIVED,
    RETRYING_STATES,
    SETTLED_STATES,
    Action,
    NextAction,
    Reauthorization,
    ReauthorizationItem,
    has_several_organizations,
)
from wizard.timefmt import format_time
from wizard.web import connection_page, consent_requests, view_models
from wizard.web.authorization import CONTINUE_URL, REAUTHORIZE_PATH, begin_authorization
from wizard.web.context import get_services, reads_snapshot, render_error
from wizard.web.sessions import current_session, render_browser_link
from wizard.web.view_models import StatusBadge

pages = Blueprint("reauthorization", __name__)

REAUTHORIZED_NAMES = "reauthorized_names"
"""Session key: the connections whose re-authorization this browser has shown."""

AUTHORIZED_STATES = frozenset(
    {
        ItemState.VERIFYING,
        *RETRYING_STATES,
        ItemState.NEEDS_DECISION,
        ItemState.DELIVERING,
        ItemState.NOT_DELIVERED,
        ItemState.REAUTHORIZED,
    }
)
"""States in which the user has consented since the re-authorization began."""

REQUESTABLE_STATES = frozenset(
    {ItemState.PENDING, ItemState.REQUEST_SENT, ItemState.AUTHORIZATION_FAILED}
)
"""States in which a link can be sent to the account owner."""

POLLED_ACTIONS = frozenset({Action.VERIFYING, Action.DELIVERING, Action.WAIT})
"""Actions that end without the user, so the page polls."""


@dataclass(frozen=True)
class ItemView:
    """One connection of a re-authorization."""

    name: str
    state: ItemState
    badge: StatusBadge
    email: str
    organization: str
    """What to choose if Zoho asks."""
    location_text: str
    headline: str
    """What the new grant reaches; empty until it is verified."""
    programs: tuple[str, ...]
    explanation: Explanation | None
    revoke_at: datetime | None
    undelivered_machines: tuple[str, ...]
    can_skip: bool

    @property
    def path(self) -> str:
        return f"{REAUTHORIZE_PATH}/{self.name}"


@pages.get(REAUTHORIZE_PATH)
@reads_snapshot
def show() -> str:
    """The current re-authorization; else a plan, for the connections in `names` or all that need
    one; else the results of the last re-authorization that this browser has shown."""
    service = get_services().reauthorization
    current = service.current_and_next()
    if current is not None and not request.args.get("names"):
        current_session()[REAUTHORIZED_NAMES] = [line.connection for line in current[0].items]
        return _progress_page(*current)
    has_plan = bool(request.args.get("names") or service.rejected_connections())
    latest_items = (
        () if has_plan else service.latest_items(current_session().get(REAUTHORIZED_NAMES, ()))
    )
    if not latest_items:
        return _plan_page()
    return _progress_page(
        Reauthorization(get_services().clock(), paused=False, items=latest_items),
        NextAction(Action.DONE),
    )


def _plan_page() -> str:
    names = tuple(request.args.get("names", "").split())
    plan = get_services().reauthorization.plan(names)
    return render_template(
        "reauthorization_plan.html",
        plan=plan,
        names=" ".join(plan.names),
        data_center_names={each.location: each.name for each in get_services().zoho.data_centers},
        assistance=get_assistance(),
    )


def _progress_page(reauthorization: Reauthorization, next_action: NextAction) -> str:
    item = next_action.item
    is_other_account = item is not None and not is_same_email(
        next_action.previous_email or item.email, item.email
    )
    needs_sign_in = is_other_account or _is_first_authorization(reauthorization, item)
    is_pending = item is not None and item.state is ItemState.PENDING
    is_choosing = item is not None and has_several_organizations(reauthorization.items, item.email)
    item_views = [_item_view(each) for each in reauthorization.items]
    needs_decision = item is not None and next_action.action is Action.DECIDE
    return render_template(
        "reauthorization.html",
        reauthorization=reauthorization,
        next_action=next_action,
        items=item_views,
        item=next((each for each in item_views if item and each.name == item.connection), None),
        settled_count=sum(each.state in SETTLED_STATES for each in reauthorization.items),
        needs_sign_in=needs_sign_in,
        is_other_account=is_other_account,
        is_choosing=is_choosing,
        is_live=next_action.action in POLLED_ACTIONS,
        is_automatic=is_pending
        and not (needs_sign_in or is_choosing)
        and _continues_automatically(next_action),
        assistance=get_assistance(),
        mismatch=_compare_grants(item) if item and needs_decision else None,
        is_active=get_services().store.reauthorizations.current() is not None,
        sign_out_url=get_services().zoho.data_center(item.location).sign_out_url if item else "",
        seconds_left=view_models.seconds_until(next_action.until, get_services().clock()),
    )


def _is_first_authorization(
    reauthorization: Reauthorization, item: ReauthorizationItem | None
) -> bool:
    """Whether nobody has consented yet for the item's account and data center."""
    return item is not None and not any(
        (each.email, each.location) == (item.email, item.location)
        and each.state in AUTHORIZED_STATES
        for each in reauthorization.items
    )


def _continues_automatically(next_action: NextAction) -> bool:
    """Whether the next consent may open automatically in this window."""
    is_consent = next_action.action is Action.CONSENT and "continue" in request.args
    return is_consent and not get_assistance().is_running


def _item_view(item: ReauthorizationItem) -> ItemView:
    services, name = get_services(), item.connection
    until = {"until": format_time(item.retry_at, services.clock())} if item.retry_at else {}
    grant = services.store.grants.get(name)
    return ItemView(
        name=name,
        state=item.state,
        badge=view_models.state_badge(
            item.state, authorization=str(item.previous_generation + 1), **until
        ),
        email=item.email,
        organization=describe_organizations(item.organizations),
        location_text=f"{services.zoho.data_center(item.location).name} · "
        f"client {item.client_name}",
        headline=headline(grant) if grant and item.state in ARRIVED else "",
        programs=tuple(each.target for each in services.store.destinations.all(name)),
        explanation=services.diagnosis.explain(name, item.failure) if item.failure else None,
        revoke_at=item.revoke_at,
        undelivered_machines=item.undelivered_machines,
        can_skip=item.state not in SETTLED_STATES and item.state is not ItemState.VERIFYING,
    )


def _compare_grants(item: ReauthorizationItem) -> dict[str, object]:
    store = get_services().store
    return connection_page.compare_grants(
        store.grants.candidate(item.connection), store.grants.get(item.connection)
    )


# --- Actions --------------------------------------------------------------------------------------


@pages.post(REAUTHORIZE_PATH)
def begin() -> Response:
    """Begin the planned re-authorization and go to the first consent."""
    get_services().reauthorization.begin(tuple(request.form.get("names", "").split()))
    return _redirect_to_consent()


@pages.post(f"{REAUTHORIZE_PATH}/next")
def next_consent() -> Response:
    """Go to the next consent."""
    return _redirect_to_consent()


@pages.post(f"{REAUTHORIZE_PATH}/assist")
def assist() -> Response:
    """Continue in the assisted browser; begin a planned re-authorization first."""
    if names := tuple(request.form.get("names", "").split()):
        get_services().reauthorization.begin(names)
    get_services().reauthorization.resume()
    get_assistance().start()
    return _redirect_to_page()


@pages.post(f"{REAUTHORIZE_PATH}/request")
def request_consents() -> Response:
    """Show the messages for the account owners; begin a planned re-authorization first."""
    service = get_services().reauthorization
    if names := tuple(request.form.get("names", "").split()):
        service.begin(names)
    current = service.current()
    waiting = (
        [each for each in current.items if each.state in REQUESTABLE_STATES] if current else []
    )
    return consent_requests.create([each.connection for each in waiting])


@pages.post(f"{REAUTHORIZE_PATH}/pause")
def pause() -> Response:
    """Start no further consent for now."""
    get_services().reauthorization.pause()
    return _redirect_to_page()


@pages.post(f"{REAUTHORIZE_PATH}/resume")
def resume() -> Response:
    """Continue after a pause."""
    get_services().reauthorization.resume()
    return _redirect_to_page()


@pages.post(f"{REAUTHORIZE_PATH}/link")
def create_link() -> str:
    """Create a one-time link to this page, for a private window."""
    return render_browser_link("the re-authorization", REAUTHORIZE_PATH)


@pages.post(f"{REAUTHORIZE_PATH}/end")
def end() -> Response:
    """End the re-authorization; connections that it didn't reach stay as they are."""
    get_services().reauthorization.end()
    current_session().pop(REAUTHORIZED_NAMES, None)
    return redirect("/", 303)


@pages.post(f"{REAUTHORIZE_PATH}/<name>/skip")
def skip(name: str) -> Response:
    """Leave one connection as it was."""
    return _apply_decision(get_services().reauthorization.skip, name)


@pages.post(f"{REAUTHORIZE_PATH}/<name>/accept")
def accept(name: str) -> Response:
    """Use the grant that needs a decision."""
    return _apply_decision(get_services().reauthorization.accept, name)


@pages.post(f"{REAUTHORIZE_PATH}/<name>/discard")
def discard(name: str) -> Response:
    """Revoke the grant that needs a decision, and authorize again."""
    return _apply_decision(get_services().reauthorization.discard, name)


@pages.post(f"{REAUTHORIZE_PATH}/<name>/verify")
def verify(name: str) -> Response:
    """Verify the newest grant again."""
    grant = connection_page.verifiable_grant(name)
    if grant is None:
        raise fail("no-grant", name=name)
    get_services().verification_worker.submit(name, grant.generation)
    return redirect(CONTINUE_URL, 303)


def _redirect_to_consent() -> Response:
    """Redirect to Zoho if a consent is next, else to the page, which says what is next."""
    next_action = get_services().reauthorization.next_action()
    if next_action is None or next_action.action is not Action.CONSENT or next_action.item is None:
        return _redirect_to_page()
    item = next_action.item
    try:
        return begin_authorization(item.connection, additional_scope=item.additional_scope)
    except WizardError as error:
        return render_error(error.failure, name=item.connection)


def _apply_decision(action: Callable[[str], None], name: str) -> Response:
    get_services().store.connections.get(name)
    action(name)
    return _redirect_to_page()


def _redirect_to_page() -> Response:
    return redirect(REAUTHORIZE_PATH, 303)


class AssistedRun(Protocol):
    """One run of the assisted browser."""

    @property
    def is_running(self) -> bool:
        """Whether it hasn't ended yet."""

    @property
    def explanation(self) -> Explanation | None:
        """Why it failed; None: it runs, or it succeeded."""

    def stop(self) -> None:
        """Stop it, and wait until its window is closed."""


AssistedRunFactory = Callable[[AssistedConnection | None], AssistedRun]
"""Starts the assisted browser, which creates a connection (None: continues the current
re-authorization)."""


class Assistance:
    """The assisted browser of this server for one kind of task; at most one runs.

    It is its own process on the same store, where the pages read its progress.
    """

    def __init__(self, start: AssistedRunFactory | None) -> None:
        """`start` is None if there is no display to open a window on."""
        self._start = start
        self._run: AssistedRun | None = None
        self.connection: AssistedConnection | None = None
        """The connection that the last run creates."""
        self._lock = threading.Lock()

    @property
    def is_available(self) -> bool:
        """Whether it can be started and isn't running."""
        return self._start is not None and not self.is_running

    @property
    def is_running(self) -> bool:
        """Whether it is running."""
        return self._run is not None and self._run.is_running

    @property
    def explanation(self) -> Explanation | None:
        """Why the last run failed."""
        return self._run.explanation if self._run is not None else None

    def start(self, connection: AssistedConnection | None = None) -> None:
        """Start it if it is available."""
        with self._lock:
            if self._start is not None and not self.is_running:
                self._run, self.connection = self._start(connection), connection

    def stop(self) -> None:
        """Stop the running one."""
        with self._lock:
            if self._run is not None:
                self._run.stop()


def get_assistance() -> Assistance:
    """The assisted browser that re-authorizes."""
    return cast(Assistance, current_app.extensions["assistance"])


def get_connection_assistance() -> Assistance:
    """The assisted browser that creates connections."""
    return cast(Assistance, current_app.extensions["connection_assistance"])
