"""What differs between two addresses, for eyes that have looked at both long enough."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Two redirect URIs, character by character: what differs, and what is the same around it."""

    sent: str
    registered: str
    before: str
    """The characters with which both begin."""
    after: str
    """Those with which both end."""

    @classmethod
    def of(cls, sent: str, registered: str) -> "Comparison":
        """Compare two that are not the same."""
        before = _alike_from_the_start(sent, registered)
        rest, other = sent[before:], registered[before:]
        after = _alike_from_the_start(rest[::-1], other[::-1])
        return cls(sent, registered, sent[:before], rest[len(rest) - after :])

    @property
    def odd(self) -> str:
        """The part of what was sent that differs; empty where something is missing."""
        return self.sent[len(self.before) : len(self.sent) - len(self.after)]

    @property
    def right(self) -> str:
        """The part of what is registered that stands in its place."""
        return self.registered[len(self.before) : len(self.registered) - len(self.after)]


def _alike_from_the_start(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
