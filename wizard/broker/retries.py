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

TRIES = 3
BASE, LONGEST = timedelta(seconds=1), timedelta(seconds=30)
"""The longest first pause, doubled with each try, and where the doubling ends."""
BUDGET = timedelta(seconds=30)
"""A try that begins within it ends, by the transport's deadline, within a minute."""

WORTH_IT = frozenset({"network-timeout", "network-reset", "data-centre-down", "general-error"})

_random = SystemRandom()


def pause(failure: Failure, tried: int, spent: timedelta, now: datetime) -> timedelta | None:
    """How long to wait before the next try, after `tried` of them took `spent`; None: no more.

    Full jitter: anything up to the longest pause, so that those who failed together do not come
    back together. A ``Retry-After`` is waited for where there is time for it.
    """
    if tried >= TRIES or failure.code not in WORTH_IT:
        return None
    chosen = min(BASE * 2 ** (tried - 1), LONGEST) * _random.random()
    wanted = failure.retry_at - now if failure.retry_at else timedelta(0)
    wait = max(chosen, wanted)
    return wait if spent + wait <= BUDGET else None
