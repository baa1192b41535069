"""What differs between two addresses, for eyes that have looked at both long enough."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UriComparison:
    """Two redirect URIs, character by character: what differs, and what is the same around it."""

    sent: str
    registered: str
    common_prefix: str
    """The characters with which both begin."""
    common_suffix: str
    """Those with which both end."""

    @classmethod
    def of(cls, sent: str, registered: str) -> "UriComparison":
        """Compare two that are not the same."""
        before = _common_prefix_length(sent, registered)
        rest, other = sent[before:], registered[before:]
        after = _common_prefix_length(rest[::-1], other[::-1])
        return cls(sent, registered, sent[:before], rest[len(rest) - after :])

    @property
    def sent_difference(self) -> str:
        """The part of what was sent that differs; empty where something is missing."""
        return self.sent[len(self.common_prefix) : len(self.sent) - len(self.common_suffix)]

    @property
    def registered_difference(self) -> str:
        """The part of what is registered that stands in its place."""
        return self.registered[
            len(self.common_prefix) : len(self.registered) - len(self.common_suffix)
        ]


def _common_prefix_length(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
