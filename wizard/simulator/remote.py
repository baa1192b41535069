"""A simulator that runs elsewhere, as in a container: its controls over HTTP."""

import inspect
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from wizard.simulator.controls import Controls
from wizard.simulator.errors import InvalidValueError, NotFoundError, SimulatorError

TIMEOUT_SECONDS = 60

_ERRORS: dict[str, type[SimulatorError]] = {
    each.code: each for each in (InvalidValueError, NotFoundError)
}


class RemoteControls:
    """The methods of `Controls`, with the same results and errors."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open = build_opener(ProxyHandler({})).open

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(Controls, name)
        parameters = list(inspect.signature(method).parameters)[1:]
        returns_time = inspect.signature(method).return_annotation is datetime

        def call(*args: Any, **fields: Any) -> Any:
            result = self._post(name, {**dict(zip(parameters, args, strict=False)), **fields})
            return datetime.fromisoformat(result) if returns_time else result

        return call

    def _post(self, name: str, arguments: dict[str, Any]) -> Any:
        request = Request(  # noqa: S310 - the URL is the simulator's
            f"{self._url}/_simulator/controls/{name}",
            json.dumps(arguments).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with self._open(request, timeout=TIMEOUT_SECONDS) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                answer = json.load(error)
            raise _ERRORS.get(answer["error"], SimulatorError)(answer["message"]) from None


class RemoteSimulator:
    """A running simulator at `url`, with the attributes that tests use."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.controls = cast(Controls, RemoteControls(self.url))

    def start_over(
        self, *, seed: int | None = None, settings: Mapping[str, Any] | None = None
    ) -> "RemoteSimulator":
        """Reset it, with another seed and changed settings; return itself.

        Everything else of its configuration stays as it was started.
        """
        self.controls.reset(seed)
        self.controls.change_settings(**(settings or {}))
        return self
