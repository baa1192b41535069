"""The controls of a simulator that runs in another process."""

import json
import urllib.error
import urllib.request
from typing import Any

from wizard.simulator.controls import Controls

TIMEOUT_SECONDS = 10
"""Seconds; a control answers at once or not at all."""


class HttpControls(Controls):
    """The same controls as in process, for the simulator at `url` (`http://127.0.0.1:8730`)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        super().__init__(self._post)

    def _post(self, operation: str, arguments: dict[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the caller's own loopback URL
            f"{self.url}/_simulator/controls/{operation}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                problem = json.load(refused)
            kind = LookupError if problem["error"] == "LookupError" else ValueError
            raise kind(problem["message"]) from None
