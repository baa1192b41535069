"""The pages of the connections: the list, and the actions on one connection."""

from collections.abc import Collection, Sequence

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.errors import fail
from wizard.model.states import Tone
from wizard.tokens.budgets import RefreshPurpose
from wizard.web import onboarding
from wizard.web.authorization import begin_authorization
from wizard.web.connection_page import connection_report, page_context, verifiable_grant
from wizard.web.context import get_services, reads_snapshot
from wizard.web.sessions import current_session, render_browser_link
from wizard.web.view_models import ConnectionRow, connection_row, health_summary
from wizard.zoho import ACCOUNT_SCOPE, parse_scope

pages = Blueprint("connections", __name__)

MAX_ROWS = 40
"""Rows shown at once, those that need attention first; the search field finds the others."""


@pages.get("/")
@reads_snapshot
def index() -> str:
    """List the connections; without any, show the first page of onboarding."""
    services = get_services()
    query, progress = request.args.get("q", "").strip(), services.background_checks.progress()
    found = services.store.connections.find(query, MAX_ROWS)
    if not found.total:
        return onboarding.preset_page(onboarding.ConnectionForm())
    stored = services.store.reauthorizations.current()
    items = [each.connection for each in stored.items] if stored else []
    overviews = services.store.overviews.unsettled(also=[*found.names, *items])
    checking = progress.remaining if progress else frozenset()
    rows = [connection_row(each, services.clock(), checking) for each in overviews]
    matching = {each.connection.name for each in overviews if each.connection.matches(query)}
    shown = _first_rows(rows, matching)
    return render_template(
        "connections.html",
        rows=shown,
        hidden_rows=found.matching - len(shown),
        total=found.total,
        summary=health_summary(found.total, rows),
        query=query,
        incidents=services.incidents.stored(overviews),
        cautions=services.cautions.of_notifications(),
        rejected_count=len(services.reauthorization.rejected_connections(overviews)),
        reauthorization=services.reauthorization.current(has_revocations=False),
        progress=progress,
        is_checked="checked" in request.args and progress is None,
        path=request.full_path.rstrip("?"),
    )


@pages.post("/check")
def check() -> Response:
    """Check every connection in the background."""
    get_services().background_checks.begin(get_services().monitoring.monitored_connections())
    return redirect("/?checked=yes", 303)


def _first_rows(rows: Sequence[ConnectionRow], names: Collection[str]) -> Sequence[ConnectionRow]:
    """The first rows of the connections in `names`, those that need attention first."""
    ordered = sorted(rows, key=lambda each: (each.state.tone is not Tone.BAD, each.name))
    return [each for each in ordered if each.name in names][:MAX_ROWS]


@pages.get("/connections/<name>")
@reads_snapshot
def show(name: str) -> str:
    """Show one connection: its state, verification report and usage. `answers` in the query answer
    the diagnosis's questions."""
    paste_summary = current_session().get(onboarding.PASTE_SUMMARIES, {}).get(name, ())
    answers = tuple(request.args.getlist("answer"))
    return render_template(
        "connection.html", **page_context(name, answers), paste_summary=paste_summary
    )


@pages.get("/connections/<name>/verification-steps")
@reads_snapshot
def verification_steps(name: str) -> str:
    """The steps of the report only, for a page that polls them."""
    report = connection_report(name)
    if report is None:
        raise fail("no-grant", name=name)
    return render_template("_verification_steps.html", report=report)


@pages.post("/connections/<name>/authorize")
def authorize(name: str) -> Response:
    """Redirect to Zoho's consent page. The current grant is kept until the new one is verified."""
    return begin_authorization(name, ignore_budget="force" in request.form)


@pages.post("/connections/<name>/verify")
def verify(name: str) -> Response:
    """Verify the newest grant again; with `ignore-wait`, send one request despite a rate limit."""
    grant = verifiable_grant(name)
    if grant is None:
        raise fail("no-grant", name=name)
    purpose = RefreshPurpose.INSISTED if "ignore-wait" in request.form else RefreshPurpose.REQUIRED
    get_services().verification_worker.submit(name, grant.generation, purpose)
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/check")
def check_one(name: str) -> Response:
    """Check one connection in the background, with as few requests as possible."""
    get_services().store.connections.get(name)
    get_services().background_checks.begin([name])
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/rename")
def rename(name: str) -> Response:
    """Rename the connection, and show its page under the new name."""
    new_name = request.form.get("new_name", "").strip()
    get_services().tokens.rename_connection(name, new_name)
    return _redirect_to_connection(new_name)


@pages.post("/connections/<name>/edit")
def edit(name: str) -> Response:
    """Replace the owner, the tags and the note."""
    form = request.form
    get_services().store.connections.edit(
        name,
        owner=form.get("owner", ""),
        tags=form.get("tags", "").replace(",", " ").split(),
        note=form.get("note", ""),
    )
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/scope")
def change_scope(name: str) -> Response:
    """Change the scopes of the next authorization; the current one keeps its own."""
    get_services().store.connections.set_scope(
        name, parse_scope(f"{request.form.get('scope', '')},{ACCOUNT_SCOPE}")
    )
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/accept")
def accept(name: str) -> Response:
    """Use the grant that needs a decision."""
    get_services().authorization.accept(name, _generation())
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/discard")
def discard(name: str) -> Response:
    """Revoke the grant that needs a decision; the previous one stays in use."""
    get_services().authorization.discard(name, _generation())
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/link")
def create_link(name: str) -> str:
    """Create a one-time link to this page, for a private window."""
    get_services().store.connections.get(name)
    return render_browser_link(name, f"/connections/{name}")


@pages.get("/connections/<name>/remove")
def confirm_removal(name: str) -> str:
    """Show what still uses the tokens, and ask whether to revoke them."""
    connection = get_services().store.connections.get(name)
    grants = [
        each for each in get_services().store.grants.of_connection(name) if not each.state.is_ended
    ]
    client = get_services().store.clients.get(connection.client_id)
    data_center = get_services().zoho.data_center(grants[0].location if grants else client.location)
    return render_template(
        "remove_connection.html",
        name=name,
        path=f"/connections/{name}",
        active_count=len(grants),
        destinations=[
            each.target for each in get_services().store.destinations.all(name) if each.generation
        ],
        connected_apps=data_center.connected_apps_url,
    )


@pages.post("/connections/<name>/revoke")
def revoke(name: str) -> Response:
    """Revoke every refresh token of this connection at Zoho."""
    _revoke_all(name)
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/remove")
def remove(name: str) -> Response:
    """Remove the connection; `choice` in the form says whether its tokens are revoked first."""
    choice = request.form.get("choice")
    if choice not in ("revoke", "keep"):
        raise fail("page-bad-request")
    if choice == "revoke":
        _revoke_all(name)
    get_services().tokens.remove_connection(name)
    return redirect("/", 303)


def _revoke_all(name: str) -> None:
    get_services().store.connections.get(name)
    for grant in get_services().store.grants.of_connection(name):
        if not grant.state.is_ended:
            get_services().tokens.revoke(grant)


def _generation() -> int:
    text = request.form.get("generation", "")
    if not (text.isascii() and text.isdigit()):
        raise fail("page-bad-request")
    return int(text)


def _redirect_to_connection(name: str) -> Response:
    return redirect(f"/connections/{name}", 303)
