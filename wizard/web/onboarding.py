"""A new connection: the task, then the client, then off to Zoho.

The first page is a plain GET form whose answer is the address of the second, so Back, reload and
a second tab do what people expect. Only the second page's button changes anything.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from urllib.parse import urlencode

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.diagnosis import finding_of
from wizard.errors import WizardError, fail
from wizard.model import Client, Connection, Failure, Finding
from wizard.validation import Credentials
from wizard.web import consent, pasted
from wizard.web.findings import paint
from wizard.web.presenter import explained
from wizard.web.rooms import house
from wizard.web.sessions import browser
from wizard.web.widening import offers
from wizard.zoho import ALWAYS, limits, parse_scope, preset, presets, product

pages = Blueprint("onboarding", __name__)

NAME_LENGTH = 40
BEGUN = "begun"
"""In the session: wish → the connection that was last begun with it."""
UNDERSTOOD = "understood"
"""In the session: connection → what was read from the paste that made its client."""


@dataclass(frozen=True)
class Wish:
    """What a new connection shall be able to do, and where."""

    presets: tuple[str, ...]
    scope: tuple[str, ...]
    location: str | None

    @property
    def explained(self) -> Sequence[object]:
        return explained(self.scope)

    @property
    def explanations(self) -> Sequence[str]:
        """Why each task needs its scopes."""
        return [preset(each).explanation for each in self.presets]


@dataclass(frozen=True)
class Asked:
    """The fields of the first page as they were filled in, to be shown again."""

    location: str = ""
    address: str = ""
    scope: str = ""
    name: str = ""
    tasks: list[str] = field(default_factory=list)

    @classmethod
    def read(cls) -> "Asked":
        form = request.args
        tasks = [*form.getlist("task"), *form.getlist("tasks")]
        texts = {each: form.get(each, "") for each in ("location", "address", "scope", "name")}
        return cls(**texts, tasks=tasks)

    def wish(self) -> Wish | None:
        """What is wished for; None when nothing has been chosen yet. Raises `WizardError`."""
        if not self.tasks and not self.scope.strip():
            return None
        chosen = [preset(each) for each in dict.fromkeys(self.tasks)]
        scope = [each for one in chosen for each in one.scope]
        if self.scope.strip():
            scope.extend(parse_scope(self.scope))
        wanted = parse_scope(",".join([*scope, ALWAYS]))
        return Wish(tuple(one.id for one in chosen), wanted, self._location())

    def _location(self) -> str | None:
        if self.address.strip():
            found = house().zoho.find(self.address)
            if found is None:
                raise fail("page-no-data-centre", given=self.address.strip()[:80])
            return found.location
        return house().zoho.data_centre(self.location).location if self.location else None


@dataclass(frozen=True)
class Failed:
    """What came of pressing the second page's button."""

    failure: Failure
    client: Client | None = None
    """The client that was settled on before it failed."""
    box: pasted.Box | None = None
    """The paste box that the failure is about; None: there is none."""


@pages.get("/connections/new")
def new() -> str | Response:
    """The first page, or, once a task is chosen, the second."""
    asked = Asked.read()
    try:
        wish = asked.wish()
    except WizardError as error:
        return make_response(task_page(asked, finding_of(error.failure, house().clock())), 422)
    if wish is None:
        return task_page(asked)
    waiting = _waiting(wish)
    return (
        redirect(f"/connections/{waiting}", 303) if waiting else client_page(wish, name=asked.name)
    )


def _waiting(wish: Wish) -> str | None:
    """The connection that this browser was sent to Zoho for with this very wish, and that still
    waits: the Back button leads from Zoho's page to here. Whoever comes again wants another."""
    name = browser().get(BEGUN, {}).pop(wish, None)
    waiting = {each.connection for each in house().store.open_attempts()}
    return name if name in waiting else None


@pages.post("/connections")
def create() -> Response:
    """Register the client where one was pasted, create the connection, and go to Zoho."""
    form = request.form
    wish = Wish(
        tuple(each.id for each in map(preset, filter(None, form.get("presets", "").split(",")))),
        parse_scope(f"{form.get('scope', '')},{ALWAYS}"),
        form.get("location") or None,
    )
    name = form.get("name", "").strip()
    client = None
    try:
        credentials = _credentials()
        client = _client(wish, credentials)
        pasted.forget()
        _connection(name, client, wish)
    except WizardError as error:
        box = pasted.keep(error.failure) if client is None and "credentials" in form else None
        failed = Failed(error.failure, client, box)
        return make_response(client_page(wish, name=name, failed=failed), 422)
    try:
        answer = consent.begin(name)
    except WizardError as error:
        if not error.failure.temporary:
            return paint(error.failure, name=name)
        # Nothing of it is lost: the form stands there again, to be pressed when the wait is over.
        house().store.remove_connection(name)
        failed = Failed(error.failure, client)
        return make_response(client_page(wish, name=name, failed=failed), 503)
    browser().setdefault(BEGUN, {})[wish] = name
    read = pasted.understood(credentials) if credentials else ()
    browser().setdefault(UNDERSTOOD, {})[name] = read
    return answer


def _credentials() -> Credentials | None:
    """What was pasted, or kept of a paste; None where a stored client was chosen and nothing
    stands in the box. Raises as `parse_credentials` does."""
    chosen = bool(request.form.get("client_id"))
    return None if chosen and not pasted.filled() else pasted.pasted()


def _client(wish: Wish, credentials: Credentials | None) -> Client:
    if credentials is None:
        return house().store.client(request.form.get("client_id", ""))
    return house().clients.admit(
        credentials,
        redirect_uri=house().settings.redirect_uri,
        location=wish.location,
        same_for_all="same_for_all" in request.form,
        replace=pasted.accepts_new_secret(),
    )


def _connection(name: str, client: Client, wish: Wish) -> None:
    house().store.add_connection(
        Connection(
            name=name,
            client_id=client.client_id,
            scope=wish.scope,
            location=wish.location,
            presets=wish.presets,
            created_at=house().clock(),
        )
    )


def task_page(asked: Asked, found: Finding | None = None) -> str:
    """The first page: data centre and task."""
    clients = house().store.clients()
    here = asked.location or (clients[0].location if len(clients) == 1 else "")
    return render_template(
        "new_task.html",
        first=not house().store.connections(),
        found=found,
        location=here,
        address=asked.address,
        scope=asked.scope,
        name=asked.name,
        tasks=asked.tasks,
        data_centres=house().zoho.data_centres,
        presets=[
            {"id": each.id, "title": each.title, "product_name": product(each.product).title}
            for each in presets()
        ],
    )


def client_page(wish: Wish, *, name: str = "", failed: Failed | None = None) -> str:
    """The second page: the client, what the connection may do, and its name."""
    clients = house().store.clients()
    box = failed.box if failed else None
    another = request.args.get("client") == "new" or box is not None
    client = None if another else _chosen(clients, wish, failed)
    failure = failed.failure if failed else None
    found = failure.details.get("found") if failure else None
    location = found or wish.location
    likely = house().zoho.data_centre(location or _guessed_location())
    settings = house().settings
    return render_template(
        "new_client.html",
        found=finding_of(failure, house().clock(), name=name) if failure else None,
        box=box or pasted.Box(),
        wish=wish,
        title=_title(wish),
        name=name or _free_name(wish),
        client=client,
        clients=clients,
        location=location or "",
        data_centre=likely,
        guessed=location is None,
        elsewhere=[each for each in house().zoho.data_centres if each != likely],
        client_name=house().clients.free_name(),
        homepage=settings.base_url,
        redirect_uri=settings.redirect_uri,
        another_client=_address(wish, location, client="new"),
        offers=offers(client, wish.scope, location),
        kept=limits().refresh_tokens_per_user_and_client,
        home=house().zoho.data_centre(client.location) if client else None,
        abroad=_abroad(client, location),
        address=_address(wish, location, **({"client": "new"} if another else {})),
    )


def _chosen(clients: Sequence[Client], wish: Wish, failed: Failed | None) -> Client | None:
    """The client that the page connects with: the one it was settled on, else the likeliest."""
    chosen = request.args.get("client") or request.form.get("client_id")
    if failed is not None and failed.client is not None:
        chosen = failed.client.client_id
    wanted = next((each for each in clients if each.client_id == chosen), None)
    return wanted or _likeliest(clients, wish.location)


def _likeliest(clients: Sequence[Client], location: str | None) -> Client | None:
    usable = [each for each in clients if each.redirect_uri]
    near = [each for each in usable if location in (None, *each.locations)]
    return next(iter([*near, *usable]), None)


def _abroad(client: Client | None, location: str | None) -> str | None:
    """Where the secret of `location` is stored, if `client` has none that may be sent there."""
    if client is None or location is None or client.secret_for(location):
        return None
    return f"/clients/{client.client_id}?location={location}"


def _guessed_location() -> str:
    regions = re.findall(r"-([A-Z]{2})\b", request.headers.get("Accept-Language", ""))
    return next((_regions()[each] for each in regions if each in _regions()), "us")


@cache
def _regions() -> dict[str, str]:
    text = resources.files("wizard.web").joinpath("regions.toml").read_text("utf-8")
    rows = tomllib.loads(text)
    return {region: location for location, regions in rows.items() for region in regions}


def _title(wish: Wish) -> str:
    titles = [preset(each).title for each in wish.presets]
    return titles[0] if len(titles) == 1 else "Your connection"


def _free_name(wish: Wish) -> str:
    """A name after the task that no connection has."""
    stem = (wish.presets[0] if wish.presets else wish.scope[0].partition(".")[0].lower())[
        :NAME_LENGTH
    ]
    taken = {each.name for each in house().store.connections()}
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (stem, *numbered) if name not in taken)


def _address(wish: Wish, location: str | None, **more: str) -> str:
    """Where the second page stands for `wish`."""
    query = {**more, "task": wish.presets, "scope": ",".join(wish.scope)}
    return f"/connections/new?{urlencode({**query, 'location': location or ''}, doseq=True)}"
