"""What is written down before a file is replaced, so that a delivery that is cut off in between is
known for what it is: what it replaced is the version before, and never our own work."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from wizard.model import Grant
from wizard.store import Destination


def content_digest(text: str) -> str:
    """Enough to know a file again; its tokens are long and random, so that this tells nothing."""
    return hashlib.sha256(text.encode()).hexdigest()


def with_write_intent(
    destination: Destination, previous_content: str | None, text: str, token: str
) -> Destination:
    """The destination as it is about to hold `text`, with the refresh token `token`, in the place
    of `before`."""
    return replace(
        destination,
        content_sha256=content_digest(text),
        previous_content=previous_content,
        previous_generation=destination.generation,
        token_digest=content_digest(token),
    )


def was_interrupted(
    destination: Destination, text: str | None, token: str | None, grants: Iterable[Grant]
) -> bool:
    """Whether `text`, which has our refresh token `token` in its place, is what an `intended`
    delivery has put there and nobody wrote down: the generation is the one before still."""
    return (
        None not in (text, token)
        and content_digest(str(text)) == destination.content_sha256
        and destination.previous_generation == destination.generation
        and content_digest(str(token))
        in {destination.token_digest, *(content_digest(grant.refresh_token) for grant in grants)}
    )
