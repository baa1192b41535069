"""The controls of a sandbox that runs in another process."""

import json
import urllib.error
import urllib.request
from typing import Any

from wizard.sandbox.controls import Controls

TIMEOUT = 10
"""Seconds; a control answers at once or not at all."""


class SandboxClient(Controls):
    """The same controls as in process, for the sandbox at `url` (`http://127.0.0.1:8730`)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        super().__init__(self._post)

    def _post(self, verb: str, wish: dict[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the caller's own loopback URL
            f"{self.url}/_sandbox/controls/{verb}",
            data=json.dumps(wish).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                problem = json.load(refused)
            kind = LookupError if problem["problem"] == "LookupError" else ValueError
            raise kind(problem["says"]) from None
