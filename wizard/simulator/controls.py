"""Control the simulated Zoho from outside: its clock, settings, users, clients, faults and so on.

`Controls` acts on a world of this process; `admin_api` offers each of its methods over HTTP, and
`remote` calls them there.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from inspect import signature
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from wizard.simulator import authorization_endpoint, incremental_authorization
from wizard.simulator.api_calls import to_json
from wizard.simulator.authorization_endpoint import (
    AlreadyConsented,
    AuthorizationRequest,
    ChooseOrganization,
    ConsentRequired,
    ErrorPage,
    NoAccount,
)
from wizard.simulator.catalog import (
    Location,
    data_centers,
    is_known_scope,
    products,
    products_of,
    split_scopes,
    use_catalog,
)
from wizard.simulator.clients import CLIENT_BASED, MOBILE, SELF_CLIENT, SERVER_BASED, Client
from wizard.simulator.errors import InvalidValueError, NotFoundError
from wizard.simulator.grants import Permission
from wizard.simulator.host_names import asked_by_real_name, host_names, route_of
from wizard.simulator.incremental_authorization import ExtraScopeRequest
from wizard.simulator.products import METHODS, Status
from wizard.simulator.schemas import arguments_schema, check, record, shown, unknown
from wizard.simulator.settings import settings_schema
from wizard.simulator.traffic import FAULT_KINDS, Fault, JournalEntry, StubbedResponse
from wizard.simulator.users import ANNOUNCEMENT_KINDS, Organization, User
from wizard.simulator.world import World, encode

Json = Any
"""A value that JSON can represent."""

SECRET_FIELDS = ("password", "one_time_code_secret", "recovery_code", "trusted_browsers")
"""The fields of a user that `state` leaves out."""

Email = Annotated[str, {"description": "A user’s email address."}]
AnyEmail = Annotated[str, {"description": "A user’s email address; empty for any user."}]
ClientId = Annotated[str, {"description": "The ID of a registered client."}]
AnyClientId = Annotated[str, {"description": "The ID of a client; empty for a new one."}]
OneTimeCodeSecret = Annotated[
    str | None, {"description": "The second factor’s secret in base32; null for none."}
]
AnyLocation = Annotated[
    str, {"description": "A data center; empty for the usual ones.", "enum": ["", *data_centers()]}
]
ProductKey = Annotated[str, {"description": "A product, such as `crm`."}]
Scope = Annotated[str, {"description": "Scopes, separated by commas or spaces."}]
OrganizationId = Annotated[
    str, {"description": "The organization that the user chooses, if there are several."}
]
Password = Annotated[str, {"description": "A password; empty for one that is made up."}]
RandomSeed = Annotated[
    int | None, {"description": "The same seed gives the same IDs and tokens.", "minimum": 0}
]
ClientKind = Annotated[str, {"enum": [SERVER_BASED, SELF_CLIENT, MOBILE, CLIENT_BASED]}]
FaultKind = Annotated[str, {"description": "The kind of fault.", "enum": [*FAULT_KINDS]}]
AnnouncementKind = Annotated[str, {"enum": [*ANNOUNCEMENT_KINDS]}]
Times = Annotated[
    int, {"description": "For how many requests.", "minimum": 1, "maximum": 1_000_000}
]
Seconds = Annotated[float, {"minimum": 0, "maximum": 1_000_000}]
Lifetime = Annotated[
    int | None, {"description": "In seconds; null for the setting.", "minimum": 0, "maximum": 10**9}
]
Settings = Annotated[dict[str, Json], settings_schema()]
Setting = Annotated[Json, settings_schema()]
"""One of the settings, by its name."""

OrganizationRow = Annotated[dict[str, Json], record(Organization)]
UserState = Annotated[dict[str, Json], record(User, without=SECRET_FIELDS)]
ClientState = Annotated[dict[str, Json], record(Client, without=("secrets",))]
UserToSignIn = Annotated[
    dict[str, Json],
    record(
        User,
        without=("one_time_code_secret", "trusted_browsers"),
        one_time_code=str | None,
        is_waiting_for_push=bool,
    ),
]
RegisteredClient = Annotated[dict[str, Json], record(Client)]
Entry = Annotated[dict[str, Json], record(JournalEntry)]
State = Annotated[
    dict[str, Json],
    {
        "properties": {
            "now": {"type": "string", "format": "date-time"},
            "origin": {"type": "string"},
            "users": {"type": "array", "items": record(User, without=SECRET_FIELDS)},
            "clients": {"type": "array", "items": record(Client, without=("secrets",))},
            "active_refresh_tokens": {"type": "integer"},
            "active_access_tokens": {"type": "integer"},
            "faults": {"type": "array", "items": record(Fault)},
            "stubbed_responses": {"type": "array", "items": record(StubbedResponse)},
        },
        "additionalProperties": False,
    },
]
Tokens = Annotated[
    dict[str, Json],
    {
        "properties": {
            name: {"type": "string"}
            for name in (
                *("client_id", "client_secret", "refresh_token", "access_token", "scope"),
                *("location", "accounts_server", "api_domain"),
            )
        },
        "additionalProperties": False,
    },
]

Method = TypeVar("Method", bound=Callable[..., Any])

READ_ONLY_MARK = "is_read_only"

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _control(method: Method) -> Method:
    """Make a method of `Controls` check its arguments and run under the world's lock."""
    schema = arguments_schema(method)
    names = list(signature(method).parameters)[1:]

    @wraps(method)
    def checked(self: "Controls", *args: Any, **kwargs: Any) -> Any:
        check(schema, {**dict(zip(names, args, strict=False)), **kwargs})
        with self.world.lock, use_catalog(self.world.catalog):
            return method(self, *args, **kwargs)

    return cast(Method, checked)


def _query(method: Method) -> Method:
    """Make a method a control that changes nothing."""
    control = _control(method)
    setattr(control, READ_ONLY_MARK, True)
    return control


class Controls:
    """What a test or a demo can do to the simulated Zoho.

    Arguments and results are JSON values; times are aware datetimes. A control raises
    InvalidValueError (a ValueError) if what it is asked for is impossible, and NotFoundError (a
    LookupError) if the user or client doesn't exist.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    # time and state

    @_query
    def now(self) -> datetime:
        """Return the simulated Zoho's time."""
        return self.world.clock()

    @_control
    def advance(
        self, seconds: Annotated[float, {"description": "Negative to move it back."}]
    ) -> datetime:
        """Move the clock forward; return the new time."""
        return self.world.clock.advance(seconds)

    @_control
    def reset(self, random_seed: RandomSeed = None) -> None:
        """Start over as configured: by default with only the sample users and real time."""
        self.world.reset(random_seed)

    @_query
    def state(self) -> State:
        """Return users, clients, faults and counts of active tokens, without secrets."""
        grants = self.world.grants
        return {
            "now": self.world.clock().isoformat(),
            "origin": self.world.origin,
            "users": [_without(each, *SECRET_FIELDS) for each in self.world.users],
            "clients": [_without(each, "secrets") for each in self.world.clients],
            "active_refresh_tokens": len(list(grants.active_refresh_tokens())),
            "active_access_tokens": len(list(grants.active_access_tokens())),
            "faults": encode(self.world.faults.pending),
            "stubbed_responses": encode(self.world.stubbed_responses.pending),
        }

    @_query
    def settings(self) -> Settings:
        """Return the current settings."""
        return self.world.settings.to_dict()

    @_control
    def change_settings(self, **changes: Setting) -> Settings:
        """Change settings by name; return all of them."""
        self.world.settings = self.world.settings.with_changes(**changes)
        return self.world.settings.to_dict()

    # users and clients

    @_query
    def users(self) -> list[UserToSignIn]:
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
    def add_user(
        self,
        email: Email,
        *,
        location: Location,
        password: Password = "",
        first_name: str = "",
        last_name: str = "",
        one_time_code_secret: OneTimeCodeSecret = None,
        approves_by_push: bool = False,
        organizations: list[OrganizationRow] | None = None,
    ) -> UserState:
        """Add a user; what is left out is made up.

        Without organizations, the user has no account in any product.
        """
        user = self.world.users.add(
            email,
            location=location,
            password=password,
            first_name=first_name,
            last_name=last_name,
            one_time_code_secret=one_time_code_secret,
            approves_by_push=approves_by_push,
            organizations=[Organization(**each) for each in organizations or []],
        )
        return _without(user, *SECRET_FIELDS)

    @_control
    def register_client(
        self,
        owner: Email,
        redirect_uris: list[str],
        *,
        name: str = "A client",
        location: AnyLocation = "",
        kind: ClientKind = SERVER_BASED,
        homepage: str = "http://localhost/",
    ) -> RegisteredClient:
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
        self, client_id: ClientId, location: Location, *, same_credentials: bool = False
    ) -> str:
        """Enable a data center for a client; return the client secret that is valid there."""
        clients = self.world.clients
        clients.enable_data_center(client_id, location)
        clients.use_same_credentials(client_id, same_credentials)
        return clients.get(client_id).secret_in(location) or ""

    @_control
    def disable_data_center(self, client_id: ClientId, location: Location) -> None:
        """Disable a data center for a client, which is unknown there from then on."""
        self.world.clients.disable_data_center(client_id, location)

    @_control
    def authorize(self, url: str, email: Email, organization_id: OrganizationId = "") -> str:
        """Open an authorization URL as a user who signs in and accepts; return the callback URL.

        It's an error if the user sees one of Zoho’s error pages instead.
        """
        with asked_by_real_name(route_of(url) is not None):
            return self._authorize(url, email, organization_id)

    def _authorize(self, url: str, email: str, organization_id: str) -> str:
        user = self.world.users.get(email)
        parameters = _query_of(url)
        request = AuthorizationRequest.read(user.location, parameters)
        chosen = _chosen(user, organization_id)
        match authorization_endpoint.evaluate(self.world, request, user, chosen):
            case ConsentRequired() | ChooseOrganization() if self.world.take_rejection(user):
                return authorization_endpoint.reject(self.world, request)
            case ConsentRequired(organizations=organizations):
                ids = {key: each.organization_id for key, each in organizations.items()}
                return authorization_endpoint.accept(self.world, request, user, ids)
            case AlreadyConsented(organizations=remembered):
                return authorization_endpoint.accept(
                    self.world, request, user, remembered, is_consent_shown=False
                )
            case ErrorPage(title=title):
                raise InvalidValueError(f"The user sees the page “{title}” instead of the consent.")
            case NoAccount():
                return authorization_endpoint.no_account(self.world, request)
            case _:
                raise InvalidValueError(
                    f"{email} has several organizations. Set “organization_id”."
                )

    @_control
    def reject(self, email: AnyEmail = "", *, times: Times = 1) -> None:
        """Reject the next consent, in a browser or by `authorize`, as a user who clicks Reject."""
        own_email = self.world.users.get(email).email if email else ""
        self.world.rejections += [own_email] * times

    @_control
    def accept_extra_scopes(
        self, url: str, email: Email, organization_id: OrganizationId = ""
    ) -> str:
        """Open a URL that adds scopes (`addextrascope`) as a user who signs in and accepts; return
        the callback URL.

        It's an error if the user sees one of Zoho’s error pages instead.
        """
        user = self.world.users.get(email)
        request = ExtraScopeRequest.read(user.location, _query_of(url))
        chosen = _chosen(user, organization_id)
        match decision := incremental_authorization.evaluate(self.world, request, user, chosen):
            case ConsentRequired() | ChooseOrganization() if self.world.take_rejection(user):
                return incremental_authorization.failure(request, "access_denied")
            case ConsentRequired():
                return incremental_authorization.accept(self.world, request, decision)
            case AlreadyConsented():
                return incremental_authorization.success(request)
            case ErrorPage(title=title):
                raise InvalidValueError(f"The user sees the page “{title}” instead of the consent.")
            case NoAccount():
                return incremental_authorization.failure(request, "no_org")
            case _:
                raise InvalidValueError(
                    f"{email} has several organizations. Set “organization_id”."
                )

    @_control
    def generate_code(
        self,
        client_id: ClientId,
        scope: Scope,
        *,
        lifetime_seconds: Lifetime = None,
        organization_id: OrganizationId = "",
    ) -> str:
        """Use "Generate Code" as the owner of a self client; return the code."""
        client = self.world.clients.get(client_id)
        owner = self.world.users.by_zuid[client.owner]
        permission = _permission(client, owner, scope, organization_id)
        code = authorization_endpoint.generate_code(self.world, permission, lifetime_seconds)
        if code is None:
            raise InvalidValueError(authorization_endpoint.REQUEST_LIMIT_TEXT)
        return code.code

    @_control
    def issue_tokens(
        self,
        email: Email,
        scope: Scope,
        *,
        client_id: AnyClientId = "",
        organization_id: OrganizationId = "",
    ) -> Tokens:
        """Give a program what it needs to call the APIs as a user, without a browser.

        It’s one more consent of the user: the oldest of too many refresh tokens is evicted. Without
        `client_id`, a new client is registered.
        """
        user, clients, grants = self.world.users.get(email), self.world.clients, self.world.grants
        client = (
            clients.get(client_id)
            if client_id
            else clients.register(user.zuid, user.location, name="A client")
        )
        if not client.is_known_in(user.location):
            raise InvalidValueError(
                f"The client isn’t enabled in “{user.location}”, the data center of {email}."
            )
        if invented := [each for each in split_scopes(scope) if not is_known_scope(each)]:
            raise InvalidValueError(f"Zoho has no scope “{invented[0]}”.")
        permission = _permission(client, user, scope, organization_id)
        refresh_token = grants.issue_refresh_token(permission)
        grants.remember_consent(permission)
        return {
            "client_id": client.client_id,
            "client_secret": client.secret_in(user.location) or "",
            "refresh_token": refresh_token.refresh_token,
            "access_token": grants.issue_access_token(permission, refresh_token).access_token,
            "scope": " ".join(permission.scopes),
            "location": user.location,
            "accounts_server": self.world.accounts_server(user.location),
            "api_domain": self.world.api_domain(user.location),
        }

    # events

    @_control
    def change_password(
        self, email: Email, new_password: Password = "", *, remove_tokens: bool = True
    ) -> None:
        """Change a password, by default with the option that revokes all tokens."""
        user = self.world.users.get(email)
        new_password = new_password or f"{user.password}-changed"
        self.world.change_password(
            user, new_password, end_sessions=remove_tokens, remove_tokens=remove_tokens
        )

    @_control
    def forgot_password(
        self, email: Email, new_password: Password = "", *, remove_tokens: bool = False
    ) -> None:
        """Let a user who forgot the password choose a new one; by default all tokens stay valid."""
        self.change_password(email, new_password, remove_tokens=remove_tokens)

    @_control
    def reset_password(
        self, email: Email, temporary_password: Password = "", *, remove_tokens: bool = False
    ) -> None:
        """Reset a password as an administrator. It's valid for one sign-in.

        `remove_tokens` checks the box "Clear mobile sessions and API tokens".
        """
        user = self.world.users.get(email)
        password = temporary_password or f"{user.password}-for-once"
        self.world.reset_password(user, password, remove_tokens=remove_tokens)

    @_control
    def move_account(self, email: Email, location: Location) -> None:
        """Move an account to another data center; its tokens become invalid."""
        self.world.move_account(self.world.users.get(email), location)

    @_control
    def announce(self, email: Email, kind: AnnouncementKind = "announcement") -> None:
        """Show an `announcement` or a `preannouncement` after the user's next sign-in."""
        self.world.users.get(email).announcements.append(kind)

    @_control
    def require_captcha(self, email: Email) -> None:
        """Require a CAPTCHA at the user's next sign-in, as after too many wrong passwords."""
        limit = self.world.settings.wrong_passwords_before_captcha
        self.world.users.get(email).wrong_passwords = limit

    @_control
    def confirm_push(self, email: Email) -> None:
        """Approve the pending sign-in on the user's other device."""
        self.world.confirm_push(self.world.users.get(email))

    @_control
    def revoke_app(self, email: Email, client_id: ClientId) -> None:
        """Remove a connected app."""
        self.world.revoke_app(self.world.users.get(email), client_id)

    @_control
    def evict_refresh_token(self, email: Email, client_id: ClientId) -> None:
        """Invalidate the oldest refresh token of a user and client, as a 21st one does."""
        self.world.evict_oldest_refresh_token(self.world.users.get(email), client_id)

    @_control
    def rotate_secret(self, client_id: ClientId, location: AnyLocation = "") -> str:
        """Replace a client secret, by default in the client's home data center; return it."""
        return self.world.clients.rotate_secret(client_id, location or None)

    @_control
    def delete_client(self, client_id: ClientId) -> None:
        """Delete a client and its tokens."""
        self.world.delete_client(client_id)

    @_control
    def deactivate_user(self, email: Email, *, deactivated: bool = True) -> None:
        """Deactivate a user's account, or reactivate it."""
        self.world.deactivate(self.world.users.get(email), deactivated)

    @_control
    def remove_api_access(self, email: Email, product: ProductKey) -> None:
        """Deny a user the API of a product, as a role without API access does."""
        if product not in products():
            raise NotFoundError(unknown("", product, products()))
        self.world.users.get(email).products_without_api_access.append(product)

    # faults and journal

    @_control
    def inject_fault(
        self,
        kind: FaultKind,
        *,
        location: AnyLocation = "",
        endpoint: Annotated[str, {"description": "A part of the path; empty for any path."}] = "",
        times: Times = 1,
        seconds: Seconds = 1.0,
        processed: Annotated[
            bool, {"description": "Carry out the request; damage only its response."}
        ] = False,
        retry_after: Annotated[
            str, {"description": "The Retry-After header: seconds, or a date."}
        ] = "",
    ) -> None:
        """Inject a fault for the next requests that match."""
        fault = Fault(kind, location, endpoint, times, seconds, processed, retry_after)
        self.world.faults.inject(fault)

    @_control
    def clear_faults(self) -> None:
        """Remove all pending faults."""
        self.world.faults.clear()

    @_control
    def stub_response(
        self,
        method: Annotated[str, {"enum": METHODS}],
        path: Annotated[
            str, {"description": "The path of Zoho’s URL, without a query: `/crm/v8/Leads`."}
        ],
        *,
        host: Annotated[
            str,
            {
                "description": "Zoho’s host name (`www.zohoapis.eu`), or its first part in any "
                "data center (`accounts`, `www`, `desk`)."
            },
        ] = "www",
        status: Status = 200,
        body: Annotated[
            Json, {"description": "Text is sent as it is, everything else as JSON."}
        ] = "",
        headers: dict[str, str] | None = None,
        location: AnyLocation = "",
        times: Times = 1,
    ) -> None:
        """Answer the next matching requests with this response, before anything is checked."""
        if host in host_names():
            location, host = host_names()[host]
        for name, value in (headers or {}).items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
                raise InvalidValueError(f"“headers.{name}” can’t be sent in HTTP.")
        text = body if isinstance(body, str) else to_json(body)
        stub = StubbedResponse(method, path, host, location, status, text, headers or {}, times)
        self.world.stubbed_responses.pending.append(stub)

    @_control
    def clear_stubbed_responses(self) -> None:
        """Remove all stubbed responses that are still pending."""
        self.world.stubbed_responses.pending.clear()

    @_query
    def journal(self) -> list[Entry]:
        """Return the redacted requests, oldest first."""
        return list(encode(self.world.journal.entries()))

    @_control
    def clear_journal(self) -> None:
        """Remove all entries of the journal."""
        self.world.journal.clear()


def _query_of(url: str) -> dict[str, str]:
    """Return the parameters of a URL."""
    try:
        return dict(parse_qsl(urlsplit(url).query))
    except ValueError:
        raise InvalidValueError(f"“url” must be a URL, not {shown(url)}.") from None


def _permission(client: Client, user: User, scope: str, organization_id: str) -> Permission:
    """Return what the user accepts for scopes, with the first organization of each product, or
    the chosen one.
    """
    requested = split_scopes(scope)
    bound = {
        product.key: owned[0].organization_id
        for product in products_of(requested)
        if product.binds_organization and (owned := user.organizations_in(product.key))
    }
    chosen = _chosen(user, organization_id)
    return Permission(client.client_id, user.zuid, user.location, requested, bound | chosen)


def _chosen(user: User, organization_id: str) -> dict[str, str]:
    """Return product key → `organization_id`, which the user must have; {} for an empty one."""
    matching = [each for each in user.organizations if each.organization_id == organization_id]
    if organization_id and not matching:
        raise NotFoundError(f"{user.email} has no organization with the ID “{organization_id}”.")
    return {each.product: organization_id for each in matching}


def _without(record: Any, *hidden: str) -> dict[str, Json]:
    return {name: value for name, value in encode(record).items() if name not in hidden}
