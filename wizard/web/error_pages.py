"""Pages that show a failure."""

from flask import Response, make_response, render_template, request

from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError
from wizard.model import Explanation, Failure, FailureKind
from wizard.model.failure_codes import http_status_of
from wizard.web.context import get_services


def render_error(failure: Failure, status: int | None = None, *, name: str = "") -> Response:
    """A page that explains `failure`; `name` is its connection, by default that of the URL."""
    name = name or (request.view_args or {}).get("name", "")
    explanation = _explanation_of(failure, name)
    page = render_template(
        "error.html",
        explanation=explanation,
        is_warning=failure.temporary or failure.kind is FailureKind.SESSION,
        back_url=f"/connections/{name}" if name and failure.code != "unknown-connection" else "/",
        forced_connection=_may_go_on(failure) and name,
    )
    return make_response(page, status or http_status_of(explanation.code))


def _may_go_on(failure: Failure) -> bool:
    """Whether `failure` is a limit that the user may ignore to start an authorization."""
    throttled = failure.code == "throttled" and request.endpoint == "connections.authorize"
    return throttled or failure.code == "refresh-tokens-budget"


def _explanation_of(failure: Failure, name: str) -> Explanation:
    try:
        if name:
            return get_services().diagnosis.explain(name, failure)
    except WizardError:
        pass
    return explain_failure(failure, get_services().clock())
