"""The time at the simulated Zoho: real time plus an offset."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path


class Clock:
    """A callable that returns an aware UTC datetime and can be moved. Thread-safe.

    Every change of the offset is written to `offset_file` (seconds, as text) if there is one, so
    that other processes have the same time through `FileClock`.
    """

    def __init__(self, offset_file: Path | None = None) -> None:
        self._offset = timedelta()
        self._offset_file = offset_file
        self._lock = threading.Lock()
        self.set_offset(timedelta())

    def __call__(self) -> datetime:
        """Return the simulated Zoho's time."""
        with self._lock:
            return datetime.now(UTC) + self._offset

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of real time."""
        with self._lock:
            return self._offset

    def advance(self, by: timedelta | float) -> datetime:
        """Move forward (or back, if negative) by a timedelta or seconds; return the new time."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self.set_offset(self.offset + step)
        return self()

    def set(self, moment: datetime) -> None:
        """Set the time to `moment` (an aware datetime)."""
        self.set_offset(moment - datetime.now(UTC))

    def set_offset(self, offset: timedelta) -> None:
        """Set how far the clock is ahead of real time."""
        with self._lock:
            self._offset = offset
            if self._offset_file:
                new_file = self._offset_file.with_suffix(".new")
                new_file.write_text(str(offset.total_seconds()))
                os.replace(new_file, self._offset_file)


class FileClock:
    """The time of a `Clock` in another process, read from its `offset_file`."""

    def __init__(self, offset_file: Path) -> None:
        self._offset_file = offset_file

    def __call__(self) -> datetime:
        """Return real time plus the offset in the file; no file means no offset."""
        try:
            seconds = float(self._offset_file.read_text())
        except FileNotFoundError:
            seconds = 0.0
        return datetime.now(UTC) + timedelta(seconds=seconds)
