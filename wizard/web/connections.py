"""The pages of the connections: the list, and the actions on one connection."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.diagnosis.incidents import NOT_CHECKED_KINDS, UNREACHABLE_KINDS, Incident
from wizard.errors import fail, state_label
from wizard.model import Event
from wizard.model.states import ConnectionState
from wizard.store.connections import FoundNames
from wizard.tokens.budgets import RefreshPurpose
from wizard.web import onboarding
from wizard.web.authorization import begin_authorization
from wizard.web.connection_page import connection_report, page_context, verifiable_grant
from wizard.web.context import get_services, reads_snapshot
from wizard.web.sessions import current_session, render_browser_link
from wizard.web.view_models import ConnectionRow, connection_row
from wizard.zoho import ACCOUNT_SCOPE, parse_scope

pages = Blueprint("connections", __name__)

MAX_ROWS = 40
"""Rows shown at once, those that need attention first; the filters find the others."""
MIN_FILTERED_ROWS = 20
"""So many connections are searched and filtered; fewer are seen at a glance."""
NEEDS_ATTENTION = "needs_attention"
"""The filter for all states that need attention."""
MAX_GENERATION_DIGITS = 9
"""Such a number fits in every integer column."""
MAX_CHECKED_NAMES = 3
"""The names that are listed of the connections being checked."""


@dataclass(frozen=True)
class ConnectionFilter:
    """What the user looks for in the list."""

    text: str = ""
    """Part of a name, an owner or a tag."""
    state: str = ""
    """A state's code, or `NEEDS_ATTENTION`."""
    tag: str = ""
    email: str = ""

    @classmethod
    def from_request(cls) -> "ConnectionFilter":
        names = {"text": "q", "state": "state", "tag": "tag", "email": "account"}
        return cls(**{key: request.args.get(name, "").strip() for key, name in names.items()})

    @property
    def needs_all_rows(self) -> bool:
        """Whether the rows must be read to filter them."""
        return bool(self.state or self.tag or self.email)

    def matches(self, row: ConnectionRow) -> bool:
        """Whether a row is looked for, apart from the text."""
        has_state = self.state in ("", row.state) or (
            self.state == NEEDS_ATTENTION and row.needs_attention
        )
        return has_state and self.tag in ("", *row.tags) and self.email in ("", row.email)


@dataclass(frozen=True)
class Health:
    """How many connections are in which condition; each is counted once."""

    total: int
    failing: int
    """They need attention."""
    unchecked: int
    """They worked before; the last check couldn't tell."""
    unauthorized: int
    revoked: int

    @property
    def verified(self) -> int:
        return self.total - self.failing - self.unchecked - self.unauthorized - self.revoked


def health(total: int, rows: Sequence[ConnectionRow], incidents: Sequence[Incident]) -> Health:
    """The health of `total` connections, by the same states and incidents that the page shows. All
    but those in `rows` are verified. Pure."""
    failing = {each.name for each in rows if each.needs_attention}
    unchecked: set[str] = set()
    for incident in incidents:
        is_certain = incident.explanation.kind not in (*NOT_CHECKED_KINDS, *UNREACHABLE_KINDS)
        affected = failing if is_certain or incident.to_reauthorize else unchecked
        affected |= {*incident.names, *incident.to_reauthorize}
    unchecked -= failing
    others = [each for each in rows if each.name not in failing | unchecked]
    states = Counter(each.state for each in others)
    return Health(
        total,
        len(failing),
        len(unchecked),
        states[ConnectionState.NOT_AUTHORIZED],
        states[ConnectionState.REVOKED],
    )


@pages.get("/")
@reads_snapshot
def index() -> str:
    """List the connections; without any, show the first page of onboarding."""
    services = get_services()
    wanted, progress = ConnectionFilter.from_request(), services.running_work.checks
    found = services.store.connections.find(wanted.text, MAX_ROWS)
    if not found.total:
        return onboarding.preset_page(onboarding.ConnectionForm())
    stored = services.store.reauthorizations.current()
    items = [each.connection for each in stored.items] if stored else []
    overviews = (
        services.store.overviews.all()
        if wanted.needs_all_rows
        else services.store.overviews.unsettled(also=[*found.names, *items])
    )
    checked_names = services.running_work.checked_names
    rows = [connection_row(each, services.clock(), checked_names) for each in overviews]
    named = {each.connection.name for each in overviews if each.connection.matches(wanted.text)}
    matching = [each for each in rows if each.name in named and wanted.matches(each)]
    matching.sort(key=lambda each: (not each.needs_attention, each.name))
    count = len(matching) if wanted.needs_all_rows else found.matching
    incidents = (
        *services.incidents.stored(overviews),
        *services.incidents.of_destinations(services.delivery.problems()),
    )
    return render_template(
        "connections.html",
        rows=matching[:MAX_ROWS],
        hidden_rows=count - len(matching[:MAX_ROWS]),
        health=health(found.total, rows, incidents),
        filter=wanted,
        filter_options=_filter_options(found) if found.total >= MIN_FILTERED_ROWS else None,
        incidents=incidents,
        cautions=services.cautions.of_now(),
        rejected_count=len(services.reauthorization.rejected_connections(overviews)),
        reauthorization=services.reauthorization.current(has_revocations=False),
        progress=progress,
        checked_names=sorted(checked_names)[:MAX_CHECKED_NAMES],
        is_checked="checked" in request.args and progress is None,
        path=request.full_path.rstrip("?"),
    )


def _filter_options(found: FoundNames) -> dict[str, object]:
    states = [(each.value, state_label(each)) for each in ConnectionState]
    return {"states": states, "tags": found.tags, "emails": found.emails}


@pages.post("/check")
def check() -> Response:
    """Check every connection in the background."""
    get_services().background_checks.begin(get_services().monitoring.monitored_connections())
    return redirect("/?checked=yes", 303)


@pages.get("/connections/<name>")
@reads_snapshot
def show(name: str) -> str:
    """Show one connection: its state, verification report and usage. `answers` in the query answer
    the diagnosis's questions."""
    paste_summary = current_session().get(onboarding.PASTE_SUMMARIES, {}).get(name, ())
    answers = tuple(request.args.getlist("answer"))
    context = page_context(name, answers)
    return render_template(
        "connection.html",
        **context,
        paste_summary=paste_summary,
        scope_to_add=request.args.get("add", ""),
        is_in_place="in_place" in request.args,
        step_links=onboarding.step_links(context["view"]),
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
    _record_change(name, "edited")
    return _redirect_to_connection(name)


@pages.post("/connections/<name>/scope")
def change_scope(name: str) -> Response:
    """Change the scopes of the next authorization; the current one keeps its own."""
    get_services().store.connections.set_scope(
        name, parse_scope(f"{request.form.get('scope', '')},{ACCOUNT_SCOPE}")
    )
    _record_change(name, "scope-changed")
    return _redirect_to_connection(name)


def _record_change(name: str, kind: str) -> None:
    get_services().store.events.record(Event(get_services().clock(), name, kind))


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
@reads_snapshot
def confirm_removal(name: str) -> str:
    """Show what still uses the tokens, and ask whether to revoke them."""
    connection = get_services().store.connections.get(name)
    grants = get_services().store.grants.revocable(name)
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
        destinations_elsewhere=[
            each for each in get_services().store.destinations.elsewhere(name) if each.generation
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
    for grant in get_services().store.grants.revocable(name):
        get_services().tokens.revoke(grant)


def _generation() -> int:
    text = request.form.get("generation", "")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_GENERATION_DIGITS):
        raise fail("page-bad-request")
    return int(text)


def _redirect_to_connection(name: str) -> Response:
    return redirect(f"/connections/{name}", 303)
