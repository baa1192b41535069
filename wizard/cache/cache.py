"""The cache as the broker sees it."""

import contextlib
import os
import tempfile
from datetime import UTC, datetime

from wizard.cache import file
from wizard.home import Home
from wizard.model import AccessToken
from wizard.vault import Vault


class Cache:
    """Cached access tokens; losing one costs a refresh, so nothing here is ever an error."""

    def __init__(self, home: Home, vault: Vault) -> None:
        self._home = home
        self._vault = vault

    def get(self, name: str) -> AccessToken | None:
        """The cached token of connection ``name``, expired or not.

        None where there is none, or where it is damaged, of another connection or another key.
        """
        try:
            content = file.read(self._home.cache_file(name))
            expiry, renewal, issue, generation = file.header_of(content)
            owner = self._home.cache_owner(name)
            value, api_domain, location = file.unpack(self._vault.key, owner, content)
        except (OSError, ValueError):
            return None
        return AccessToken(
            value=value,
            expires_at=datetime.fromtimestamp(expiry, UTC),
            api_domain=api_domain,
            location=location,
            connection=name,
            generation=generation,
            renew_at=datetime.fromtimestamp(renewal, UTC),
            issued_at=datetime.fromtimestamp(issue, UTC),
        )

    def put(self, token: AccessToken) -> None:
        """Replace the cached token of ``token.connection``. Call it under the connection's lock.

        Not synced to the disk: after a power cut a torn file does not decrypt, and is a miss. A
        full disk keeps nobody from the token, either: it is only not cached.
        """
        times = (token.expires_at, token.renew_at or token.expires_at, token.issued_at)
        expiry, renewal, issue = (int(each.timestamp()) if each else 0 for each in times)
        content = file.pack(
            self._vault.key,
            self._home.cache_owner(token.connection),
            (expiry, renewal, issue, token.generation),
            (token.value, token.api_domain, token.location),
        )
        with contextlib.suppress(OSError):
            _replace(self._home.cache_file(token.connection), content)

    def drop(self, name: str) -> None:
        """Forget the cached token of connection ``name``. Call it under the connection's lock.

        Where the file can't be removed it is emptied, because ``token NAME`` prints what it finds.
        """
        path = self._home.cache_file(name)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, 0)


def _replace(path: str, content: bytes) -> None:
    descriptor, unfinished = tempfile.mkstemp(dir=os.path.dirname(path))  # 0600 from birth
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
