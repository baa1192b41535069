"""What the pages share: the services, one snapshot for all reads, and the page of a failure."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from flask import Response, current_app, g, make_response, render_template, request

from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError
from wizard.model import Explanation, Failure
from wizard.model.failure import http_status_of
from wizard.services import Services
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
        g.assisted_name = assisted_name()  # before the store is read, as `running_work`
        with get_services().snapshot() as g.snapshot:
            try:
                return page(*args, **kwargs)
            finally:
                del g.snapshot, g.assisted_name

    return from_snapshot


def assisted_name() -> str:
    """The connection that an assisted window creates and verifies, in a process of its own; empty
    if there is none. Within `reads_snapshot`, as it was when the snapshot began."""
    if "assisted_name" in g:
        return cast(str, g.assisted_name)
    assistance = current_app.extensions["connection_assistance"]
    return assistance.connection.name if assistance.is_running and assistance.connection else ""


def peers() -> Peers:
    """What this server knows about its clients."""
    return cast(Peers, current_app.extensions["peers"])


def render_error(
    failure: Failure, status: int | None = None, *, name: str = "", added_scope: str = ""
) -> Response:
    """A page that explains `failure`; `name` is its connection, by default that of the URL, and
    `added_scope` what was to be added to its scopes."""
    name = name or (request.view_args or {}).get("name", "")
    explanation = _explanation_of(failure, name)
    g.failure_code = failure.code
    page = render_template(
        "error.html",
        explanation=explanation,
        back_url=f"/connections/{name}" if name and failure.code != "unknown-connection" else "/",
        forced_connection=_may_go_on(failure, added_scope) and name,
        added_scope=added_scope,
    )
    return make_response(page, status or http_status_of(explanation.code))


def _may_go_on(failure: Failure, added_scope: str) -> bool:
    """Whether `failure` is a limit that the user may ignore to start an authorization."""
    is_begun = bool(added_scope) or request.endpoint == "connections.authorize"
    return failure.code == "refresh-tokens-budget" or (failure.code == "throttled" and is_begun)


def _explanation_of(failure: Failure, name: str) -> Explanation:
    try:
        if name:
            return get_services().diagnosis.explain(name, failure)
    except WizardError:
        pass
    return explain_failure(failure, get_services().clock())
