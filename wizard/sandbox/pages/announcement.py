"""The announcements that may stand between a sign-in and the page that was wanted."""

from typing import Any

from flask import redirect, render_template, request

from wizard.sandbox.pages import visit
from wizard.sandbox.pages.arrival import onward, target

pages = visit.located("announcement", "accounts")


@pages.get("/announcement/recovery-address")
@visit.signed_in
def announcement() -> str:
    """Ask for something that can be skipped."""
    return _page("announcement")


@pages.get("/preannouncement/sign-in-changes")
@visit.signed_in
def preannouncement() -> str:
    """Tell of something to come, which can be put off."""
    return _page("preannouncement")


@pages.post("/announcement/done")
@visit.signed_in
def done() -> Any:
    """Go on; "Remind me later" alone brings the announcement back after the next sign-in."""
    user, kind = visit.present_user(), request.form.get("kind", "")
    if "later" in request.form:
        return redirect(target())
    if kind in user.announcements:
        user.announcements.remove(kind)
    return redirect(onward(user))


def _page(kind: str) -> str:
    return render_template("sandbox/announcement.html", kind=kind, serviceurl=target())
