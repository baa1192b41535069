"""The connections: the list, and what can be done with one."""

from collections.abc import Collection

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.broker import Need
from wizard.errors import fail
from wizard.model import GrantState
from wizard.web import consent, onboarding
from wizard.web.connection_page import context, living, proof
from wizard.web.presenter import Row, row, summary
from wizard.web.rooms import house, launch
from wizard.web.sessions import browser
from wizard.zoho import ALWAYS, parse_scope

pages = Blueprint("connections", __name__)

ROWS = 40
"""More than a person scans, those in need first; the search field finds the others."""


@pages.get("/")
def index() -> str:
    """Every connection at a glance; the first page of onboarding while there is none."""
    store = house().store
    total = store.count_connections()
    if not total:
        return onboarding.task_page(onboarding.Asked())
    query = request.args.get("q", "").strip()
    needy, round_ = store.unsettled(), house().rounds.progress()
    left = round_.left if round_ else frozenset()
    unsettled = [row(each, left) for each in needy]
    rows = _first_rows(query, unsettled, left)
    return render_template(
        "connections.html",
        rows=rows,
        hidden_rows=store.count_connections(query) - len(rows),
        total=total,
        summary=summary(total, unsettled),
        query=query,
        troubles=house().troubles.stored(needy),
        cautions=house().cautions.of_notifications(),
        refused=len(house().repairs.refused()),
        repair=house().repairs.current(),
        round=round_,
        checked="checked" in request.args and round_ is None,
        path=request.full_path.rstrip("?"),
    )


@pages.post("/check")
def check() -> Response:
    """Have every connection asked whether it works; the page shows how it goes."""
    house().rounds.begin(house().alarm.watched())
    return redirect("/?checked=yes", 303)


def _first_rows(query: str, unsettled: list[Row], left: Collection[str]) -> list[Row]:
    """What is shown of the connections with `query` in their names: first those in need of help."""
    store = house().store
    bad = [each for each in unsettled if each.status.tone == "bad"]
    found = [each for each in bad if query.lower() in each.name.lower()]
    needy = {each.name for each in bad}
    others = [each for each in store.names(query, ROWS + len(needy)) if each not in needy]
    found += [row(each, left) for each in store.overview(others[: max(0, ROWS - len(found))])]
    return found[:ROWS]


@pages.get("/connections/<name>")
def show(name: str) -> str:
    """One connection: its step, its receipt, its use. `told` in the address answers the question
    of its finding."""
    read = browser().get(onboarding.UNDERSTOOD, {}).get(name, ())
    told = tuple(request.args.getlist("told"))
    return render_template("connection.html", **context(name, told), understood=read)


@pages.get("/connections/<name>/rungs")
def rungs(name: str) -> str:
    """The ladder alone, for a page that watches it."""
    receipt = proof(name)
    if receipt is None:
        raise fail("no-grant", name=name)
    return render_template("_rungs.html", receipt=receipt)


@pages.post("/connections/<name>/authorize")
def authorize(name: str) -> Response:
    """Go to Zoho's consent page; what is stored stays as it is until the new grant is proved."""
    return consent.begin(name, force="force" in request.form)


@pages.post("/connections/<name>/prove")
def prove(name: str) -> Response:
    """Climb the ladder of the newest grant once more; `ignore-wait` asks although Zoho wants to be
    left alone, once."""
    grant = living(name)
    if grant is None:
        raise fail("no-grant", name=name)
    need = Need.INSISTED if "ignore-wait" in request.form else Need.TOKEN
    house().climber.submit(name, grant.generation, need)
    return _back(name)


@pages.post("/connections/<name>/scope")
def change_scope(name: str) -> Response:
    """Change what the next consent asks for; the present grant keeps what it was given."""
    house().store.set_scope(name, parse_scope(f"{request.form.get('scope', '')},{ALWAYS}"))
    return _back(name)


@pages.post("/connections/<name>/adopt")
def adopt(name: str) -> Response:
    """Use the grant that reaches somebody else from now on."""
    house().authorization.adopt(name, _generation())
    return _back(name)


@pages.post("/connections/<name>/discard")
def discard(name: str) -> Response:
    """Revoke the grant that reaches somebody else; the one before stays."""
    house().authorization.discard(name, _generation())
    return _back(name)


@pages.post("/connections/<name>/link")
def link(name: str) -> str:
    """A one-time link to this page, for a private window."""
    house().store.connection(name)
    path = f"/connections/{name}"
    url = f"{house().settings.base_url}/launch/{launch().issue(path)}"
    return render_template("link.html", name=name, path=path, link=url)


@pages.get("/connections/<name>/remove")
def ask_remove(name: str) -> str:
    """Say what still lives on the token, and ask what to do with it."""
    connection = house().store.connection(name)
    grants = [each for each in house().store.grants(name) if each.state in _AT_ZOHO]
    client = house().store.client(connection.client_id)
    place = house().zoho.data_centre(grants[0].location if grants else client.location)
    return render_template(
        "remove.html",
        name=name,
        path=f"/connections/{name}",
        grant_lives=bool(grants),
        living=_living_words(name, len(grants)),
        holders=[each.target for each in house().store.destinations(name) if each.generation],
        connected_apps=place.connected_apps_url,
    )


@pages.post("/connections/<name>/revoke")
def revoke(name: str) -> Response:
    """Revoke every refresh token of this connection at Zoho."""
    _revoke_all(name)
    return _back(name)


@pages.post("/connections/<name>/remove")
def remove(name: str) -> Response:
    """Remove the connection; `how` says whether its tokens are revoked first."""
    how = request.form.get("how")
    if how not in ("revoke", "forget"):
        raise fail("page-bad-request")
    if how == "revoke":
        _revoke_all(name)
    house().broker.forget(name)
    return redirect("/", 303)


_AT_ZOHO = (
    GrantState.UNPROVED,
    GrantState.PROVED,
    GrantState.MISMATCH,
    GrantState.SUPERSEDED,
)
"""States of grants whose refresh token may still be good at Zoho."""


def _revoke_all(name: str) -> None:
    house().store.connection(name)
    for grant in house().store.grants(name):
        if grant.state in _AT_ZOHO:
            house().broker.revoke(grant)


def _living_words(name: str, count: int) -> str:
    if count == 0:
        return "No refresh token of it is alive."
    tokens = "One refresh token is" if count == 1 else f"{count} refresh tokens are"
    return (
        f"{tokens} alive at Zoho. Programs that ask for “{name}”, and programs that were given "
        "its credentials, stop working when it is revoked."
    )


def _generation() -> int:
    text = request.form.get("generation", "")
    if not (text.isascii() and text.isdigit()):
        raise fail("page-bad-request")
    return int(text)


def _back(name: str) -> Response:
    return redirect(f"/connections/{name}", 303)
