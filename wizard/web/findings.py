"""The painter of findings that fill a page of their own."""

from flask import Response, make_response, render_template, request

from wizard.diagnosis import finding_of
from wizard.errors import WizardError
from wizard.model import Failure, Finding
from wizard.web.rooms import house

STATUS_OF_EXIT = {2: 400, 3: 409, 4: 503, 5: 500}
"""How a finding's exit code reads in HTTP; else 409, for the state of things is in the way."""

STATUS_OF_CODE = {
    "page-no-session": 403,
    "page-foreign-form": 403,
    "page-form-expired": 403,
    "page-not-found": 404,
    "page-wrong-method": 405,
    "page-too-large": 413,
    "page-unforeseen": 500,
}
CALM = frozenset({"page-no-session", "page-link-used", "page-form-expired"})
"""Nothing went wrong; something has merely ended."""


def paint(failure: Failure, status: int | None = None, *, name: str = "") -> Response:
    """A page that explains `failure`, with what is known of the connection `name` that it met;
    by default the one that the address names."""
    name = name or (request.view_args or {}).get("name", "")
    found = _explained(failure, name)
    page = render_template(
        "message.html",
        found=found,
        calm=failure.temporary or failure.code in CALM,
        back=f"/connections/{name}" if name and failure.code != "unknown-connection" else "/",
        go_on=_may_go_on(failure) and name,
    )
    return make_response(page, status or _status(found))


def _may_go_on(failure: Failure) -> bool:
    """Whether `failure` keeps a consent from being begun that a person may want all the same."""
    throttled = failure.code == "throttled" and request.endpoint == "connections.authorize"
    return throttled or failure.code == "refresh-tokens-budget"


def _explained(failure: Failure, name: str) -> Finding:
    try:
        if name:
            return house().diagnosis.finding(name, failure)
    except WizardError:
        pass
    return finding_of(failure, house().clock())


def _status(found: Finding) -> int:
    if found.code.startswith("unknown-"):
        return 404
    return STATUS_OF_CODE.get(found.code) or STATUS_OF_EXIT.get(found.exit_code, 409)
