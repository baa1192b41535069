"""``zoho-wizard``; exactly ``token NAME`` takes a short path, everything else goes to `wizard.cli`.

A program may ask for its token a hundred times an hour, and waits for our start each time. So the
short path reads two small files and decrypts: no dataclasses, click, json or sqlite3, nor anything
that imports them. Where the token is due, one process takes its turn to renew it, and only that
one goes the long way; the others wait for what it brings. Whatever is unusual about the question,
the files or the key goes the long way too, which knows the words for it.
"""

import os
import sys
import time

TYPE_CHECKING = False  # what `typing` would say, without importing it
if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK_TIMEOUT_SECONDS = 65.0
"""Seconds to wait for another process's refresh: all its tries and some air."""
POLL_INTERVAL_SECONDS = 0.05
"""Seconds between two looks; a refresh takes longer."""


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "token" and not arguments[1].startswith("-"):
        try:
            token = cached_or_refreshed_token(arguments[1], os.environ)
        except KeyboardInterrupt:
            sys.stderr.write("Stopped. What was stored stays stored.\n")
            return 130  # as a shell reports a command that Ctrl-C ended
        if token is not None:
            sys.stdout.write(token + "\n")
            return 0
    from wizard import cli

    return cli.main()


def cached_or_refreshed_token(name: str, environ: "Mapping[str, str]") -> str | None:
    """The cached access token of connection ``name``, or what another process that renews it puts
    in its place. None: go the long way, perhaps because it is our turn.
    """
    token = cached_token(name, environ, time.time())
    if token is not None:
        return token
    from wizard import paths
    from wizard.fastpath import refresh_lock
    from wizard.vault import cipher

    here, end = paths.locate(environ), time.monotonic() + LOCK_TIMEOUT_SECONDS
    lock = here.lock_file(name)
    try:
        cipher.load_key(here.key_file)  # without it, no look would ever find anything
        while not refresh_lock.acquire(lock):
            token = cached_token(name, environ, time.time(), accept_due=True)
            if token is not None or time.monotonic() > end:
                return token
            time.sleep(POLL_INTERVAL_SECONDS)
    except (OSError, ValueError):
        return None
    token = cached_token(name, environ, time.time())
    if token is not None:
        refresh_lock.release(lock)
    return token


def cached_token(
    name: str, environ: "Mapping[str, str]", now: float, *, accept_due: bool = False
) -> str | None:
    """The cached access token of connection ``name`` if it need not be renewed at ``now`` (seconds
    since 1970), or, with ``due``, while it can still be used; None says nothing but: not this way.
    """
    from wizard import paths
    from wizard.fastpath import token_file
    from wizard.vault import cipher

    try:
        here = paths.locate(environ)
        content = token_file.read(here.cache_file(name))
        expiry, renewal, issue, _ = token_file.parse_header(content)
        if not token_file.is_fresh(expiry, expiry if accept_due else renewal, issue, now):
            return None
        return token_file.unpack(cipher.load_key(here.key_file), here.cache_owner(name), content)[0]
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
