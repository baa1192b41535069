"""The painter of findings that fill a page of their own."""

from flask import Response, make_response, render_template, request

from wizard.diagnosis import explain_failure
from wizard.errors import WizardError
from wizard.model import Explanation, Failure
from wizard.web.context import get_services

STATUS_OF_EXIT_CODE = {2: 400, 3: 409, 4: 503, 5: 500}
"""How a finding's exit code reads in HTTP; else 409, for the state of things is in the way."""

STATUS_OF_FAILURE_CODE = {
    "page-no-session": 403,
    "page-foreign-form": 403,
    "page-form-expired": 403,
    "page-not-found": 404,
    "page-wrong-method": 405,
    "page-too-large": 413,
    "page-unforeseen": 500,
}
WARNING_CODES = frozenset({"page-no-session", "page-link-used", "page-form-expired"})
"""Nothing went wrong; something has merely ended."""


def render_error(failure: Failure, status: int | None = None, *, name: str = "") -> Response:
    """A page that explains `failure`, with what is known of the connection `name` that it met;
    by default the one that the address names."""
    name = name or (request.view_args or {}).get("name", "")
    explanation = _explanation_of(failure, name)
    page = render_template(
        "error.html",
        explanation=explanation,
        is_warning=failure.temporary or failure.code in WARNING_CODES,
        back_url=f"/connections/{name}" if name and failure.code != "unknown-connection" else "/",
        forced_connection=_may_go_on(failure) and name,
    )
    return make_response(page, status or _http_status(explanation))


def _may_go_on(failure: Failure) -> bool:
    """Whether `failure` keeps a consent from being begun that a person may want all the same."""
    throttled = failure.code == "throttled" and request.endpoint == "connections.authorize"
    return throttled or failure.code == "refresh-tokens-budget"


def _explanation_of(failure: Failure, name: str) -> Explanation:
    try:
        if name:
            return get_services().diagnosis.explain(name, failure)
    except WizardError:
        pass
    return explain_failure(failure, get_services().clock())


def _http_status(explanation: Explanation) -> int:
    if explanation.code.startswith("unknown-"):
        return 404
    return STATUS_OF_FAILURE_CODE.get(explanation.code) or STATUS_OF_EXIT_CODE.get(
        explanation.exit_code, 409
    )
