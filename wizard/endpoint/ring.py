"""How a command asks the wizard that is already serving."""

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from wizard.endpoint.sockets import address_of, has_sockets
from wizard.errors import fail

PATIENCE = 3.0
"""Seconds to wait for a wizard that holds the socket but does not answer."""


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("zoho-wizard", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with address_of(self._path) as address:
            self.sock.connect(address)


def ring(path: Path, page: str, *, printed: bool) -> str | None:
    """Ask the wizard behind the socket at `path` for a launch link to `page` (such as ``/``).

    A link that is `printed` lives longer than one that a browser is handed at once. Returns the
    link, or None when no wizard answers there.
    """
    answer = _post(path, "/link?" + urlencode({"page": page, "printed": int(printed)}))
    return str(answer["link"]) if answer and "link" in answer else None


def share(path: Path) -> str | None:
    """Have the wizard behind the own socket at `path` answer other users too; returns the shared
    socket's path, or None when no wizard answers there. Raises why it cannot."""
    answer = _post(path, "/share")
    if answer and "error" in answer:
        error = answer["error"]
        raise fail(error["code"], **error["details"])
    return str(answer["socket"]) if answer else None


def _post(path: Path, target: str) -> dict[str, Any] | None:
    if not has_sockets():
        return None
    connection = _Connection(path)
    try:
        connection.request("POST", target)
        answer = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None
