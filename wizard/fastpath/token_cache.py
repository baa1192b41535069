"""The cache as the broker sees it."""

import contextlib
import os
import tempfile
from datetime import UTC, datetime

from wizard.fastpath import token_file
from wizard.model import AccessToken
from wizard.paths import Paths
from wizard.vault import Vault


class TokenCache:
    """Cached access tokens; losing one costs a refresh, so nothing here is ever an error."""

    def __init__(self, paths: Paths, vault: Vault) -> None:
        self._paths = paths
        self._vault = vault

    def get(self, name: str) -> AccessToken | None:
        """The cached token of connection ``name``, expired or not.

        None where there is none, or where it is damaged, of another connection or another key.
        """
        try:
            content = token_file.read(self._paths.cache_file(name))
            expiry, renewal, issue, generation = token_file.parse_header(content)
            owner = self._paths.cache_owner(name)
            value, api_domain, location = token_file.unpack(self._vault.key, owner, content)
        except (OSError, ValueError):
            return None
        return AccessToken(
            value=value,
            expires_at=datetime.fromtimestamp(expiry, UTC),
            api_domain=api_domain,
            location=location,
            connection=name,
            generation=generation,
            refresh_at=datetime.fromtimestamp(renewal, UTC),
            issued_at=datetime.fromtimestamp(issue, UTC),
        )

    def put(self, token: AccessToken) -> None:
        """Replace the cached token of ``token.connection``. Call it under the connection's lock.

        Not synced to the disk: after a power cut a torn file does not decrypt, and is a miss. A
        full disk keeps nobody from the token, either: it is only not cached.
        """
        times = (token.expires_at, token.refresh_at or token.expires_at, token.issued_at)
        expiry, renewal, issue = (int(each.timestamp()) if each else 0 for each in times)
        content = token_file.pack(
            self._vault.key,
            self._paths.cache_owner(token.connection),
            (expiry, renewal, issue, token.generation),
            (token.value, token.api_domain, token.location),
        )
        with contextlib.suppress(OSError):
            _replace_file(self._paths.cache_file(token.connection), content)

    def remove(self, name: str) -> None:
        """Forget the cached token of connection ``name``. Call it under the connection's lock.

        Where the file can't be removed it is emptied, because ``token NAME`` prints what it finds.
        """
        path = self._paths.cache_file(name)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, 0)


def _replace_file(path: str, content: bytes) -> None:
    descriptor, unfinished = tempfile.mkstemp(dir=os.path.dirname(path))  # 0600 from birth
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
