"""Sign in with a one-time link, and sign out."""

from flask import Blueprint, current_app, redirect, request
from werkzeug.wrappers import Response

from wizard.errors import fail
from wizard.web.context import get_link_tokens, get_services
from wizard.web.sessions import SessionStore, current_session

pages = Blueprint("auth", __name__)


@pages.get("/browser-link/<token>", endpoint="open_link")
def open_link(token: str) -> Response:
    """Exchange a one-time link for a session and redirect to its page."""
    # A prefetch must not use up the link before the user follows it.
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        raise fail("page-foreign-form", address=get_services().settings.base_url)
    path = get_link_tokens().redeem(token)
    if path is None:
        raise fail("page-link-used")
    _session_store().start(current_session())
    return redirect(path, 303)


@pages.post("/sign-out")
def sign_out() -> Response:
    """End this browser's session."""
    _session_store().end(current_session())
    return redirect("/", 303)


def _session_store() -> SessionStore:
    sessions = current_app.session_interface
    assert isinstance(sessions, SessionStore)  # noqa: S101 - narrows the type; set at creation
    return sessions
