"""What time it is at the simulated Zoho: real time plus an offset that can be moved."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path


class Clock:
    """A callable that returns an aware UTC datetime, and can be moved. Safe between threads.

    With `mirror`, every change of the offset is also written to that file (seconds, as text), so
    that programs in other processes can tell the same time through `FileClock`.
    """

    def __init__(self, offset_file: Path | None = None) -> None:
        self._offset = timedelta()
        self._offset_file = offset_file
        self._lock = threading.Lock()
        self.set_offset(timedelta())

    def __call__(self) -> datetime:
        """Return the present moment of the simulated Zoho."""
        with self._lock:
            return datetime.now(UTC) + self._offset

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of real time."""
        with self._lock:
            return self._offset

    def advance(self, by: timedelta | float) -> datetime:
        """Move forward (or, when negative, back) by a timedelta or seconds; return the new time."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self.set_offset(self.offset + step)
        return self()

    def set(self, moment: datetime) -> None:
        """Make it `moment` (an aware datetime) now; time runs on from there."""
        self.set_offset(moment - datetime.now(UTC))

    def set_offset(self, offset: timedelta) -> None:
        """Be ahead of real time by exactly `offset`."""
        with self._lock:
            self._offset = offset
            if self._offset_file:
                fresh = self._offset_file.with_suffix(".new")
                fresh.write_text(str(offset.total_seconds()))
                os.replace(fresh, self._offset_file)


class FileClock:
    """Reads the time of a `Clock` in another process from the file it mirrors its offset to."""

    def __init__(self, offset_file: Path) -> None:
        self._offset_file = offset_file

    def __call__(self) -> datetime:
        """Return real time plus the mirrored offset; an absent file means no offset."""
        try:
            seconds = float(self._offset_file.read_text())
        except FileNotFoundError:
            seconds = 0.0
        return datetime.now(UTC) + timedelta(seconds=seconds)
