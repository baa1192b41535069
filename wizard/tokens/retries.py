"""Whether a refresh is asked for again: a pure judge of what went wrong.

Zoho does not rotate refresh tokens, so repeating a refresh costs quota and nothing else. It is
repeated where the network or the server failed on the way; never after a throttle, an OAuth error,
a redirect, or an answer that somebody else seems to have given. A refresh token that a server has
rotated is not repeated: the server may have carried out the first request, and a second use of the
old token can revoke every token of the authorization (RFC 9700, section 4.14.2).
"""

from datetime import datetime, timedelta
from random import SystemRandom

from wizard.model import Failure
from wizard.oauth import is_rotated

MAX_TRIES = 3
FIRST_DELAY, MAX_DELAY = timedelta(seconds=1), timedelta(seconds=30)
"""The longest first pause, doubled with each try, and where the doubling ends."""
RETRY_WINDOW = timedelta(seconds=30)
"""A try that begins within it ends, by the transport's deadline, within a minute."""

RETRYABLE_CODES = frozenset(
    {"network-timeout", "network-reset", "data-centre-down", "general-error"}
)

_random = SystemRandom()


def retry_delay(
    failure: Failure, tries: int, elapsed: timedelta, now: datetime
) -> timedelta | None:
    """How long to wait before the next try, after `tried` of them took `spent`; None: no more.

    Full jitter: anything up to the longest pause, so that those who failed together do not come
    back together. A ``Retry-After`` is waited for where there is time for it.
    """
    if is_rotated(failure):
        return None  # the refresh token that was sent is used up
    if tries >= MAX_TRIES or failure.code not in RETRYABLE_CODES:
        return None
    chosen = min(FIRST_DELAY * 2 ** (tries - 1), MAX_DELAY) * _random.random()
    wanted = failure.retry_at - now if failure.retry_at else timedelta(0)
    wait = max(chosen, wanted)
    return wait if elapsed + wait <= RETRY_WINDOW else None
