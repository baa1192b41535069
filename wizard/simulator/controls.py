"""Control the simulated Zoho from outside: its clock, settings, users, clients, faults and so on.

`Controls` acts on a world of this process. `perform` runs a control by name with JSON arguments,
for the HTTP API of this machine and the page that shows the state.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for

from wizard.simulator import authorization_endpoint, incremental_authorization
from wizard.simulator.authorization_endpoint import (
    AlreadyConsented,
    AuthorizationRequest,
    ConsentRequired,
    ErrorPage,
    NoAccount,
)
from wizard.simulator.catalog import data_centers, products_of, split_scopes
from wizard.simulator.clients import SERVER_BASED
from wizard.simulator.grants import Permission
from wizard.simulator.host_names import asked_by_real_name, route_of
from wizard.simulator.incremental_authorization import ExtraScopeRequest
from wizard.simulator.request_context import current_world, json_error
from wizard.simulator.traffic import FAULT_KINDS, Fault
from wizard.simulator.users import ANNOUNCEMENT_KINDS, Organization, User
from wizard.simulator.world import World, encode

Json = Any
"""A value that JSON can represent."""

SECRET_FIELDS = ("password", "one_time_code_secret", "recovery_code", "trusted_browsers")
"""The fields of a user that `state` leaves out."""

Method = TypeVar("Method", bound=Callable[..., Any])


def _control(method: Method) -> Method:
    """Make a method of `Controls` run under the world's lock."""

    @wraps(method)
    def locked(self: "Controls", *args: Any, **kwargs: Any) -> Any:
        with self.world.lock:
            return method(self, *args, **kwargs)

    return cast(Method, locked)


class Controls:
    """What a test or a demo can do to the simulated Zoho.

    Arguments and results are JSON values; times are aware datetimes. A control raises ValueError
    if what it is asked for is impossible, and LookupError if the user or client doesn't exist.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    # time and state

    @_control
    def now(self) -> datetime:
        """Return the simulated Zoho's time."""
        return self.world.clock()

    @_control
    def advance(self, seconds: float) -> datetime:
        """Move the clock forward; return the new time."""
        return self.world.clock.advance(seconds)

    @_control
    def reset(self, random_seed: int = 1) -> None:
        """Start over with only the sample users; the same seed gives the same ids."""
        self.world.reset(random_seed)
        self.world.users.add_samples()

    @_control
    def state(self) -> dict[str, Json]:
        """Return users, clients, faults and counts of active tokens, without a secret."""
        grants = self.world.grants
        return {
            "now": self.world.clock().isoformat(),
            "origin": self.world.origin,
            "users": [_without(each, *SECRET_FIELDS) for each in self.world.users],
            "clients": [_without(each, "secrets") for each in self.world.clients],
            "active_refresh_tokens": len(list(grants.active_refresh_tokens())),
            "active_access_tokens": len(list(grants.active_access_tokens())),
            "faults": encode(self.world.faults.pending),
        }

    @_control
    def settings(self) -> dict[str, Json]:
        """Return the current settings."""
        return self.world.settings.to_dict()

    @_control
    def change_settings(self, **changes: Json) -> dict[str, Json]:
        """Change settings by name; return all of them."""
        self.world.settings = self.world.settings.with_changes(**changes)
        return self.world.settings.to_dict()

    # users and clients

    @_control
    def users(self) -> list[dict[str, Json]]:
        """Return the users with their passwords and current one-time codes."""
        now = self.world.clock()
        return [
            {
                **_without(each, "one_time_code_secret", "trusted_browsers"),
                "one_time_code": each.one_time_code(now) if each.one_time_code_secret else None,
                "is_waiting_for_push": bool(self.world.sessions.find_waiting_for_push(each.zuid)),
            }
            for each in self.world.users
        ]

    @_control
    def add_user(self, email: str, **fields: Json) -> dict[str, Json]:
        """Add a user with `location`, `password`, `first_name`, `last_name`.

        Optional: `one_time_code_secret`, `approves_by_push`, and `organizations`, a list of dicts
        with product, organization_id, name and environment.
        """
        organizations = [Organization(**each) for each in fields.pop("organizations", [])]
        user = self.world.users.add(email, **fields, organizations=organizations)
        return _without(user, *SECRET_FIELDS)

    @_control
    def register_client(
        self,
        owner: str,
        redirect_uris: list[str],
        *,
        name: str = "A client",
        location: str = "",
        kind: str = SERVER_BASED,
        homepage: str = "http://localhost/",
    ) -> dict[str, Json]:
        """Register a client as `owner` (an email address), by default in the owner's data center.

        Return the client with its `secrets` by location.
        """
        user = self.world.users.get(owner)
        client = self.world.clients.register(
            user.zuid,
            location or user.location,
            name=name,
            homepage=homepage,
            redirect_uris=redirect_uris,
            kind=kind,
        )
        return dict(encode(client))

    @_control
    def enable_data_center(
        self, client_id: str, location: str, *, same_credentials: bool = False
    ) -> str:
        """Enable a data center for a client; return the client secret that is valid there."""
        clients = self.world.clients
        clients.enable_data_center(client_id, location)
        clients.use_same_credentials(client_id, same_credentials)
        return clients.get(client_id).secret_in(location) or ""

    @_control
    def disable_data_center(self, client_id: str, location: str) -> None:
        """Disable a data center for a client, which is unknown there from then on."""
        self.world.clients.disable_data_center(client_id, location)

    @_control
    def authorize(self, url: str, email: str, organization_id: str = "") -> str:
        """Open an authorization URL as a user who signs in and accepts; return the callback URL.

        ValueError has the title of Zoho's error page if that is what the user sees.
        """
        with asked_by_real_name(route_of(url) is not None):
            return self._authorize(url, email, organization_id)

    def _authorize(self, url: str, email: str, organization_id: str) -> str:
        user = self.world.users.get(email)
        parameters = dict(parse_qsl(urlsplit(url).query))
        request = AuthorizationRequest.read(user.location, parameters)
        chosen = _organization_by_product(user, organization_id)
        match authorization_endpoint.evaluate(self.world, request, user, chosen):
            case ConsentRequired(organizations=organizations):
                ids = {key: each.organization_id for key, each in organizations.items()}
                return authorization_endpoint.accept(self.world, request, user, ids)
            case AlreadyConsented(organizations=remembered):
                return authorization_endpoint.accept(
                    self.world, request, user, remembered, is_consent_shown=False
                )
            case ErrorPage(title=title):
                raise ValueError(title)
            case NoAccount():
                return authorization_endpoint.no_account(self.world, request)
            case _:
                raise ValueError(f"{email} has several organizations; set organization_id")

    @_control
    def accept_extra_scopes(self, url: str, email: str, organization_id: str = "") -> str:
        """Open a URL that adds scopes (`addextrascope`) as a user who signs in and accepts; return
        the callback URL.

        ValueError has the title of Zoho's error page if that is what the user sees.
        """
        user = self.world.users.get(email)
        request = ExtraScopeRequest.read(user.location, dict(parse_qsl(urlsplit(url).query)))
        chosen = _organization_by_product(user, organization_id)
        match decision := incremental_authorization.evaluate(self.world, request, user, chosen):
            case ConsentRequired():
                return incremental_authorization.accept(self.world, request, decision)
            case AlreadyConsented():
                return incremental_authorization.success(request)
            case ErrorPage(title=title):
                raise ValueError(title)
            case NoAccount():
                return incremental_authorization.failure(request, "no_org")
            case _:
                raise ValueError(f"{email} has several organizations; set organization_id")

    @_control
    def generate_code(
        self,
        client_id: str,
        scope: str,
        *,
        lifetime_seconds: int | None = None,
        organization_id: str = "",
    ) -> str:
        """Use "Generate Code" as the owner of a self client; return the code."""
        client = self.world.clients.get(client_id)
        owner = self.world.users.by_zuid[client.owner]
        requested = split_scopes(scope)
        bound = {
            product.key: owned[0].organization_id
            for product in products_of(requested)
            if product.binds_organization and (owned := owner.organizations_in(product.key))
        }
        chosen = _organization_by_product(owner, organization_id)
        permission = Permission(client_id, owner.zuid, client.location, requested, bound | chosen)
        code = authorization_endpoint.generate_code(self.world, permission, lifetime_seconds)
        if code is None:
            raise ValueError(authorization_endpoint.REQUEST_LIMIT_TEXT)
        return code.code

    # events

    @_control
    def change_password(
        self, email: str, new_password: str = "", *, remove_tokens: bool = True
    ) -> None:
        """Change a password, by default with the option that revokes all tokens."""
        user = self.world.users.get(email)
        new_password = new_password or f"{user.password}-changed"
        self.world.change_password(
            user, new_password, end_sessions=remove_tokens, remove_tokens=remove_tokens
        )

    @_control
    def forgot_password(
        self, email: str, new_password: str = "", *, remove_tokens: bool = False
    ) -> None:
        """Let a user who forgot the password choose a new one; by default all tokens stay valid."""
        self.change_password(email, new_password, remove_tokens=remove_tokens)

    @_control
    def reset_password(
        self, email: str, temporary_password: str = "", *, remove_tokens: bool = False
    ) -> None:
        """Reset a password as an administrator. It's valid for one sign-in.

        `remove_tokens` checks the box "Clear mobile sessions and API tokens".
        """
        user = self.world.users.get(email)
        password = temporary_password or f"{user.password}-for-once"
        self.world.reset_password(user, password, remove_tokens=remove_tokens)

    @_control
    def move_account(self, email: str, location: str) -> None:
        """Move an account to another data center; its tokens become invalid."""
        if location not in data_centers():
            raise LookupError(f"there is no data center {location!r}")
        self.world.move_account(self.world.users.get(email), location)

    @_control
    def announce(self, email: str, kind: str = "announcement") -> None:
        """Show an `announcement` or a `preannouncement` after the user's next sign-in."""
        if kind not in ANNOUNCEMENT_KINDS:
            kinds = ", ".join(ANNOUNCEMENT_KINDS)
            raise ValueError(f"an announcement is one of {kinds}, not {kind!r}")
        self.world.users.get(email).announcements.append(kind)

    @_control
    def require_captcha(self, email: str) -> None:
        """Require a CAPTCHA at the user's next sign-in, as after too many wrong passwords."""
        limit = self.world.settings.wrong_passwords_before_captcha
        self.world.users.get(email).wrong_passwords = limit

    @_control
    def confirm_push(self, email: str) -> None:
        """Approve the pending sign-in on the user's other device; LookupError if there is none."""
        self.world.confirm_push(self.world.users.get(email))

    @_control
    def revoke_app(self, email: str, client_id: str) -> None:
        """Remove a connected app."""
        self.world.revoke_app(self.world.users.get(email), client_id)

    @_control
    def evict_refresh_token(self, email: str, client_id: str) -> None:
        """Invalidate the oldest refresh token of a user and client, as a 21st one does."""
        self.world.evict_oldest_refresh_token(self.world.users.get(email), client_id)

    @_control
    def rotate_secret(self, client_id: str, location: str = "") -> str:
        """Replace a client secret, by default in the client's home data center; return it."""
        return self.world.clients.rotate_secret(client_id, location or None)

    @_control
    def delete_client(self, client_id: str) -> None:
        """Delete a client and its tokens."""
        self.world.delete_client(client_id)

    @_control
    def deactivate_user(self, email: str, *, deactivated: bool = True) -> None:
        """Deactivate a user's account, or reactivate it."""
        self.world.deactivate(self.world.users.get(email), deactivated)

    @_control
    def remove_api_access(self, email: str, product: str) -> None:
        """Deny a user the API of a product (`crm`), as a role without API access does."""
        self.world.users.get(email).products_without_api_access.append(product)

    # faults and journal

    @_control
    def inject_fault(self, kind: str, **fields: Json) -> None:
        """Inject a fault for the next request that matches; see `traffic.Fault`."""
        self.world.faults.inject(Fault(kind, **fields))

    @_control
    def clear_faults(self) -> None:
        """Remove all pending faults."""
        self.world.faults.clear()

    @_control
    def journal(self) -> list[dict[str, Json]]:
        """Return the redacted requests, oldest first."""
        return list(encode(self.world.journal.entries()))

    @_control
    def clear_journal(self) -> None:
        """Remove all entries of the journal."""
        self.world.journal.clear()


CONTROLS = frozenset(name for name in vars(Controls) if not name.startswith("_"))
READ_ONLY_CONTROLS = frozenset({"now", "state", "settings", "users", "journal"})


def perform(world: World, control: str, arguments: dict[str, Json]) -> Json:
    """Run a control by name; return its result as JSON. LookupError if there is no such control."""
    if control not in CONTROLS:
        raise LookupError(f"there is no control {control!r}")
    return encode(getattr(Controls(world), control)(**arguments))


def _organization_by_product(user: User, organization_id: str) -> dict[str, str]:
    """Return product key → `organization_id` if the user has that organization, else {}."""
    matching = (each for each in user.organizations if each.organization_id == organization_id)
    return {each.product: organization_id for each in matching}


def _without(record: Any, *hidden: str) -> dict[str, Json]:
    return {name: value for name, value in encode(record).items() if name not in hidden}


JOURNAL_ENTRIES_SHOWN = 40
CLOCK_STEPS_SECONDS = {"2 minutes": 120, "10 minutes": 600, "1 hour": 3600, "1 day": 86400}

pages = Blueprint("admin", __name__)


@pages.get("/")
def root() -> Any:
    """Redirect to the state page."""
    return redirect(url_for(".show"))


@pages.get("/_simulator/")
def show() -> str:
    """Show everything except the secrets of clients and tokens."""
    world = current_world()
    counts = {
        client.client_id: len(list(world.grants.active_refresh_tokens(client_id=client.client_id)))
        for client in world.clients
    }
    return render_template(
        "simulator/state.html",
        world=world,
        now=world.clock(),
        data_centers=data_centers(),
        active_refresh_tokens=counts,
        refresh_tokens=len(list(world.grants.active_refresh_tokens())),
        access_tokens=len(list(world.grants.active_access_tokens())),
        journal=world.journal.entries()[: -JOURNAL_ENTRIES_SHOWN - 1 : -1],
        fault_kinds=FAULT_KINDS,
        clock_steps=CLOCK_STEPS_SECONDS,
    )


@pages.post("/_simulator/page/<control>")
def perform_from_page(control: str) -> Any:
    """Run a control, as the API does, and show the state again."""
    try:
        arguments = {
            name: _FIELD_PARSERS.get(name, str)(text) for name, text in request.form.items()
        }
        anchor = arguments.pop("anchor", None)
        perform(current_world(), control, arguments)
    except (LookupError, TypeError, ValueError) as error:
        page = {"title": "That didn’t work", "description": str(error)}
        return render_template("simulator/error.html", **page), 400
    return redirect(url_for(".show", _anchor=anchor))


_FIELD_PARSERS: dict[str, Callable[[str], Any]] = {
    "seconds": float,
    "times": int,
    "remove_tokens": lambda text: text == "yes",
    "deactivated": lambda text: text == "yes",
}
"""Form field → parser of its value. All others are text."""


controls_api = Blueprint("controls", __name__, url_prefix="/_simulator")
"""`GET` for controls that change nothing, `POST` for all, with a JSON object of arguments."""


@controls_api.get("/controls/<control>")
def read_control(control: str) -> Response:
    """Run a control that changes nothing."""
    if control not in READ_ONLY_CONTROLS:
        return json_error("LookupError", f"there is no read-only control {control!r}", 404)
    return jsonify(perform(current_world(), control, {}))


@controls_api.post("/controls/<control>")
def perform_control(control: str) -> Response:
    """Run a control with arguments in JSON."""
    arguments = request.get_json(silent=True)
    if not isinstance(arguments, dict):
        return json_error("ValueError", "the arguments are not a JSON object", 400)
    try:
        return jsonify(perform(current_world(), control, arguments))
    except LookupError as error:
        return json_error("LookupError", str(error), 404)
    except (ValueError, TypeError) as error:
        return json_error("ValueError", str(error), 400)
