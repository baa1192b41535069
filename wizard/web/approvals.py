"""The page of an account owner: the consents for one request, one after the other.

A one-time link opens it. Its session is for these connections only: it isn't signed in to the
wizard, and every other page refuses it.
"""

from flask import Blueprint, redirect, render_template
from werkzeug.wrappers import Response

from wizard.errors import describe_state
from wizard.model.states import ItemState
from wizard.reauthorization.plan import ReauthorizationItem
from wizard.web.authorization import APPROVALS_PATH, begin_authorization
from wizard.web.context import get_services
from wizard.web.sessions import current_session

pages = Blueprint("approvals", __name__)

OPEN_STATES = (
    *(ItemState.PENDING, ItemState.REQUEST_SENT, ItemState.WAITING_FOR_CONSENT),
    ItemState.AUTHORIZATION_FAILED,
)
"""The states in which a consent is missing."""


@pages.get(APPROVALS_PATH)
def show() -> str:
    """Which consents are left. After a successful one, the next opens automatically."""
    items = _items()
    open_items = [each for each in items if each.state in OPEN_STATES]
    return render_template(
        "approvals.html",
        rows=[
            (
                each.connection,
                describe_state(each.state, authorization=str(each.previous_generation + 1)),
            )
            for each in items
        ],
        email=open_items[0].email if open_items else "",
        open_count=len(open_items),
    )


@pages.post(f"{APPROVALS_PATH}/next")
def begin_next() -> Response:
    """Begin the first consent that is left, and redirect to Zoho."""
    item = next((each for each in _items() if each.state in OPEN_STATES), None)
    if item is None:
        return redirect(APPROVALS_PATH, 303)
    return begin_authorization(item.connection, additional_scope=item.additional_scope)


def _items() -> tuple[ReauthorizationItem, ...]:
    return get_services().reauthorization.latest_items(current_session().approvals)
