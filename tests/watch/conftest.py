"""What tests of the watch are given."""

from inbox import inbox

__all__ = ["inbox"]
