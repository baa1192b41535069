"""The announcements that may stand between a sign-in and the page that was wanted."""

from typing import Any

from flask import redirect, render_template, request

from wizard.simulator.pages import page_context
from wizard.simulator.pages.sign_in_steps import next_url, target_url

pages = page_context.location_blueprint("announcement", "accounts")


@pages.get("/announcement/recovery-address")
@page_context.sign_in_required
def announcement() -> str:
    """Ask for something that can be skipped."""
    return _page("announcement")


@pages.get("/preannouncement/sign-in-changes")
@page_context.sign_in_required
def preannouncement() -> str:
    """Tell of something to come, which can be put off."""
    return _page("preannouncement")


@pages.post("/announcement/done")
@page_context.sign_in_required
def done() -> Any:
    """Go on; "Remind me later" alone brings the announcement back after the next sign-in."""
    user, kind = page_context.require_user(), request.form.get("kind", "")
    if "later" in request.form:
        return redirect(target_url())
    if kind in user.announcements:
        user.announcements.remove(kind)
    return redirect(next_url(user))


def _page(kind: str) -> str:
    return render_template("simulator/announcement.html", kind=kind, serviceurl=target_url())
