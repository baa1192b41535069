"""How often something may happen: counters over fixed windows."""

from datetime import datetime, timedelta


class RateLimits:
    """Counts events by key in windows that begin with their first event.

    Zoho refuses "for the rest of the window": a refused ask neither counts nor prolongs it.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[str, ...], tuple[datetime, int]] = {}

    def take(self, key: tuple[str, ...], limit: int, period_seconds: int, now: datetime) -> bool:
        """Count one event under `key`; False if `limit` were reached in this `period` (seconds)."""
        began, count = self._windows.get(key, (now, 0))
        if now - began >= timedelta(seconds=period_seconds):
            began, count = now, 0
        if count >= limit:
            return False
        self._windows[key] = (began, count + 1)
        return True

    def clear(self) -> None:
        """Begin all windows anew."""
        self._windows.clear()
