"""Cached access tokens: one encrypted file per connection, replaced atomically."""

import contextlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from wizard import files
from wizard.fastpath import token_file
from wizard.fastpath.token_file import CachedToken
from wizard.model import AccessToken
from wizard.paths import Paths
from wizard.vault import Vault


class TokenCache:
    """Cached access tokens. Losing one costs only a refresh, so no failure is raised."""

    def __init__(self, paths: Paths, vault: Vault) -> None:
        self._paths = paths
        self._vault = vault

    def get(self, name: str) -> AccessToken | None:
        """The cached token of connection ``name``, expired or not; None if there is none, or if the
        file is damaged or belongs to a different connection or key."""
        try:
            content = token_file.read(self._paths.token_file(name))
            cached = token_file.unpack(self._vault.key, self._paths.token_owner(name), content)
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
        owner, path = (
            self._paths.token_owner(token.connection),
            self._paths.token_file(token.connection),
        )
        content = token_file.pack(self._vault.key, owner, cached)
        with contextlib.suppress(OSError):
            files.replace(path, content, is_durable=False, temporary=f"{path}.new")

    def remove(self, name: str) -> None:
        """Remove the cached token of connection ``name``. Call it under the connection's lock.

        A file that can't be removed is emptied, because ``token NAME`` prints what it finds.
        """
        path = self._paths.token_file(name)
        try:
            files.remove(path)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, 0)
