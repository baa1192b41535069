"""The pages of the clients: their secrets by data center, and the connections that use them.

The paste box for a client's ID and secret is here, too. A secret is never sent back in a page: it
stays in the memory of the session until the form succeeds, so that a taken name or a rate limit
requires no second paste.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.clients import (
    ClientCheck,
    ConnectionRequest,
    Credentials,
    parse_credentials,
    parse_secret,
)
from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError, message
from wizard.model import Client, Failure, FailureKind, SecretState
from wizard.web import view_models
from wizard.web.authorization import begin_authorization
from wizard.web.context import get_services, reads_snapshot
from wizard.web.sessions import current_session
from wizard.zoho import limits

pages = Blueprint("clients", __name__)

IMPORT_PATH = "/clients/import"

KEPT_PASTES = "pasted"
"""Session key: by form, what was last pasted into it."""

MAX_KEPT_PASTES = 4
"""Forms per session for which a paste is kept, the newest ones."""


@pages.get("/clients")
@reads_snapshot
def index() -> str:
    """List the clients."""
    connections = get_services().store.connections.all()
    rows = [
        {
            "client_id": each.client_id,
            "name": each.name,
            "count": sum(one.client_id == each.client_id for one in connections),
            "data_center": get_services().zoho.data_center(each.location).name,
        }
        for each in get_services().store.clients.all()
    ]
    return render_template("clients.html", rows=rows)


@pages.get("/clients/new")
def new(failure: Failure | None = None, box: "PasteBox | None" = None) -> str:
    """The form that adds a client already registered at Zoho."""
    return render_template(
        "add_client.html",
        explanation=explain_failure(failure, get_services().clock()) if failure else None,
        box=box or PasteBox(),
        name=request.form.get("name") or get_services().clients.free_name(),
        location=request.form.get("location", ""),
        redirect_uri=get_services().settings.redirect_uri,
        data_centers=get_services().zoho.data_centers,
    )


@pages.post("/clients")
def create() -> Response:
    """Verify the pasted credentials at Zoho and store the client."""
    try:
        client = get_services().clients.admit(
            pasted_credentials(),
            name=request.form.get("name", ""),
            redirect_uri=get_services().settings.redirect_uri,
            location=request.form.get("location") or None,
            has_common_secret="has_common_secret" in request.form,
            replace=accepts_new_secret(),
        )
    except WizardError as error:
        return make_response(new(error.failure, keep_paste(error.failure)), 422)
    forget_paste()
    return redirect(f"/clients/{client.client_id}", 303)


@pages.get(IMPORT_PATH)
def new_from_file(failure: Failure | None = None) -> str:
    """The form that imports a client from a file."""
    return render_template(
        "import_client.html",
        explanation=explain_failure(failure, get_services().clock()) if failure else None,
    )


@pages.post(IMPORT_PATH)
def create_from_file() -> Response:
    """Store the client of a client file, and redirect to Zoho with the presets that the file
    suggests. Without any, or if the client was stored already, or if it has the redirect URI of a
    different port, redirect to its page."""
    services = get_services()
    known = {each.client_id for each in services.store.clients.all()}
    uploaded = request.files.get("file")
    try:
        opened = services.client_files.open(
            uploaded.read() if uploaded else b"", request.form.get("passphrase", "")
        )
        client = services.client_files.store(opened)
        is_ready = client.client_id not in known and opened.preset_ids
        if not is_ready or client.redirect_uri != services.settings.redirect_uri:
            return redirect(f"/clients/{client.client_id}", 303)
        connection_request = ConnectionRequest.of(opened.preset_ids, "", client.location)
        name = connection_request.suggested_name(
            {each.name for each in services.store.connections.all()}
        )
        connection = connection_request.connection(name, client, services.clock())
        services.store.connections.add(connection)
    except WizardError as error:
        return make_response(new_from_file(error.failure), 422)
    return begin_authorization(name)


@pages.get("/clients/<client_id>")
@reads_snapshot
def show(client_id: str) -> str:
    """Show a client: secrets, connections, and refresh tokens by user."""
    return _client_page(get_services().store.clients.get(client_id))


@pages.post("/clients/<client_id>/check")
def check(client_id: str) -> str:
    """Check the stored secrets, each in its data center."""
    checks = get_services().clients.check(client_id)
    return _client_page(get_services().store.clients.get(client_id), checks=checks)


@pages.post("/clients/<client_id>/secret")
def set_secret(client_id: str) -> Response:
    """Verify a new secret at Zoho and store it; the old one is kept until a refresh with the new
    one succeeds."""
    location = request.form.get("location", "")
    try:
        get_services().clients.set_secret(client_id, request.form.get("secret", ""), location)
    except WizardError as error:
        client = get_services().store.clients.get(client_id)
        return make_response(
            _client_page(client, failure=error.failure, selected_location=location), 422
        )
    return redirect(f"/clients/{client_id}", 303)


@pages.post("/clients/<client_id>/remove")
def remove(client_id: str) -> Response:
    """Remove a client that no connection uses."""
    get_services().clients.remove(client_id)
    return redirect("/clients", 303)


def _client_page(
    client: Client,
    *,
    checks: Sequence[ClientCheck] = (),
    failure: Failure | None = None,
    selected_location: str = "",
) -> str:
    services = get_services()
    connections = [
        view_models.connection_row(each, services.clock())
        for each in services.store.overviews.all()
        if each.connection.client_id == client.client_id
    ]
    failure_shown = next((each.failure for each in checks if each.failure), failure)
    return render_template(
        "client.html",
        client=client,
        explanation=services.diagnosis.explain_client_failure(client, failure_shown)
        if failure_shown
        else None,
        is_accepted=bool(checks) and failure_shown is None,
        home=services.zoho.data_center(client.location).name,
        secrets=_secret_rows(client, checks),
        connections=connections,
        refresh_token_counts=_refresh_token_rows(client),
        max_refresh_tokens=limits().refresh_tokens_per_user_and_client,
        console_url=services.zoho.data_center(client.location).console_client_url(client.client_id),
        data_centers=services.zoho.data_centers,
        selected_location=selected_location or request.args.get("location", ""),
    )


def _secret_rows(client: Client, checks: Sequence[ClientCheck]) -> list[dict[str, Any]]:
    """The data centers with a secret, and whether Zoho accepts it (None: not checked now); never
    the secret."""
    accepted = {each.location: each.failure is None for each in checks}
    with_previous = {each.location for each in client.secrets if each.state is SecretState.PREVIOUS}
    return [
        {
            "data_center": get_services().zoho.data_center(location).name,
            "is_accepted": accepted.get(location),
            "has_previous": location in with_previous,
        }
        for location in client.locations
    ]


def _refresh_token_rows(client: Client) -> list[dict[str, Any]]:
    counts = get_services().store.grants.count_refresh_tokens(client.client_id)
    return [
        {
            "email": email,
            "count": count,
            "is_near_limit": count >= limits().refresh_tokens_warning_threshold,
        }
        for (_zuid, email), count in counts.items()
    ]


@dataclass(frozen=True)
class PasteBox:
    """What a page shows of the paste box after a failure; never a secret."""

    client_id: str = ""
    """The ID that is kept; empty if none was recognized."""
    has_secret: bool = False
    """The pasted secret is kept, too."""
    understood: tuple[str, ...] = ()
    offers: bool = False
    """Zoho accepts the kept secret, which differs from the stored one: it can replace it."""
    form_id: str = field(default_factory=lambda: token_urlsafe(8))
    """Tells apart the forms of two tabs."""


@dataclass(frozen=True)
class KeptPaste:
    """What was pasted into one form."""

    credentials: Credentials
    offers: bool
    """See `PasteBox`."""


def is_box_filled() -> bool:
    """Whether something was pasted into the submitted box."""
    return bool(_pasted_text())


def pasted_credentials() -> Credentials:
    """The pasted credentials, completed by what was kept for the form.

    Raises what `parse_credentials` raises.
    """
    text, kept, client_id = _pasted_text(), _kept_paste(), request.form.get("kept", "")
    if kept and kept.credentials.client_id == client_id and not text:
        return kept.credentials
    try:
        return parse_credentials(text)
    except WizardError as error:
        if error.failure.code != "credentials-missing-id" or not client_id:
            raise
        return Credentials(client_id, parse_secret(text, client_id))


def accepts_new_secret() -> bool:
    """Whether the user agreed to store the kept secret as the client's new one. Agreement to an
    earlier offer doesn't cover another paste."""
    return "replace" in request.form and not is_box_filled()


def keep_paste(failure: Failure | None = None) -> PasteBox:
    """Keep the paste if `failure` allows it; return what the page may show. A paste that is refused
    or can't be parsed leaves the one kept before."""
    before, fallback = _kept_paste(), request.form.get("kept", "")
    try:
        credentials = pasted_credentials()
    except WizardError as error:
        return (
            _box_of(before)
            if before
            else PasteBox(
                error.failure.details.get("client_id") or fallback, form_id=_paste_form_id()
            )
        )
    if failure and _is_pair_rejected(failure):
        if before and before.credentials != credentials:
            return _box_of(before)
        forget_paste()
        read = describe_credentials(credentials)
        return PasteBox(credentials.client_id, understood=read, form_id=_paste_form_id())
    kept = KeptPaste(credentials, failure is not None and failure.code == "secret-differs")
    forget_paste()
    slots = current_session().setdefault(KEPT_PASTES, {})
    slots[_paste_form_id()] = kept
    for oldest in list(slots)[:-MAX_KEPT_PASTES]:
        del slots[oldest]
    return _box_of(kept)


def restored_box() -> PasteBox | None:
    """The paste box that the URL leads back to; None if it names none."""
    kept, client_id = _kept_paste(), request.args.get("kept", "")
    if kept:
        return _box_of(kept)
    return PasteBox(client_id, form_id=_paste_form_id()) if client_id else None


def _is_pair_rejected(failure: Failure) -> bool:
    """Whether the client or its secret is wrong, so that the secret isn't worth keeping."""
    return failure.kind is FailureKind.CLIENT and failure.code != "multi-dc-off"


def forget_paste() -> None:
    """Drop the paste of this form."""
    current_session().get(KEPT_PASTES, {}).pop(_paste_form_id(), None)


def _kept_paste() -> KeptPaste | None:
    found = current_session().get(KEPT_PASTES, {}).get(_paste_form_id())
    return found if isinstance(found, KeptPaste) else None


def _paste_form_id() -> str:
    return request.values.get("paste_form", "")[:32]


def _box_of(kept: KeptPaste) -> PasteBox:
    read = describe_credentials(kept.credentials)
    return PasteBox(kept.credentials.client_id, True, read, kept.offers, _paste_form_id())


def describe_credentials(credentials: Credentials) -> tuple[str, ...]:
    """What was read from a paste, for people; never a secret."""
    length = len(credentials.client_secret)
    read = (f"the client ID {credentials.client_id}", f"a secret of {length} characters")
    return (*read, *(message("credential-notes", each) for each in credentials.notes))


def _pasted_text() -> str:
    return request.form.get("credentials", "").strip()
