"""What ``--debug`` prints: the log, a line a record, and traces that show code and never values."""

import logging
import traceback
from typing import Any

from wizard.transport import sanitize_line


class _LogFormatter(logging.Formatter):
    """Foreign text, such as a path that somebody asked for, forges no record and steers no
    terminal; an exception is named without its words, which may hold a value."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return sanitize_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + str(kind.__name__)


def to_stderr() -> None:
    """Log to stderr: the wizard everything, the libraries what they hold to be worth a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LogFormatter("%(asctime)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("wizard").setLevel(logging.DEBUG)
