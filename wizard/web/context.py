"""Access to the services and to the state of this server, for the pages."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from flask import current_app, g

from wizard.services import Services
from wizard.web.sessions import LinkTokens
from wizard.web.socket_owner import Peers

Parameters = ParamSpec("Parameters")
Page = TypeVar("Page")


def get_services() -> Services:
    """The services of this application; within `reads_snapshot`, over its snapshot."""
    return cast(Services, g.get("snapshot") or current_app.extensions["services"])


def reads_snapshot(page: Callable[Parameters, Page]) -> Callable[Parameters, Page]:
    """Decorate a page that only reads: all its reads come from one snapshot of the store."""

    @wraps(page)
    def from_snapshot(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Page:
        with get_services().snapshot() as g.snapshot:
            try:
                return page(*args, **kwargs)
            finally:
                del g.snapshot

    return from_snapshot


def get_link_tokens() -> LinkTokens:
    """The one-time links of this server."""
    return cast(LinkTokens, current_app.extensions["link_tokens"])


def peers() -> Peers:
    """What this server knows about its clients."""
    return cast(Peers, current_app.extensions["peers"])
