"""The clients: which there are, where their secrets are good, and who uses them."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.diagnosis import finding_of
from wizard.errors import WizardError
from wizard.model import Client, Failure, SecretState
from wizard.validation import ClientCheck
from wizard.web import pasted, presenter
from wizard.web.presenter import Status
from wizard.web.rooms import house
from wizard.zoho import limits

pages = Blueprint("clients", __name__)


@pages.get("/clients")
def index() -> str:
    """Every client."""
    connections = house().store.connections()
    rows = [
        {
            "client_id": each.client_id,
            "name": each.name,
            "used": _counted(sum(one.client_id == each.client_id for one in connections)),
            "detail": f"{house().zoho.data_centre(each.location).name} · {each.client_id}",
        }
        for each in house().store.clients()
    ]
    return render_template("clients.html", rows=rows)


@pages.get("/clients/new")
def new(failure: Failure | None = None, box: pasted.Box | None = None) -> str:
    """The form for a client that is registered already."""
    return render_template(
        "client_new.html",
        found=finding_of(failure, house().clock()) if failure else None,
        box=box or pasted.Box(),
        name=request.form.get("name") or house().clients.free_name(),
        location=request.form.get("location", ""),
        redirect_uri=house().settings.redirect_uri,
        data_centres=house().zoho.data_centres,
    )


@pages.post("/clients")
def create() -> Response:
    """Check what was pasted with Zoho, and keep the client if it is right."""
    try:
        client = house().clients.admit(
            pasted.pasted(),
            name=request.form.get("name", ""),
            redirect_uri=house().settings.redirect_uri,
            location=request.form.get("location") or None,
            same_for_all="same_for_all" in request.form,
            replace=pasted.accepts_new_secret(),
        )
    except WizardError as error:
        return make_response(new(error.failure, pasted.keep(error.failure)), 422)
    pasted.forget()
    return redirect(f"/clients/{client.client_id}", 303)


@pages.get("/clients/<client_id>")
def show(client_id: str) -> str:
    """One client: secrets, uses, and how many refresh tokens each user has with it."""
    return _page(house().store.client(client_id))


@pages.post("/clients/<client_id>/check")
def check(client_id: str) -> str:
    """Ask every data centre with a stored secret whether it is right there."""
    checks = house().clients.check(client_id)
    return _page(house().store.client(client_id), checks=checks)


@pages.post("/clients/<client_id>/secret")
def change_secret(client_id: str) -> Response:
    """Check a new secret with Zoho and keep it, with the one before until it has proved itself."""
    location = request.form.get("location", "")
    try:
        house().clients.change_secret(client_id, request.form.get("secret", ""), location)
    except WizardError as error:
        client = house().store.client(client_id)
        return make_response(_page(client, failure=error.failure, change_for=location), 422)
    return redirect(f"/clients/{client_id}", 303)


@pages.post("/clients/<client_id>/remove")
def remove(client_id: str) -> Response:
    """Forget a client that no connection uses."""
    house().clients.remove(client_id)
    return redirect("/clients", 303)


def _page(
    client: Client,
    *,
    checks: Sequence[ClientCheck] = (),
    failure: Failure | None = None,
    change_for: str = "",
) -> str:
    rooms = house()
    uses = [
        presenter.row(each)
        for each in rooms.store.overview()
        if each.connection.client_id == client.client_id
    ]
    bad = next((each.failure for each in checks if each.failure), failure)
    return render_template(
        "client.html",
        client=client,
        found=rooms.diagnosis.of_client(client, bad) if bad else None,
        notice="Zoho knows this client and its secret." if checks and not bad else "",
        secrets=_secrets(client, checks),
        uses=uses,
        counts=_counts(client),
        most=limits().refresh_tokens_per_user_and_client,
        console=rooms.zoho.data_centre(client.location).console_client(client.client_id),
        data_centres=rooms.zoho.data_centres,
        change_for=change_for or request.args.get("location", ""),
        facts=_facts(client),
    )


def _facts(client: Client) -> dict[str, str]:
    made = presenter.moment(client.created_at) if client.created_at else ""
    facts = {
        "Registered in": house().zoho.data_centre(client.location).name,
        "Redirect URI": client.redirect_uri or "none: a Self Client",
        "Same for all": "yes" if client.common_secret else "no: each data centre its own secret",
        "Registered by": client.registered_by,
        "Added": made,
    }
    return {key: value for key, value in facts.items() if value}


def _secrets(client: Client, checks: Sequence[ClientCheck]) -> list[dict[str, Any]]:
    """Which data centres have a secret and what Zoho says of it; never the secret."""
    verdicts = {each.location: each.failure for each in checks}
    replaced = {each.location for each in client.secrets if each.state is SecretState.PREVIOUS}
    rows = []
    for location in client.locations:
        status = Status("Stored")
        if location in verdicts:
            status = Status("Wrong", "bad") if verdicts[location] else Status("Right", "good")
        note = "The one before is kept until a refresh succeeds with this one."
        rows.append(
            {
                "place": house().zoho.data_centre(location).name,
                "status": status,
                "note": note if location in replaced else "",
            }
        )
    return rows


def _counts(client: Client) -> list[dict[str, Any]]:
    rows = []
    for (_zuid, email), count in house().store.refresh_tokens_of(client.client_id).items():
        near = count >= limits().refresh_tokens_warn
        status = Status(f"{count}, near the limit" if near else str(count), "wait" if near else "")
        rows.append({"who": email or "not known yet", "status": status})
    return rows


def _counted(count: int) -> str:
    return {0: "not used", 1: "1 connection"}.get(count, f"{count} connections")
