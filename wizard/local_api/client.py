"""Requests of a command to the wizard that is already serving."""

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from wizard.errors import fail
from wizard.local_api.sockets import has_unix_sockets, socket_address

RESPONSE_TIMEOUT_SECONDS = 3.0
"""Seconds to wait for a response."""


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("zoho-wizard", timeout=RESPONSE_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with socket_address(self._path) as address:
            self.sock.connect(address)


def request_browser_link(path: Path, path_on_site: str, *, is_printed: bool) -> str | None:
    """Request a one-time browser link to `path_on_site` (such as ``/``) from the socket at `path`.

    A link that `is_printed` is valid longer than one that we open. Returns the link, or None if no
    wizard responds.
    """
    response = _post(
        path, "/browser-link?" + urlencode({"page": path_on_site, "printed": int(is_printed)})
    )
    return str(response["link"]) if response and "link" in response else None


def request_shared_socket(path: Path) -> str | None:
    """Have the wizard behind the owner's socket at `path` serve the shared socket, too; return that
    socket's path, or None if no wizard responds. Raises its failure."""
    response = _post(path, "/shared-socket")
    if response and "error" in response:
        error = response["error"]
        raise fail(error["code"], **error["details"])
    return str(response["socket"]) if response else None


def _post(path: Path, target: str) -> dict[str, Any] | None:
    if not has_unix_sockets():
        return None
    connection = _Connection(path)
    try:
        connection.request("POST", target)
        response = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return response if isinstance(response, dict) else None
