"""Coming in by a one-time link, and leaving."""

from flask import Blueprint, current_app, redirect, request
from werkzeug.wrappers import Response

from wizard.errors import fail
from wizard.web.rooms import house, launch
from wizard.web.sessions import Sessions, browser

pages = Blueprint("door", __name__)


@pages.get("/launch/<token>", endpoint="launch")
def enter(token: str) -> Response:
    """Exchange a one-time link for a session, and go where it leads."""
    # A browser that looks ahead must not use up the link before the person follows it.
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        raise fail("page-foreign-form", address=house().settings.base_url)
    path = launch().redeem(token)
    if path is None:
        raise fail("page-link-used")
    _sessions().begin(browser())
    return redirect(path, 303)


@pages.post("/sign-out")
def leave() -> Response:
    """End this browser's session."""
    _sessions().end(browser())
    return redirect("/", 303)


def _sessions() -> Sessions:
    sessions = current_app.session_interface
    assert isinstance(sessions, Sessions)  # noqa: S101 - narrows the type; set at creation
    return sessions
