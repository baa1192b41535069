"""What tests of the watch are given."""

from support.notification_server import inbox

__all__ = ["inbox"]
