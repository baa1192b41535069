"""What is written down before a file is replaced, so that a delivery that is cut off in between is
known for what it is: what it replaced is the version before, and never our own work."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from wizard.model import Grant
from wizard.store import Destination


def digest(text: str) -> str:
    """Enough to know a file again; its tokens are long and random, so that this tells nothing."""
    return hashlib.sha256(text.encode()).hexdigest()


def intended(destination: Destination, before: str | None, text: str, token: str) -> Destination:
    """The destination as it is about to hold `text`, with the refresh token `token`, in the place
    of `before`."""
    return replace(
        destination,
        written=digest(text),
        before=before,
        before_generation=destination.generation,
        token_digest=digest(token),
    )


def was_cut_off(
    destination: Destination, text: str | None, token: str | None, grants: Iterable[Grant]
) -> bool:
    """Whether `text`, which has our refresh token `token` in its place, is what an `intended`
    delivery has put there and nobody wrote down: the generation is the one before still."""
    return (
        None not in (text, token)
        and digest(str(text)) == destination.written
        and destination.before_generation == destination.generation
        and digest(str(token))
        in {destination.token_digest, *(digest(grant.refresh_token) for grant in grants)}
    )
