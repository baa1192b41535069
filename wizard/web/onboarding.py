"""The pages for a new connection: presets first, then the client, then Zoho.

The first page is a GET form that leads to the second page, so Back, reload and a second tab work.
Only the second page's button stores anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import urlencode

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.clients import AssistedConnection, ConnectionRequest, Credentials
from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError, fail
from wizard.model import Client, Explanation, Failure, GrantState
from wizard.tables import read_table
from wizard.web import consent_requests
from wizard.web.authorization import begin_authorization, begin_scope_addition
from wizard.web.clients import (
    PasteBox,
    accepts_new_secret,
    describe_credentials,
    forget_paste,
    is_box_filled,
    keep_paste,
    pasted_credentials,
    restored_box,
)
from wizard.web.connection_page import ConnectionView
from wizard.web.context import get_services, render_error
from wizard.web.reauthorization import get_connection_assistance
from wizard.web.sessions import current_session
from wizard.web.view_models import scope_views
from wizard.zoho import (
    ACCOUNT_SCOPE,
    Preset,
    limits,
    missing_scopes,
    parse_scope,
    preset,
    presets,
    product,
)

pages = Blueprint("onboarding", __name__)

ASSISTED_PATH = "/connections/new/assisted"
BEGUN_CONNECTIONS = "begun_connections"
"""Session key: by connection request, the connection last started with it."""
PASTE_SUMMARIES = "paste_summaries"
"""Session key: by connection, what was read from the paste that registered its client."""

_TEXT_FIELDS = (
    "location",
    "zoho_url",
    "scope",
    "name",
    "owner",
    "note",
    "expected_email",
    "replaces",
    "paste_form",
    "kept",
)


@dataclass(frozen=True)
class ConnectionForm:
    """The fields of the first page as filled in."""

    location: str = ""
    zoho_url: str = ""
    scope: str = ""
    name: str = ""
    owner: str = ""
    note: str = ""
    expected_email: str = ""
    replaces: str = ""
    """The connection that the steps at the top of its page led back from."""
    q: str = ""
    """What was searched for, without the page's script."""
    paste_form: str = ""
    kept: str = ""
    """These two lead back to what was pasted on the second page; see `PasteBox`."""
    preset_ids: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    @classmethod
    def from_request(cls) -> "ConnectionForm":
        form = request.args
        texts = {each: form.get(each, "").strip() for each in _TEXT_FIELDS}
        texts["q"] = form.get("q", "") if "search" in form else ""
        tags = " ".join(form.getlist("tag")).replace(",", " ").split()
        return cls(**texts, preset_ids=form.getlist("preset"), tags=tags)

    def to_connection_request(self) -> ConnectionRequest | None:
        """The request, or None if no preset or scope is chosen. Raises `WizardError`."""
        if not self.preset_ids and not self.scope:
            return None
        return ConnectionRequest.of(
            self.preset_ids,
            self.scope,
            self._location(),
            owner=self.owner,
            tags=self.tags,
            note=self.note,
            expected_email=self.expected_email,
        )

    def _location(self) -> str | None:
        if self.zoho_url:
            data_center = get_services().zoho.find_data_center(self.zoho_url)
            if data_center is None:
                raise fail("page-no-data-center", value=self.zoho_url[:80])
            return data_center.location
        return get_services().zoho.data_center(self.location).location if self.location else None

    def preset_groups(self) -> list[tuple[str, list["PresetView"]]]:
        """The presets by product, only those that match the search; chosen ones always."""
        groups: dict[str, list[PresetView]] = {}
        for each in presets():
            view = PresetView.of(each)
            if each.id in self.preset_ids or view.matches(self.q):
                title = product(each.product).title.removeprefix("Zoho ")
                groups.setdefault(title, []).append(view)
        return list(groups.items())


@dataclass(frozen=True)
class PresetView:
    """A preset to choose."""

    id: str
    title: str
    access: str
    """What it allows, in a few words."""
    searchable_text: str
    """Lowercase."""

    @classmethod
    def of(cls, preset: Preset) -> "PresetView":
        access = preset.explanation.partition(". ")[0].removesuffix(".")
        words = (product(preset.product).title, preset.title, access, *preset.scope)
        return cls(preset.id, preset.title, access, " ".join(words).lower())

    def matches(self, query: str) -> bool:
        """Whether it contains every word of `query`."""
        return all(word in self.searchable_text for word in query.lower().split())


@dataclass(frozen=True)
class Failed:
    """A failed submission of the second page."""

    failure: Failure
    client: Client | None = None
    """The client, if it was known before the failure."""
    box: PasteBox | None = None
    """The paste box if the failure concerns it."""
    is_secret_stored: bool = False
    """The offered secret was stored before it failed."""


@pages.get("/connections/new")
def new() -> str | Response:
    """The first page, or the second if a preset is chosen. With `edit`, always the first."""
    form = ConnectionForm.from_request()
    if "edit" in request.args or "search" in request.args:
        return preset_page(form)
    try:
        connection_request = form.to_connection_request()
        if form.name and form.name != form.replaces:
            get_services().importer.check_name(form.name)
    except WizardError as error:
        explanation = explain_failure(error.failure, get_services().clock(), name=form.name)
        return make_response(preset_page(form, explanation), 422)
    if connection_request is None:
        is_submitted = "continue" in request.args
        page = preset_page(form, is_access_missing=is_submitted)
        return make_response(page, 422 if is_submitted else 200)
    pending = None if form.replaces else _pending_connection(connection_request)
    return (
        redirect(f"/connections/{pending}", 303)
        if pending
        else client_page(connection_request, name=form.name)
    )


def _pending_connection(connection_request: ConnectionRequest) -> str | None:
    """The open connection for which this browser was sent to Zoho with the same request, once: the
    Back button from Zoho's page leads here. A later visit is for a new connection."""
    name = current_session().get(BEGUN_CONNECTIONS, {}).pop(connection_request, None)
    pending = {each.connection for each in get_services().store.attempts.open()}
    return name if name in pending else None


@pages.post("/connections")
def create() -> Response:
    """Register a pasted client, store the connection, and redirect to Zoho. With `request`, show
    the message for the account owner instead; with `back`, the first page."""
    form = request.form
    connection_request = _submitted_request()
    name = form.get("name", "").strip()
    if "back" in form:
        box = keep_paste() if "credentials" in form else None
        return redirect(_page_url(connection_request, name=name, box=box, edit="yes"), 303)
    client = None
    try:
        credentials = _credentials()
        client = _resolve_client(connection_request, credentials)
        forget_paste()
        connection = connection_request.connection(name, client, get_services().clock())
        get_services().store.connections.add(connection, replaces=form.get("replaces", ""))
    except WizardError as error:
        box = keep_paste(error.failure) if client is None and "credentials" in form else None
        is_stored = client is not None and accepts_new_secret()
        failed = Failed(error.failure, client, box, is_stored)
        return make_response(client_page(connection_request, name=name, failed=failed), 422)
    if "request" in form:
        return consent_requests.create([name])
    try:
        response = begin_authorization(name)
    except WizardError as error:
        if not error.failure.temporary:
            return render_error(error.failure, name=name)
        # Show the form again, to be submitted when the wait is over.
        get_services().tokens.remove_connection(name)
        failed = Failed(error.failure, client, None, accepts_new_secret())
        return make_response(client_page(connection_request, name=name, failed=failed), 503)
    current_session().setdefault(BEGUN_CONNECTIONS, {})[connection_request] = name
    read = describe_credentials(credentials) if credentials else ()
    current_session().setdefault(PASTE_SUMMARIES, {})[name] = read
    return response


def step_links(view: ConnectionView) -> dict[str, str]:
    """The URLs that the steps at the top of the page of a connection lead back to: until it has a
    grant, with what was entered; then where its pages show and change this."""
    connection, name = view.connection, view.name
    if view.grant is not None:
        return {"Access": "#access", "Client": f"/clients/{connection.client_id}"}
    entered = ConnectionRequest(
        connection.presets,
        connection.scope,
        connection.location,
        connection.owner,
        connection.tags,
        connection.note,
        connection.expected_email,
    )
    return {
        "Access": _page_url(entered, name=name, replaces=name, edit="yes"),
        "Client": _page_url(entered, name=name, replaces=name, client=connection.client_id),
    }


def _submitted_request() -> ConnectionRequest:
    """The request in the second page's form. Raises what `ConnectionRequest.of` raises."""
    form = request.form
    return ConnectionRequest.of(
        filter(None, form.get("preset_ids", "").split(",")),
        form.get("scope", ""),
        form.get("location") or None,
        owner=form.get("owner", ""),
        tags=form.getlist("tag"),
        note=form.get("note", ""),
        expected_email=form.get("expected_email", ""),
    )


@pages.post(ASSISTED_PATH)
def begin_assisted() -> Response:
    """Register the client and authorize the connection in the assisted browser."""
    connection_request, name = _submitted_request(), request.form.get("name", "").strip()
    location = connection_request.location or _guessed_location()
    connection_request = replace(connection_request, location=location)
    replaced, store = request.form.get("replaces", ""), get_services().store
    if store.connections.exists(replaced) and not store.grants.of_connection(replaced):
        get_services().tokens.remove_connection(replaced)
    try:
        get_services().importer.check_name(name)
    except WizardError as error:
        failed = Failed(error.failure)
        return make_response(client_page(connection_request, name=name, failed=failed), 422)
    get_connection_assistance().start(AssistedConnection(name, connection_request))
    return redirect(ASSISTED_PATH, 303)


@pages.get(ASSISTED_PATH)
def show_assisted() -> str | Response:
    """What to do in the assisted window, until it has the authorization or was closed."""
    assistance = get_connection_assistance()
    connection = assistance.connection
    if connection is None:
        return redirect("/connections/new", 303)
    name, is_running = connection.name, assistance.is_running
    store = get_services().store
    if store.connections.exists(name) and (store.grants.of_connection(name) or not is_running):
        return redirect(f"/connections/{name}", 303)
    if is_running:
        location = connection.request.location or ""
        return render_template(
            "assisted_connection.html",
            name=name,
            path=ASSISTED_PATH,
            data_center=get_services().zoho.data_center(location),
        )
    return client_page(connection.request, name=name, assist_explanation=assistance.explanation)


def _credentials() -> Credentials | None:
    """The pasted or kept credentials; None if a stored client is chosen and the box is empty.
    Raises what `parse_credentials` raises."""
    chosen = bool(request.form.get("client_id"))
    return None if chosen and not is_box_filled() else pasted_credentials()


def _resolve_client(
    connection_request: ConnectionRequest, credentials: Credentials | None
) -> Client:
    if credentials is None:
        return get_services().store.clients.get(request.form.get("client_id", ""))
    return get_services().clients.admit(
        credentials,
        redirect_uri=get_services().settings.redirect_uri,
        location=connection_request.location,
        has_common_secret="has_common_secret" in request.form,
        replace=accepts_new_secret(),
    )


def preset_page(
    form: ConnectionForm, explanation: Explanation | None = None, *, is_access_missing: bool = False
) -> str:
    """The first page: data center, presets and name."""
    clients = get_services().store.clients.all()
    return render_template(
        "choose_preset.html",
        is_first=not get_services().store.connections.all(),
        has_clients=bool(clients),
        explanation=explanation,
        is_access_missing=is_access_missing,
        form=form,
        location=form.location or (clients[0].location if len(clients) == 1 else ""),
        data_centers=get_services().zoho.data_centers,
        preset_groups=form.preset_groups(),
    )


def client_page(
    connection_request: ConnectionRequest,
    *,
    name: str = "",
    failed: Failed | None = None,
    assist_explanation: Explanation | None = None,
) -> str:
    """The second page: the client, the scopes, and the name. `assist_explanation` says why the
    assisted browser failed."""
    clients = get_services().store.clients.all()
    box = failed.box if failed else restored_box()
    is_new_client = request.args.get("client") == "new" or box is not None
    client = None if is_new_client else _chosen(clients, connection_request, failed)
    failure = failed.failure if failed else None
    found_location = failure.details.get("found") if failure else None
    location = found_location or connection_request.location
    at_location = replace(connection_request, location=location)
    data_center = get_services().zoho.data_center(location or _guessed_location())
    settings = get_services().settings
    return render_template(
        "choose_client.html",
        explanation=explain_failure(failure, get_services().clock(), name=name)
        if failure
        else assist_explanation,
        can_assist=get_connection_assistance().is_available and not (failure or box),
        box=box or PasteBox(),
        is_secret_stored=bool(failed and failed.is_secret_stored),
        connection_request=connection_request,
        scope_views=scope_views(connection_request.scope),
        request_presets=[preset(each) for each in connection_request.preset_ids],
        data_centers=get_services().zoho.data_centers,
        name=name
        or connection_request.suggested_name(
            {each.name for each in get_services().store.connections.all()}
        ),
        client=client,
        clients=clients,
        location=location or "",
        data_center=data_center,
        is_guessed=location is None,
        other_data_centers=[
            each for each in get_services().zoho.data_centers if each != data_center
        ],
        client_name=get_services().clients.free_name(),
        homepage=settings.base_url,
        redirect_uri=settings.redirect_uri,
        another_client_url=_page_url(at_location, name=name, client="new"),
        extendable_connections=extendable_connections(client, connection_request.scope, location),
        max_refresh_tokens=limits().refresh_tokens_per_user_and_client,
        client_data_center=get_services().zoho.data_center(client.location) if client else None,
        missing_secret_url=_missing_secret_url(client, location),
        page_url=_page_url(at_location, box=box, **({"client": "new"} if is_new_client else {})),
    )


def _chosen(
    clients: Sequence[Client], request_form: ConnectionRequest, failed: Failed | None
) -> Client | None:
    """The client to preselect: the one already determined, else the most likely one."""
    chosen = request.args.get("client") or request.form.get("client_id")
    if failed is not None and failed.client is not None:
        chosen = failed.client.client_id
    wanted = next((each for each in clients if each.client_id == chosen), None)
    return wanted or _most_likely_client(clients, request_form.location)


def _most_likely_client(clients: Sequence[Client], location: str | None) -> Client | None:
    usable = [each for each in clients if each.redirect_uri]
    in_location = [each for each in usable if location in (None, *each.locations)]
    return next(iter([*in_location, *usable]), None)


def _missing_secret_url(client: Client | None, location: str | None) -> str | None:
    """The URL where the secret of `location` is added, if `client` lacks it."""
    if client is None or location is None or client.secret_for(location):
        return None
    return f"/clients/{client.client_id}?location={location}"


def _guessed_location() -> str:
    regions = re.findall(r"-([A-Z]{2})\b", request.headers.get("Accept-Language", ""))
    return next(
        (_locations_by_region()[each] for each in regions if each in _locations_by_region()), "us"
    )


@cache
def _locations_by_region() -> dict[str, str]:
    rows = read_table("web/regions.toml")
    return {region: location for location, regions in rows.items() for region in regions}


def _page_url(
    connection_request: ConnectionRequest,
    *,
    name: str = "",
    box: PasteBox | None = None,
    **parameters: str,
) -> str:
    """The URL of the second page for this request, or with `edit` of the first, with what was
    entered. A kept paste is only named."""
    preset_scope = {scope for each in connection_request.preset_ids for scope in preset(each).scope}
    own_scope = [
        each for each in connection_request.scope if each not in (*preset_scope, ACCOUNT_SCOPE)
    ]
    query = {
        "preset": connection_request.preset_ids,
        "scope": ",".join(own_scope),
        "location": connection_request.location or "",
        "name": name,
        "owner": connection_request.owner,
        "tag": connection_request.tags,
        "note": connection_request.note,
        "expected_email": connection_request.expected_email,
        "paste_form": box.form_id if box else "",
        "kept": box.client_id if box else "",
        "replaces": request.values.get("replaces", ""),
        **parameters,
    }
    given = {key: value for key, value in query.items() if value}
    return f"/connections/new?{urlencode(given, doseq=True)}"


@dataclass(frozen=True)
class ExtendableConnection:
    """A connection that scopes can be added to."""

    name: str
    email: str
    refresh_token_count: int
    """Known working refresh tokens of this user and client."""


@pages.post("/extend-scope")
def extend_scope() -> Response:
    """Request more scopes. The current grant is kept until the new one is verified; with
    `in_place`, its refresh token gets them. `force` ignores a limit."""
    form = request.form
    name, scope = form.get("name", ""), parse_scope(form.get("scope", ""))
    try:
        if "in_place" in form:
            return begin_scope_addition(name, scope)
        return begin_authorization(name, ignore_budget="force" in form, additional_scope=scope)
    except WizardError as error:
        added_scope = "" if "in_place" in form else ",".join(scope)
        return render_error(error.failure, name=name, added_scope=added_scope)


def extendable_connections(
    client: Client | None, scope: tuple[str, ...], location: str | None
) -> list[ExtendableConnection]:
    """The verified connections of `client` that lack part of `scope`; only those in data center
    `location` if it is given."""
    if client is None:
        return []
    store, request_log = get_services().store, get_services().request_log
    extendable = []
    for connection in store.connections.all():
        grant = store.grants.get(connection.name)
        lacks_scope = connection.client_id == client.client_id and missing_scopes(
            connection.scope, scope
        )
        is_verified = (
            grant and grant.state is GrantState.VERIFIED and location in (None, grant.location)
        )
        if lacks_scope and is_verified and grant and grant.account:
            refresh_token_count = request_log.view(connection.name).refresh_token_count
            extendable.append(
                ExtendableConnection(connection.name, grant.account.email, refresh_token_count)
            )
    return extendable
