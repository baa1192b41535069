"""Codes, refresh tokens and access tokens: how they are made, live and die."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from wizard.simulator.random_values import RandomValues
from wizard.simulator.settings import SimulatorSettings

ROTATED = "rotated"
"""What ended a refresh token that another one has replaced."""


@dataclass(frozen=True)
class Permission:
    """What a person allowed a client in one data centre.

    `scopes` as they were asked for; `organizations` maps a product (`crm`) to the id of the one
    organization chosen there, for the products that bind their tokens to one.
    """

    client_id: str
    zuid: int
    location: str
    scopes: list[str]
    organizations: dict[str, str] = field(default_factory=dict)


@dataclass
class AuthorizationCode:
    """An authorization code. `redirect_uri` is None for a self client's. `refresh_token`: the
    exchange will answer one."""

    code: str = field(repr=False)
    permission: Permission
    redirect_uri: str | None
    issues_refresh_token: bool
    expires_at: datetime
    code_challenge: str | None = None
    code_challenge_method: str = "plain"
    is_used: bool = False


@dataclass
class RefreshToken:
    """A refresh token. It never expires; `ended` says what killed it (revoked, evicted, …)."""

    refresh_token: str = field(repr=False)
    permission: Permission
    issued_at: datetime
    invalidation_reason: str | None = None
    family: str = field(default="", repr=False)
    """The first of the refresh tokens that replaced each other; empty: this one."""


@dataclass
class AccessToken:
    """An access token; `refresh_token` names its parent, None for one without. `without_person`:
    it was given for client credentials."""

    access_token: str = field(repr=False)
    permission: Permission
    expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)
    invalidation_reason: str | None = None
    has_no_user: bool = False


class Grants:
    """All codes and tokens, and the consents that silent re-authorization remembers."""

    def __init__(
        self,
        random_values: RandomValues,
        clock: Callable[[], datetime],
        settings: Callable[[], SimulatorSettings],
    ) -> None:
        self._random_values = random_values
        self._clock = clock
        self._settings = settings
        self.codes: dict[str, AuthorizationCode] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.consents: list[Permission] = []

    # consents

    def remember_consent(self, permission: Permission) -> None:
        """Remember that the person accepted, in addition to what they accepted before."""
        earlier = self.consent(permission.zuid, permission.client_id, permission.location)
        if earlier:
            self.consents.remove(earlier)
            held = {scope.casefold() for scope in permission.scopes}
            kept = [scope for scope in earlier.scopes if scope.casefold() not in held]
            organizations = {**earlier.organizations, **permission.organizations}
            scopes = [*permission.scopes, *kept]
            permission = replace(permission, scopes=scopes, organizations=organizations)
        self.consents.append(permission)

    def consent(self, zuid: int, client_id: str, location: str) -> Permission | None:
        """Return what a person accepted for a client so far in a data centre."""
        key = (zuid, client_id, location)
        found = (c for c in self.consents if (c.zuid, c.client_id, c.location) == key)
        return next(found, None)

    def forget_consents(self, zuid: int, client_id: str | None = None) -> None:
        """Forget a person's consents: all, or those for one client."""
        self.consents = [
            each
            for each in self.consents
            if each.zuid != zuid or client_id not in (None, each.client_id)
        ]

    # making

    def issue_code(
        self,
        permission: Permission,
        *,
        redirect_uri: str | None,
        issues_refresh_token: bool,
        lifetime_seconds: int,
        code_challenge: str | None = None,
        code_challenge_method: str = "plain",
    ) -> AuthorizationCode:
        """Make a code that can be exchanged once within `life` seconds."""
        code = AuthorizationCode(
            self._random_values.token(),
            permission,
            redirect_uri,
            issues_refresh_token,
            self._clock() + timedelta(seconds=lifetime_seconds),
            code_challenge,
            code_challenge_method,
        )
        self.codes[code.code] = code
        return code

    def issue_refresh_token(self, permission: Permission) -> RefreshToken:
        """Make a refresh token; where that is one too many, the oldest of the same person and
        client dies with its access tokens, whether it is in use or not."""
        token = RefreshToken(self._random_values.token(), permission, self._clock())
        live = list(self.active_refresh_tokens(permission.zuid, permission.client_id))
        limit = self._settings().refresh_tokens_per_user_and_client
        for oldest in live[: max(0, len(live) + 1 - limit)]:
            self.invalidate(oldest, "evicted")
        self.refresh_tokens[token.refresh_token] = token
        return token

    def rotate(self, token: RefreshToken) -> RefreshToken:
        """Replace a refresh token, whose access tokens live on, by a new one."""
        token.invalidation_reason = ROTATED
        family = token.family or token.refresh_token
        new = RefreshToken(
            self._random_values.token(), token.permission, self._clock(), family=family
        )
        self.refresh_tokens[new.refresh_token] = new
        return new

    def end_family(self, token: RefreshToken, why: str) -> None:
        """Kill all refresh tokens that came from the same one, with their access tokens."""
        family = token.family or token.refresh_token
        for each in self.refresh_tokens.values():
            if family in (each.family, each.refresh_token):
                self.invalidate(each, why)

    def issue_access_token(
        self,
        permission: Permission,
        parent: RefreshToken | None = None,
        *,
        shortened_by_seconds: int = 0,
    ) -> AccessToken:
        """Make an access token; where its parent has one too many, the oldest dies at once.

        `shorter_by` seconds make it die before the life that the answer promises.
        """
        life = timedelta(
            seconds=self._settings().access_token_lifetime_seconds - shortened_by_seconds
        )
        token = AccessToken(self._random_values.token(), permission, self._clock() + life)
        if parent:
            token.refresh_token = parent.refresh_token
            live = list(self.active_access_tokens(parent))
            limit = self._settings().access_tokens_per_refresh_token
            for oldest in live[: max(0, len(live) + 1 - limit)]:
                oldest.invalidation_reason = "evicted"
        self.access_tokens[token.access_token] = token
        return token

    # finding

    def active_refresh_tokens(
        self, zuid: int | None = None, client_id: str | None = None
    ) -> Iterator[RefreshToken]:
        """Yield living refresh tokens, oldest first, of a person and of a client if given."""
        for each in self.refresh_tokens.values():
            who, what = each.permission.zuid, each.permission.client_id
            if not each.invalidation_reason and zuid in (None, who) and client_id in (None, what):
                yield each

    def active_access_tokens(self, parent: RefreshToken | None = None) -> Iterator[AccessToken]:
        """Yield living access tokens, oldest first, of one refresh token if given."""
        now = self._clock()
        for each in self.access_tokens.values():
            of_parent = parent is None or each.refresh_token == parent.refresh_token
            if of_parent and not each.invalidation_reason and now < each.expires_at:
                yield each

    # ending

    def invalidate(self, token: RefreshToken | AccessToken, reason: str) -> None:
        """Kill a token; a refresh token takes its access tokens with it."""
        token.invalidation_reason = token.invalidation_reason or reason
        if isinstance(token, RefreshToken):
            for child in list(self.active_access_tokens(token)):
                child.invalidation_reason = reason

    def invalidate_all(self, zuid: int, client_id: str | None, reason: str) -> None:
        """Kill a person's codes and tokens: all, or those of one client."""

        def is_affected(permission: Permission) -> bool:
            return permission.zuid == zuid and client_id in (None, permission.client_id)

        tokens: list[RefreshToken | AccessToken] = [*self.refresh_tokens.values()]
        for token in [*tokens, *self.access_tokens.values()]:
            if is_affected(token.permission):
                token.invalidation_reason = token.invalidation_reason or reason
        for code in self.codes.values():
            code.is_used = code.is_used or is_affected(code.permission)
