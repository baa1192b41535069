"""The whole state of the simulated Zoho.

The state has parts: `users`, `sessions`, `clients`, `grants`, `records`, `rate_limits`, `journal`,
`faults`, `settings`, `clock`. What concerns several of them is a method of the world. A world
doesn't lock itself: the server holds `lock` during each request, and every other user must hold it,
too.
"""

import threading
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from wizard.simulator.clients import Client, Clients
from wizard.simulator.configuration import Configuration
from wizard.simulator.errors import InvalidValueError, NotFoundError
from wizard.simulator.grants import (
    AccessToken,
    AuthorizationCode,
    EnhancementToken,
    Grants,
    Permission,
    RefreshToken,
)
from wizard.simulator.host_names import is_asked_by_real_name, url_of
from wizard.simulator.records import Records
from wizard.simulator.settings import Clock, RandomValues, SimulatorSettings
from wizard.simulator.traffic import Faults, Journal, StubbedResponses
from wizard.simulator.users import Session, Sessions, User, Users, sample_users

DEFAULT_ORIGIN = "http://127.0.0.1:8730"
SAVED_FORMAT = 1


class RateLimits:
    """Counts events by key, in windows that begin with their first event.

    Zoho refuses requests for the rest of the window; a refused one isn't counted.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[str, ...], tuple[datetime, int]] = {}

    def take(self, key: tuple[str, ...], limit: int, period_seconds: int, now: datetime) -> bool:
        """Count one event under `key`; False if `limit` is reached in this period."""
        began, count = self._windows.get(key, (now, 0))
        if now - began >= timedelta(seconds=period_seconds):
            began, count = now, 0
        if count >= limit:
            return False
        self._windows[key] = (began, count + 1)
        return True

    def clear(self) -> None:
        """Remove all counts."""
        self._windows.clear()


class World:
    """The state. It starts as `configuration` says, and returns to that when it's reset.

    `clock` replaces the configured one. `origin` is the server's scheme, host and port. Every URL
    in a response starts with it, unless the request came to one of Zoho's real host names.
    `rejections` are the users whose next consent is rejected, "" for any user. `catalog` has the
    products.
    """

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        clock: Clock | None = None,
        origin: str = DEFAULT_ORIGIN,
    ) -> None:
        self.configuration = configuration or Configuration()
        self.catalog = self.configuration.catalog
        self.lock = threading.RLock()
        self.clock = clock or Clock(fixed_at=self.configuration.fixed_time)
        self.origin = origin
        self.journal = Journal()
        self.faults = Faults()
        self.reset()

    def reset(self, random_seed: int | None = None) -> None:
        """Start over as configured, or with another seed: the same seed gives the same IDs."""
        configured = self.configuration
        self.settings = configured.simulator_settings
        seed = configured.seed if random_seed is None else random_seed
        self.random_values = RandomValues(seed)
        self.users = Users(self.random_values)
        self.users.add_rows(configured.users or sample_users())
        self.rejections: list[str] = []
        self.clients = Clients(self.random_values)
        self.sessions = Sessions(self.random_values)
        self.grants = Grants(self.random_values, self.clock, lambda: self.settings)
        self.records = Records(seed)
        self.rate_limits = RateLimits()
        self.journal.clear()
        self.faults.clear()
        self.stubbed_responses = StubbedResponses()
        self.clock.set_offset(configured.clock_offset)

    # addresses

    def url(self, location: str, host: str, path: str = "") -> str:
        """Return `<origin>/<location>/<host><path>`, e.g. host `accounts`, path `/signin`; or the
        URL at Zoho's real host name, if the current request came to one.
        """
        route = f"/{location}/{host}{path}"
        return url_of(route) if is_asked_by_real_name() else self.origin + route

    def accounts_server(self, location: str) -> str:
        """Return a data center's accounts server, without a trailing slash."""
        return self.url(location, "accounts")

    def api_domain(self, location: str) -> str:
        """Return the base of a data center's shared APIs: a token response's api_domain."""
        return self.url(location, "www")

    # valid tokens

    def refresh_token(self, value: str, client: Client, location: str) -> RefreshToken | None:
        """Return the refresh token if this client can use it in this data center now."""
        token = self.grants.refresh_tokens.get(value)
        if token is None or token.invalidation_reason or not self._is_valid(token.permission):
            return None
        owner = (token.permission.client_id, token.permission.location)
        return token if owner == (client.client_id, location) else None

    def access_token(self, value: str, location: str) -> AccessToken | None:
        """Return the access token if it's valid in this data center now."""
        token = self.grants.access_tokens.get(value)
        if token is None or token.invalidation_reason or not self._is_valid(token.permission):
            return None
        is_valid_here = self.clock() < token.expires_at and token.permission.location == location
        return token if is_valid_here else None

    def enhanceable_token(self, value: str, client: Client, location: str) -> RefreshToken | None:
        """Return the refresh token to which this enhancement token can add scopes now."""
        token = self.grants.enhancement_tokens.get(value)
        if token is None or token.is_used or self.clock() >= token.expires_at:
            return None
        return self.refresh_token(token.refresh_token, client, location)

    def code(self, value: str, client: Client, location: str) -> AuthorizationCode | None:
        """Return the code if this client can exchange it in this data center now."""
        code = self.grants.codes.get(value)
        if code is None or code.is_used or self.clock() >= code.expires_at:
            return None
        if not self._is_valid(code.permission):
            return None
        owner = (code.permission.client_id, code.permission.location)
        return code if owner == (client.client_id, location) else None

    def _is_valid(self, permission: Permission) -> bool:
        user = self.users.by_zuid.get(permission.zuid)
        is_known = permission.client_id in self.clients.by_id
        return is_known and user is not None and not user.deactivated

    # events

    def change_password(
        self,
        user: User,
        new_password: str,
        *,
        end_sessions: bool = False,
        remove_tokens: bool = False,
        keep_session: str | None = None,
    ) -> None:
        """Change a password.

        Tokens stay valid unless `remove_tokens`, the box that revokes the connected apps, is
        checked. `end_sessions` signs out everywhere except in `keep_session`.
        """
        user.password, user.must_change_password, user.wrong_passwords = new_password, False, 0
        if end_sessions:
            self.sessions.end_all(user.zuid, keep=keep_session)
        if remove_tokens:
            self.grants.invalidate_all(user.zuid, None, "password changed")
            self.grants.forget_consents(user.zuid)

    def reset_password(
        self, user: User, temporary_password: str, *, remove_tokens: bool = False
    ) -> None:
        """Reset a password as an administrator. It's valid for one sign-in, at which it must be
        changed.

        `remove_tokens` is the administrator's box "Clear mobile sessions and API tokens".
        """
        self.change_password(
            user, temporary_password, end_sessions=remove_tokens, remove_tokens=remove_tokens
        )
        user.must_change_password = True

    def move_account(self, user: User, location: str) -> None:
        """Move an account to another data center. Its tokens become invalid."""
        self.sessions.end_all(user.zuid)
        self.grants.invalidate_all(user.zuid, None, "account moved")
        self.grants.forget_consents(user.zuid)
        user.location = location

    def confirm_push(self, user: User) -> None:
        """Approve the pending sign-in on the user's other device; NotFoundError if none waits."""
        session = self.sessions.find_waiting_for_push(user.zuid)
        if session is None:
            raise NotFoundError(f"No sign-in of {user.email} waits for approval.")
        session.push_number, session.is_push_confirmed = "", True

    def connected_apps(self, user: User) -> list[Client]:
        """Return the clients that have a valid refresh token of a user."""
        ids = {each.permission.client_id for each in self.grants.active_refresh_tokens(user.zuid)}
        return [each for each in self.clients if each.client_id in ids]

    def revoke_app(self, user: User, client_id: str) -> None:
        """Revoke a client under Connected Apps: invalidate all its tokens of this user and forget
        the consent.
        """
        self.grants.invalidate_all(user.zuid, client_id, "app revoked")
        self.grants.forget_consents(user.zuid, client_id)

    def delete_client(self, client_id: str) -> None:
        """Delete a client and all its tokens."""
        self.clients.delete(client_id)
        self.grants.invalidate_all(None, client_id, "client deleted")

    def evict_oldest_refresh_token(self, user: User, client_id: str) -> None:
        """Invalidate the oldest refresh token of a user and client, as a 21st one does."""
        oldest = next(self.grants.active_refresh_tokens(user.zuid, client_id), None)
        if oldest is None:
            raise NotFoundError(
                f"{user.email} has no valid refresh token of the client “{client_id}”."
            )
        self.grants.invalidate(oldest, "evicted")

    def deactivate(self, user: User, deactivated: bool = True) -> None:
        """Deactivate (or reactivate) an account; its tokens are invalid meanwhile."""
        user.deactivated = deactivated
        self.sessions.end_all(user.zuid)

    def take_rejection(self, user: User) -> bool:
        """Whether the user rejects this consent; each rejection counts once."""
        found = next((each for each in self.rejections if each in ("", user.email)), None)
        if found is not None:
            self.rejections.remove(found)
        return found is not None

    # saving

    def to_dict(self) -> dict[str, Any]:
        """Return everything except journal, faults and counters, as JSON values.

        Secrets are in plain text: they protect nothing.
        """
        return {
            "format": SAVED_FORMAT,
            "random_values": self.random_values.state(),
            "clock_offset": self.clock.offset.total_seconds(),
            "settings": self.settings.to_dict(),
            "users": encode(list(self.users)),
            "clients": encode(list(self.clients)),
            "sessions": encode(list(self.sessions.by_id.values())),
            "codes": encode(list(self.grants.codes.values())),
            "refresh_tokens": encode(list(self.grants.refresh_tokens.values())),
            "access_tokens": encode(list(self.grants.access_tokens.values())),
            "enhancement_tokens": encode(list(self.grants.enhancement_tokens.values())),
            "consents": encode(self.grants.consents),
            "records": encode(self.records),
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Restore what `to_dict` returned; InvalidValueError for an unknown format."""
        if saved.get("format") != SAVED_FORMAT:
            raise InvalidValueError(f"A saved state of format {saved.get('format')} can’t be read.")
        self.reset()
        self.random_values.restore(saved["random_values"])
        self.clock.set_offset(timedelta(seconds=saved["clock_offset"]))
        # A world saved by an earlier version doesn't have the newer settings.
        self.settings = SimulatorSettings.default().with_changes(**saved["settings"])
        self.users.by_zuid = {u.zuid: u for u in decode_list(User, saved["users"])}
        self.clients.by_id = {c.client_id: c for c in decode_list(Client, saved["clients"])}
        sessions = decode_list(Session, saved["sessions"])
        self.sessions.by_id = {each.session_id: each for each in sessions}
        codes = decode_list(AuthorizationCode, saved["codes"])
        self.grants.codes = {each.code: each for each in codes}
        refresh_tokens = decode_list(RefreshToken, saved["refresh_tokens"])
        self.grants.refresh_tokens = {each.refresh_token: each for each in refresh_tokens}
        access_tokens = decode_list(AccessToken, saved["access_tokens"])
        self.grants.access_tokens = {each.access_token: each for each in access_tokens}
        enhancement_tokens = decode_list(EnhancementToken, saved["enhancement_tokens"])
        self.grants.enhancement_tokens = {
            each.enhancement_token: each for each in enhancement_tokens
        }
        self.grants.consents = decode_list(Permission, saved["consents"])
        self.records = decode(Records, saved["records"])


T = TypeVar("T")


def encode(value: Any) -> Any:
    """Return `value` as JSON values: dataclasses by field, times as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [encode(each) for each in value]
    if isinstance(value, dict):
        return {str(key): encode(each) for key, each in value.items()}
    return value


def decode(kind: type[T], value: dict[str, Any]) -> T:
    """Return a dataclass of `kind` from what `encode` made of one."""
    hints = get_type_hints(kind)
    return kind(**{name: _decode_value(hints[name], each) for name, each in value.items()})


def decode_list(kind: type[T], values: list[dict[str, Any]]) -> list[T]:
    """Return dataclasses of `kind` from what `encode` made of a list of them."""
    return [decode(kind, each) for each in values]


def _decode_value(type_hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(type_hint, UnionType):
        type_hint = next(each for each in get_args(type_hint) if each is not NoneType)
    if type_hint is datetime:
        return datetime.fromisoformat(value)
    if is_dataclass(type_hint) and isinstance(type_hint, type):
        return decode(type_hint, value)
    if get_origin(type_hint) is list:
        return [_decode_value(get_args(type_hint)[0], each) for each in value]
    if get_origin(type_hint) is dict:
        return {key: _decode_value(get_args(type_hint)[1], each) for key, each in value.items()}
    return value
