"""The page of an account owner: the consents for one request, one after the other.

A one-time link opens it. Its session is for these connections only: it isn't signed in to the
wizard, and every other page refuses it.
"""

from collections.abc import Sequence
from datetime import datetime

from flask import Blueprint, redirect, render_template
from werkzeug.wrappers import Response

from wizard.connection_details import describe_organizations
from wizard.errors import describe_state
from wizard.model.states import ItemState
from wizard.reauthorization.plan import ReauthorizationItem, has_several_organizations
from wizard.web.authorization import APPROVALS_PATH, begin_authorization
from wizard.web.context import get_services
from wizard.web.sessions import current_session
from wizard.web.view_models import seconds_until

pages = Blueprint("approvals", __name__)

OPEN_STATES = (
    *(ItemState.PENDING, ItemState.REQUEST_SENT, ItemState.WAITING_FOR_CONSENT),
    ItemState.AUTHORIZATION_FAILED,
)
"""The states in which a consent is missing."""


@pages.get(APPROVALS_PATH)
def show() -> str:
    """Which consents are left. After a successful one, the next opens automatically, once Zoho's
    limit allows it."""
    items = _items()
    open_items = _open(items)
    item, until = _next_consent(open_items)
    return render_template(
        "approvals.html",
        rows=[
            (
                each.connection,
                describe_organizations(each.organizations),
                describe_state(each.state, authorization=str(each.previous_generation + 1)),
            )
            for each in items
        ],
        item=item,
        open_count=len(open_items),
        organization=describe_organizations(item.organizations) if item else "",
        is_choosing=item is not None and has_several_organizations(items, item.email),
        seconds_left=seconds_until(until, get_services().clock()),
    )


@pages.post(f"{APPROVALS_PATH}/next")
def begin_next() -> Response:
    """Begin the next consent, and redirect to Zoho."""
    item, until = _next_consent(_open(_items()))
    if item is None or until is not None:
        return redirect(f"{APPROVALS_PATH}?continue=yes", 303)
    return begin_authorization(item.connection, additional_scope=item.additional_scope)


def _items() -> tuple[ReauthorizationItem, ...]:
    return get_services().reauthorization.latest_items(current_session().approvals)


def _open(items: Sequence[ReauthorizationItem]) -> list[ReauthorizationItem]:
    return [each for each in items if each.state in OPEN_STATES]


def _next_consent(
    open_items: Sequence[ReauthorizationItem],
) -> tuple[ReauthorizationItem | None, datetime | None]:
    """The consent that comes next (None: none is left), and until when it waits for Zoho's limit
    (None: it can start)."""
    if not open_items:
        return None, None
    names = [each.connection for each in open_items]
    step = get_services().reauthorization.next_action(names)
    if step is None or step.item is None:  # ended or paused meanwhile
        return open_items[0], None
    return step.item, step.until
