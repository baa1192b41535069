"""Codes, refresh tokens and access tokens: issue, find, invalidate."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from wizard.simulator.settings import RandomValues, SimulatorSettings

ROTATED = "rotated"
"""The invalidation reason of a refresh token that was replaced."""


@dataclass(frozen=True)
class Permission:
    """What a user allowed a client in one data center.

    `scopes` are as requested. `organizations` maps a product (`crm`) to the ID of the chosen
    organization, for products that bind tokens to one.
    """

    client_id: str
    zuid: int
    location: str
    scopes: list[str]
    organizations: dict[str, str] = field(default_factory=dict)


@dataclass
class AuthorizationCode:
    """An authorization code. `redirect_uri` is None for a self client's code."""

    code: str = field(repr=False)
    permission: Permission
    redirect_uri: str | None
    issues_refresh_token: bool
    expires_at: datetime
    code_challenge: str | None = None
    code_challenge_method: str = "plain"
    is_used: bool = False
    nonce: str = ""


@dataclass
class RefreshToken:
    """A refresh token.

    It never expires; `invalidation_reason` says why it's invalid (revoked, evicted, …).
    """

    refresh_token: str = field(repr=False)
    permission: Permission
    issued_at: datetime
    invalidation_reason: str | None = None
    family: str = field(default="", repr=False)
    """The first of the refresh tokens that replaced each other; empty if it's this one."""


@dataclass
class AccessToken:
    """An access token, issued for `refresh_token` if there is one.

    `has_no_user`: it was issued for client credentials.
    """

    access_token: str = field(repr=False)
    permission: Permission
    expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)
    invalidation_reason: str | None = None
    has_no_user: bool = False


@dataclass
class EnhancementToken:
    """A token with which a user can add scopes to a refresh token, once."""

    enhancement_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime
    is_used: bool = False


class Grants:
    """All codes and tokens, and the consents that silent re-authorization needs."""

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
        self.enhancement_tokens: dict[str, EnhancementToken] = {}
        self.consents: list[Permission] = []

    # consents

    def remember_consent(self, permission: Permission) -> None:
        """Add a permission to what the user accepted before."""
        earlier = self.consent(permission.zuid, permission.client_id, permission.location)
        if earlier:
            self.consents.remove(earlier)
            added = {scope.casefold() for scope in permission.scopes}
            remaining = [scope for scope in earlier.scopes if scope.casefold() not in added]
            organizations = {**earlier.organizations, **permission.organizations}
            scopes = [*permission.scopes, *remaining]
            permission = replace(permission, scopes=scopes, organizations=organizations)
        self.consents.append(permission)

    def consent(self, zuid: int, client_id: str, location: str) -> Permission | None:
        """Return what a user has accepted for a client in a data center so far."""
        key = (zuid, client_id, location)
        found = (c for c in self.consents if (c.zuid, c.client_id, c.location) == key)
        return next(found, None)

    def forget_consents(self, zuid: int, client_id: str | None = None) -> None:
        """Forget the consents of a user, or only those for one client."""
        self.consents = [
            each
            for each in self.consents
            if each.zuid != zuid or client_id not in (None, each.client_id)
        ]

    # issuing

    def issue_code(
        self,
        permission: Permission,
        *,
        redirect_uri: str | None,
        issues_refresh_token: bool,
        lifetime_seconds: int,
        code_challenge: str | None = None,
        code_challenge_method: str = "plain",
        nonce: str = "",
    ) -> AuthorizationCode:
        """Issue a code that can be exchanged once."""
        code = AuthorizationCode(
            self._random_values.token(),
            permission,
            redirect_uri,
            issues_refresh_token,
            self._clock() + timedelta(seconds=lifetime_seconds),
            code_challenge,
            code_challenge_method,
            nonce=nonce,
        )
        self.codes[code.code] = code
        return code

    def issue_refresh_token(self, permission: Permission) -> RefreshToken:
        """Issue a refresh token.

        At the limit, the oldest of the same user and client is evicted with its access tokens; with
        the setting, the oldest of the client, whoever the user is.
        """
        token = RefreshToken(self._random_values.token(), permission, self._clock())
        settings = self._settings()
        is_by_client = settings.refresh_token_limit_key == "client"  # noqa: S105
        user = None if is_by_client else permission.zuid
        active = list(self.active_refresh_tokens(user, permission.client_id))
        limit = settings.refresh_tokens_per_user_and_client
        for oldest in active[: max(0, len(active) + 1 - limit)]:
            self.invalidate(oldest, "evicted")
        self.refresh_tokens[token.refresh_token] = token
        return token

    def rotate(self, token: RefreshToken) -> RefreshToken:
        """Replace a refresh token by a new one; its access tokens stay valid."""
        token.invalidation_reason = ROTATED
        family = token.family or token.refresh_token
        new = RefreshToken(
            self._random_values.token(), token.permission, self._clock(), family=family
        )
        self.refresh_tokens[new.refresh_token] = new
        return new

    def invalidate_family(self, token: RefreshToken, reason: str) -> None:
        """Invalidate all refresh tokens with the same origin, and their access tokens."""
        family = token.family or token.refresh_token
        for each in self.refresh_tokens.values():
            if family in (each.family, each.refresh_token):
                self.invalidate(each, reason)

    def issue_access_token(
        self,
        permission: Permission,
        parent: RefreshToken | None = None,
        *,
        shortened_by_seconds: int = 0,
    ) -> AccessToken:
        """Issue an access token. At the limit of its parent, the oldest is evicted: forgotten, so
        that a simulator which runs for days isn't slower.

        It expires `shortened_by_seconds` before the lifetime in the response.
        """
        lifetime = timedelta(
            seconds=self._settings().access_token_lifetime_seconds - shortened_by_seconds
        )
        token = AccessToken(self._random_values.token(), permission, self._clock() + lifetime)
        if parent:
            token.refresh_token = parent.refresh_token
            active = list(self.active_access_tokens(parent))
            limit = self._settings().access_tokens_per_refresh_token
            for oldest in active[: max(0, len(active) + 1 - limit)]:
                del self.access_tokens[oldest.access_token]
        self.access_tokens[token.access_token] = token
        return token

    def issue_enhancement_token(self, parent: RefreshToken) -> EnhancementToken:
        """Issue a token with which the user can add scopes to a refresh token."""
        lifetime = timedelta(seconds=self._settings().enhancement_token_lifetime_seconds)
        token = EnhancementToken(
            self._random_values.token(), parent.refresh_token, self._clock() + lifetime
        )
        self.enhancement_tokens[token.enhancement_token] = token
        return token

    def add_scopes(
        self, token: RefreshToken, scopes: list[str], organizations: dict[str, str]
    ) -> None:
        """Add scopes that a user accepted to a refresh token; its access tokens stay as they are.

        `organizations` are the chosen ones (product key → ID).
        """
        permission = token.permission
        token.permission = replace(
            permission,
            scopes=[*permission.scopes, *scopes],
            organizations={**permission.organizations, **organizations},
        )
        self.remember_consent(token.permission)

    # finding

    def active_refresh_tokens(
        self, zuid: int | None = None, client_id: str | None = None
    ) -> Iterator[RefreshToken]:
        """Yield valid refresh tokens, oldest first, of a user and of a client if given."""
        for each in self.refresh_tokens.values():
            permission = each.permission
            if (
                not each.invalidation_reason
                and zuid in (None, permission.zuid)
                and client_id in (None, permission.client_id)
            ):
                yield each

    def active_access_tokens(self, parent: RefreshToken | None = None) -> Iterator[AccessToken]:
        """Yield valid access tokens, oldest first, of one refresh token if given."""
        now = self._clock()
        for each in self.access_tokens.values():
            of_parent = parent is None or each.refresh_token == parent.refresh_token
            if of_parent and not each.invalidation_reason and now < each.expires_at:
                yield each

    # invalidating

    def invalidate(self, token: RefreshToken | AccessToken, reason: str) -> None:
        """Invalidate a token; of a refresh token, its access tokens, too."""
        token.invalidation_reason = token.invalidation_reason or reason
        if isinstance(token, RefreshToken):
            for child in list(self.active_access_tokens(token)):
                child.invalidation_reason = reason

    def revoke(self, token: RefreshToken | AccessToken) -> None:
        """Revoke a token. With the setting, an access token takes its refresh token along."""
        parent = token.refresh_token if isinstance(token, AccessToken) else None
        is_alone = self._settings().access_token_revocation == "alone"  # noqa: S105
        if parent and not is_alone:
            self.invalidate(self.refresh_tokens[parent], "revoked")
        self.invalidate(token, "revoked")

    def invalidate_all(self, zuid: int | None, client_id: str | None, reason: str) -> None:
        """Invalidate the codes and tokens of a user, of a client, or of a user's client."""

        def is_affected(permission: Permission) -> bool:
            return zuid in (None, permission.zuid) and client_id in (None, permission.client_id)

        tokens: list[RefreshToken | AccessToken] = [*self.refresh_tokens.values()]
        for token in [*tokens, *self.access_tokens.values()]:
            if is_affected(token.permission):
                token.invalidation_reason = token.invalidation_reason or reason
        for code in self.codes.values():
            code.is_used = code.is_used or is_affected(code.permission)
