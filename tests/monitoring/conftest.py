"""Fixtures of the monitoring tests."""

from support.notification_server import inbox

__all__ = ["inbox"]
