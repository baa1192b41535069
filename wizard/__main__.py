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

PATIENCE = 65.0
"""Seconds to wait for another process's refresh: all its tries and some air."""
STEP = 0.05
"""Seconds between two looks; a refresh takes longer."""


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "token" and not arguments[1].startswith("-"):
        try:
            token = token_in_turn(arguments[1], os.environ)
        except KeyboardInterrupt:
            return 1
        if token is not None:
            sys.stdout.write(token + "\n")
            return 0
    from wizard import cli

    return cli.main()


def token_in_turn(name: str, environ: "Mapping[str, str]") -> str | None:
    """The cached access token of connection ``name``, or what another process that renews it puts
    in its place. None: go the long way, perhaps because it is our turn.
    """
    token = cached_token(name, environ, time.time())
    if token is not None:
        return token
    from wizard import home
    from wizard.cache import turn
    from wizard.vault import cipher

    here, end = home.locate(environ), time.monotonic() + PATIENCE
    lock = here.lock_file(name)
    try:
        cipher.load_key(here.key_file)  # without it, no look would ever find anything
        while not turn.take(lock):
            token = cached_token(name, environ, time.time(), due=True)
            if token is not None or time.monotonic() > end:
                return token
            time.sleep(STEP)
    except (OSError, ValueError):
        return None
    token = cached_token(name, environ, time.time())
    if token is not None:
        turn.leave(lock)
    return token


def cached_token(
    name: str, environ: "Mapping[str, str]", now: float, *, due: bool = False
) -> str | None:
    """The cached access token of connection ``name`` if it need not be renewed at ``now`` (seconds
    since 1970), or, with ``due``, while it can still be used; None says nothing but: not this way.
    """
    from wizard import home
    from wizard.cache import file
    from wizard.vault import cipher

    try:
        here = home.locate(environ)
        content = file.read(here.cache_file(name))
        expiry, renewal, issue, _ = file.header_of(content)
        if not file.still_good(expiry, expiry if due else renewal, issue, now):
            return None
        return file.unpack(cipher.load_key(here.key_file), here.cache_owner(name), content)[0]
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
