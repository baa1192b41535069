"""Access tokens of connections: the cached one, the rejected ones, and the locks around both.

`TokenDocument` is what a program gets: the access token, where it can be used, and for whom.

A cached access token is one encrypted file per connection, replaced atomically. A lock is a file of
the data directory, so it works between processes, and ends with its process.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from wizard import files
from wizard.errors import WizardError
from wizard.fastpath import token_file
from wizard.fastpath.token_file import (
    CLOCK_TOLERANCE_SECONDS,
    CONFIRMED_SECONDS,
    MIN_TTL_SECONDS,
    CachedToken,
    is_fresh,
)
from wizard.locks import hold_lock, refusal
from wizard.model import AccessToken, Account, Clock, Event, Grant, GrantState
from wizard.oauth import TokenResponse
from wizard.paths import Paths
from wizard.serialization import to_json
from wizard.store import Rejection, Store
from wizard.store.database import Database
from wizard.tokens.request_log import RequestLog, wait
from wizard.vault import Vault
from wizard.zoho import DataCenter, Zoho, products_of

LOCK_TIMEOUT_SECONDS = 65.0
"""How long to wait for another process: all the tries of a refresh take less."""


class ConnectionLocks:
    """The locks of a connection, each held by one thread of one process at a time, on all machines
    that share the store."""

    def __init__(self, paths: Paths, database: Database) -> None:
        self._paths = paths
        self._database = database

    def refresh(
        self, name: str, *, wait: bool = True, stop_waiting_if: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[None]:
        """Hold the lock for changing the tokens of connection `name`; raises
        ``refresh-under-way``."""
        timeout_seconds = LOCK_TIMEOUT_SECONDS if wait else 0
        return self._hold(name, "", "refresh-under-way", timeout_seconds, stop_waiting_if)

    def verification(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock for verifying `name`; raises ``verification-under-way`` at once."""
        return self._hold(name, ".verify", "verification-under-way", 0)

    def exchange(self, name: str, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the lock for exchanging a code of connection `name`, from the intent to the stored
        grant; raises ``exchange-under-way``. If an intent is stored and the lock is free, the
        process that stored it has died."""
        timeout_seconds = LOCK_TIMEOUT_SECONDS if wait else 0
        return self._hold(name, ".exchange", "exchange-under-way", timeout_seconds)

    def swap(self, name: str, timeout_seconds: float) -> AbstractContextManager[None]:
        """Hold the lock for continuing the re-authorization of `name`; raises
        ``swap-under-way``."""
        return self._hold(name, ".swap", "swap-under-way", timeout_seconds)

    def notifications(self, timeout_seconds: float, name: str) -> AbstractContextManager[None]:
        """Hold the lock for notifying, about `name` or about all; raises
        ``notification-under-way``."""
        code, key = "notification-under-way", ":notifications"
        return self._hold(key, "", code, timeout_seconds, about=name)

    def monitoring(self) -> AbstractContextManager[None]:
        """Hold the lock for checking all connections regularly; raises ``monitored-elsewhere`` at
        once if another process on any machine has it. There is none in a local store."""
        return self._database.shared_lock(
            ":monitoring", lambda: refusal("monitored-elsewhere", ""), 0, lambda: False
        )

    @contextmanager
    def _hold(
        self,
        key: str,
        suffix: str,
        code: str,
        timeout_seconds: float,
        stop_waiting_if: Callable[[], bool] = lambda: False,
        about: str | None = None,
    ) -> Iterator[None]:
        """Hold a lock, first on this machine, so that only one process of it waits for others."""
        name = key if about is None else about
        end = time.monotonic() + timeout_seconds
        path = f"{self._paths.lock_file(key)}{suffix}"
        with (
            hold_lock(path, timeout_seconds, code, name, stop_waiting_if),
            self._database.shared_lock(
                f"{key}{suffix}",
                lambda: refusal(code, name),
                end - time.monotonic(),
                stop_waiting_if,
            ),
        ):
            yield


class TokenCache:
    """Cached access tokens. Losing one costs only a refresh, so no failure is raised."""

    def __init__(self, paths: Paths, vault: Vault) -> None:
        self._paths = paths
        self._vault = vault

    def get(self, name: str) -> AccessToken | None:
        """The cached token of connection ``name``, expired or not; None if there is none, or if the
        file is damaged or belongs to a different connection or key."""
        try:
            cached = self._unpack(name, self._read(name))
        except (OSError, ValueError):
            return None
        return AccessToken(
            value=cached.access_token,
            expires_at=datetime.fromtimestamp(cached.expires_at, UTC),
            api_domain=cached.api_domain,
            location=cached.location,
            connection=name,
            generation=cached.generation,
            refresh_at=datetime.fromtimestamp(cached.refresh_at, UTC),
            issued_at=datetime.fromtimestamp(cached.issued_at, UTC),
        )

    def put(
        self, token: AccessToken, document: str = "", variables: Mapping[str, str] | None = None
    ) -> None:
        """Replace the cached token of ``token.connection``. Call it under the connection's lock.

        `document` and `variables` are what the fast path needs for ``token --json`` and ``run``;
        see `CachedToken`. The file isn't synced: if a power failure damages it, it can't be
        decrypted and counts as missing. If the disk is full, the token isn't cached.
        """
        times = (token.expires_at, token.refresh_at or token.expires_at, token.issued_at)
        expires_at, refresh_at, issued_at = (int(each.timestamp()) if each else 0 for each in times)
        cached = CachedToken(
            (expires_at, refresh_at, issued_at),
            token.generation,
            (token.value, token.api_domain, token.location),
            document,
            "\n".join(f"{name}={value}" for name, value in (variables or {}).items()),
        )
        self._store(token.connection, cached)

    def _read(self, name: str) -> bytes:
        """The sealed token of connection ``name``. Raises OSError, ValueError."""
        return token_file.read(self._paths.token_file(name))

    def _unpack(self, name: str, content: bytes) -> CachedToken:
        """Raises ValueError."""
        return token_file.unpack(self._key_of(content), self._paths.token_owner(name), content)

    def _key_of(self, content: bytes) -> bytes:
        """The key that sealed the content of a file."""
        return self._vault.find_key(content.partition(b"\n")[2])

    def _pack(self, name: str, cached: CachedToken) -> bytes:
        return token_file.pack(self._vault.key, self._paths.token_owner(name), cached)

    def _store(self, name: str, cached: CachedToken) -> None:
        path = self._paths.token_file(name)
        with suppress(OSError):
            files.replace(path, self._pack(name, cached), is_durable=False, temporary=f"{path}.new")

    def remove(self, name: str) -> None:
        """Remove the cached token of connection ``name``. Call it under the connection's lock.

        A file that can't be removed is emptied, because ``token NAME`` prints what it finds.
        """
        path = self._paths.token_file(name)
        try:
            files.remove(path)
        except OSError:
            with suppress(OSError):
                os.truncate(path, 0)


class SharedTokenCache(TokenCache):
    """Cached access tokens of a shared store, with a copy of each in the file, which the fast path
    serves for `CONFIRMED_SECONDS`. The times in the file are by this machine's own `clock`."""

    def __init__(self, paths: Paths, vault: Vault, store: Store, clock: Clock) -> None:
        super().__init__(paths, vault)
        self._database = store.database
        self._shared = store.access_tokens
        self._clock = clock

    def remove(self, name: str) -> None:
        """Remove the cached token of connection ``name``, here and on the other machines. Call it
        under the connection's lock. Raises `WizardError` if the store can't be written."""
        super().remove(name)
        self._shared.remove(name)

    def _read(self, name: str) -> bytes:
        at = int(self._clock().timestamp())
        content = self._shared.get(name)
        if content is None:
            raise FileNotFoundError
        if not self._database.is_snapshot:
            self._confirm(name, content, at)
        return content

    def _confirm(self, name: str, content: bytes, at: int) -> None:
        """Replace a copy that is due, with the token that the store had at `at`."""
        path, cached = self._paths.token_file(name), self._unpack(name, content)
        with suppress(OSError, ValueError):
            copy = token_file.read(path)
            is_same = self._unpack(name, copy).access_token == cached.access_token
            if is_same and token_file.is_confirmed(copy, at + CONFIRMED_SECONDS / 2):
                return
        ahead = int(self._database.clock_offset.total_seconds())
        local = cached.shifted(-ahead)
        # With the store's current key, which this process may not have read yet.
        copy = token_file.pack(self._key_of(content), self._paths.token_owner(name), local, at)
        with suppress(OSError):
            files.replace(path, copy, is_durable=False)
        if self._shared.get(name) != content:  # removed or replaced meanwhile
            super().remove(name)

    def _store(self, name: str, cached: CachedToken) -> None:
        at = int(self._clock().timestamp())
        with suppress(WizardError):
            content = self._shared.put(name, lambda: self._pack(name, cached))
            self._confirm(name, content, at)


@dataclass(frozen=True)
class ProductApiAccess:
    """One product that a grant's scopes reach."""

    id: str
    api_base: str
    """The base URL of its API; some products don't use the API domain."""
    organization_id: str
    """Empty if the product has none, or if it is unknown."""


@dataclass(frozen=True)
class ApiAccess:
    """What a grant reaches; not secret."""

    location: str
    domain_suffix: str
    """The data center as most programs spell it: ``com``, ``eu``, ``com.au``."""
    accounts_server: str
    api_domain: str
    account: Account | None
    organization_id: str
    """The first that was found; most grants have only one. Empty if there is none."""
    products: tuple[ProductApiAccess, ...]


def api_access_of(grant: Grant, data_center: DataCenter) -> ApiAccess:
    """What `grant`, issued by `data_center`, reaches."""
    found = {each.product: each.id for each in reversed(grant.organizations)}
    return ApiAccess(
        location=grant.location,
        domain_suffix=data_center.domain_suffix,
        accounts_server=data_center.accounts_server,
        api_domain=data_center.api_domain,
        account=grant.account,
        organization_id=grant.organizations[0].id if grant.organizations else "",
        products=tuple(
            ProductApiAccess(
                product.id,
                data_center.base_url_of(product.host) + product.api_path,
                found.get(product.id, ""),
            )
            for product in products_of(grant.scope)
        ),
    )


DOCUMENT_VERSION = 1
"""Counts the changes of `TokenDocument` that break a program."""


@dataclass(frozen=True)
class TokenDocument:
    """The result of `token`. It contains the access token."""

    access_token: str = field(repr=False)
    token_type: str
    expires_at: datetime
    expires_in: int
    """Seconds."""
    stale: bool
    """Due for a refresh, which isn't possible now."""
    location: str
    """The data center."""
    accounts_server: str
    api_domain: str
    api_bases: Mapping[str, str]
    """By product: the base URL of its API."""
    organization_id: str | None
    organization_ids: Mapping[str, str]
    """By product."""
    account: Account | None
    connection: str
    generation: int
    """Of the authorization."""
    version: int = DOCUMENT_VERSION
    """Of this format. Members may be added without a new version."""


def token_document(token: AccessToken, access: ApiAccess, now: datetime) -> TokenDocument:
    """What ``token --json`` prints."""
    return TokenDocument(
        access_token=token.value,
        token_type="Zoho-oauthtoken",  # noqa: S106 - what the header calls it
        expires_at=token.expires_at,
        expires_in=int((token.expires_at - now).total_seconds()),
        stale=token.stale,
        location=access.location,
        accounts_server=access.accounts_server,
        api_domain=access.api_domain,
        api_bases={each.id: each.api_base for each in access.products},
        organization_id=access.organization_id or None,
        organization_ids={e.id: e.organization_id for e in access.products if e.organization_id},
        account=access.account,
        connection=token.connection,
        generation=token.generation,
    )


def access_variables(access: ApiAccess) -> dict[str, str]:
    """The environment variables of a command, except for the access token; not secret."""
    variables = {
        "ZOHO_API_DOMAIN": access.api_domain,
        "ZOHO_ACCOUNTS_URL": access.accounts_server,
        "ZOHO_DC": access.domain_suffix,
        "ZOHO_ORGANIZATION_ID": access.organization_id,
    }
    for product in access.products:
        prefix = f"ZOHO_{product.id.upper()}"
        variables[f"{prefix}_API_BASE"] = product.api_base
        variables[f"{prefix}_ORGANIZATION_ID"] = product.organization_id
    return {name: value for name, value in variables.items() if value}


FORCED_REFRESH_INTERVAL = timedelta(seconds=60)
"""At most one forced refresh in this time: a program that loops on HTTP 401, or that reports every
token as rejected, must not use up the budget."""

SERVED_STATE = GrantState.VERIFIED
"""The only state whose access tokens are cached and served."""


class CachedTokens:
    """The access tokens that this machine may serve.

    The caller of a method that changes something holds the connection's refresh lock; `reject`
    takes it itself.
    """

    def __init__(
        self,
        store: Store,
        token_cache: TokenCache,
        request_log: RequestLog,
        locks: ConnectionLocks,
        zoho: Zoho,
        clock: Clock,
    ) -> None:
        self._store = store
        self._token_cache = token_cache
        self._request_log = request_log
        self._locks = locks
        self._zoho = zoho
        self._clock = clock

    # the cached token

    def get(self, grant: Grant) -> AccessToken | None:
        """The cached access token of `grant` if it hasn't expired."""
        return self._token_of(grant, lambda token: self._seconds_left(token) > 0)

    def fresh(self, grant: Grant, min_ttl_seconds: int | None = None) -> AccessToken | None:
        """The cached access token of `grant` if a program may get it without a refresh: it has
        `min_ttl_seconds` left, or by default isn't due for a refresh."""
        return self._token_of(grant, lambda token: self.is_fresh(token, min_ttl_seconds))

    def spare(self, grant: Grant) -> AccessToken | None:
        """The cached access token of `grant` if programs can use it while there is no new one."""
        return self._token_of(grant, lambda token: self._seconds_left(token) >= MIN_TTL_SECONDS)

    def put(self, grant: Grant, response: TokenResponse) -> AccessToken:
        """Cache the access token in `response` and return it. It isn't cached if `grant` is no
        longer the connection's current one, or if the token was rejected."""
        token = AccessToken(
            value=response.access_token,
            expires_at=response.expires_at,
            api_domain=response.api_domain,
            location=grant.location,
            connection=grant.connection,
            generation=grant.generation,
            refresh_at=self._request_log.refresh_at(grant, response.expires_at),
            issued_at=self._clock(),
        )
        current = self._store.grants.get(grant.connection)
        in_use = current and (current.generation, current.state) == (grant.generation, SERVED_STATE)
        if current and in_use and not self.was_rejected(grant.connection, token.value):
            self._write(current, token)
        return token

    def update(self, grant: Grant) -> None:
        """Write the cached token of `grant` again, with the account that is stored now."""
        current = self._store.grants.get(grant.connection, grant.generation)
        token = self._token_of(grant)
        if current is not None and token is not None:
            self._write(current, token)

    def _write(self, grant: Grant, token: AccessToken) -> None:
        """Cache a token with what the fast path prints of `grant`."""
        access = api_access_of(grant, self._zoho.data_center(grant.location))
        shown = replace(token, expires_at=token.expires_at.replace(microsecond=0))
        document = token_document(shown, access, now=shown.expires_at)
        self._token_cache.put(token, to_json(document, indent=2), access_variables(access))

    def remove(self, name: str) -> None:
        """Remove the cached token of connection `name`, whichever grant it is from."""
        self._token_cache.remove(name)

    def rename(self, name: str, new_name: str, rename: Callable[[], None]) -> None:
        """Move the cached token of `name` to `new_name` around `rename`, which renames the
        connection. It is removed first, so that no crash leaves a token under the old name."""
        token, kept_name = self._token_cache.get(name), name
        self._token_cache.remove(name)
        try:
            rename()
            kept_name = new_name
        finally:
            grant = self._store.grants.get(kept_name, token.generation) if token else None
            if token is not None and grant is not None:
                self._write(grant, replace(token, connection=kept_name))

    def remove_up_to(self, grant: Grant) -> None:
        """Remove the cached token unless it is from a later grant. One that can't be read, or that
        was issued in the future, is removed too: the fast path may be able to use it later."""
        token = self._token_cache.get(grant.connection)
        if token is None or token.generation <= grant.generation:
            self._token_cache.remove(grant.connection)

    def _token_of(
        self, grant: Grant, has_time: Callable[[AccessToken], bool] = lambda _: True
    ) -> AccessToken | None:
        """The cached access token of `grant` if it wasn't rejected. The store is asked last: many
        callers that wait for a refresh look for its token twenty times a second."""
        token = self._token_cache.get(grant.connection)
        if token is None or token.generation != grant.generation:
            return None
        issued_at = token.issued_at or token.expires_at
        if issued_at > self._clock() + timedelta(seconds=CLOCK_TOLERANCE_SECONDS):
            return None
        if not has_time(token) or self.was_rejected(token.connection, token.value):
            return None
        return token

    def is_fresh(self, token: AccessToken, min_ttl_seconds: int | None = None) -> bool:
        """Whether a program may get `token` without a refresh; see `fresh`."""
        if min_ttl_seconds is not None:
            return self._seconds_left(token) >= max(min_ttl_seconds, MIN_TTL_SECONDS)
        ends, now = token.expires_at, self._clock()
        times = (ends, token.refresh_at or ends, token.issued_at or now, now)
        return is_fresh(*(each.timestamp() for each in times))

    def _seconds_left(self, token: AccessToken) -> float:
        return (token.expires_at - self._clock()).total_seconds()

    # rejected tokens

    def reject(self, grant: Grant, access_token: str) -> None:
        """Never serve `access_token` again: a Zoho product rejected it. Does nothing if it isn't
        the cached token.

        The file is removed first, so that the fast path can't print it whatever happens next.
        """
        name = grant.connection
        if self._cached_generation(name, access_token) is None:
            return
        with self._locks.refresh(name):
            generation = self._cached_generation(name, access_token)
            if generation is None:  # another program reported it first
                return
            self._token_cache.remove(name)
            self.mark_rejected(name, generation, access_token)
            details = {"generation": str(generation)}
            self._store.events.record(Event(self._clock(), name, "token-rejected", details))

    def mark_rejected(self, name: str, generation: int, access_token: str) -> None:
        """Remember that `access_token` was rejected."""
        self._store.rejections.reject_access_token(name, generation, digest(access_token))

    def was_rejected(self, name: str, access_token: str) -> bool:
        """Whether `access_token` is the one that was rejected last."""
        known = self._store.rejections.get(name)
        return known is not None and known.fingerprint == digest(access_token)

    def is_rejected(self, grant: Grant) -> bool:
        """Whether the last access token of `grant` was rejected, and none was issued since."""
        known = self._store.rejections.get(grant.connection)
        return known is not None and known.pending and known.generation == grant.generation

    def check_forced_refresh(self, grant: Grant) -> None:
        """Raise ``token-rejected`` if a rejected token was replaced less than a minute ago."""
        forced_at = _forced_at(self._store.rejections.get(grant.connection))
        now = self._clock()
        if forced_at is None or forced_at > now + timedelta(seconds=CLOCK_TOLERANCE_SECONDS):
            return
        if now < forced_at + FORCED_REFRESH_INTERVAL:
            raise wait("token-rejected", forced_at + FORCED_REFRESH_INTERVAL, name=grant.connection)

    def note_forced_refresh(self, grant: Grant, *, pending: bool) -> None:
        """Remember that a refresh of `grant` was forced now. `pending`: the server answered with
        the rejected access token again."""
        with suppress(WizardError):  # the new token is worth more than this record
            self._store.rejections.note_forced(
                grant.connection, grant.generation, self._clock(), pending=pending
            )

    def _cached_generation(self, name: str, access_token: str) -> int | None:
        """The generation of the cached token if that is `access_token`."""
        token = self._token_cache.get(name)
        return token.generation if token is not None and token.value == access_token else None


def digest(text: str) -> str:
    """The SHA-256 of `text`. Tokens are long and random, so it needs no key."""
    return hashlib.sha256(text.encode()).hexdigest()


def _forced_at(known: Rejection | None) -> datetime | None:
    return known.forced_at if known else None
