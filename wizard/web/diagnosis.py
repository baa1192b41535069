"""Diagnoses, and the guide for a password change."""

from dataclasses import replace
from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.diagnosis.cautions import PasswordChangeRisk, advice, password_change_risks
from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.errors import WizardError, explain, fail
from wizard.model.states import Activity, ActivityKind
from wizard.web.context import get_services, reads_snapshot
from wizard.web.view_models import status_badges

pages = Blueprint("diagnosis", __name__)

DIAGNOSE_PATH = "/diagnose"
PASSWORD_CHANGE_PATH = "/password-change"  # noqa: S105 - no secret


@pages.get(DIAGNOSE_PATH)
def show() -> str:
    """The form that takes pasted text."""
    return _diagnose_page()


@pages.post(DIAGNOSE_PATH)
def diagnose() -> Response:
    """Explain the pasted text or the chosen connection.

    The text is in the body of the form, never in a URL, which browsers and logs keep. A second text
    is read together with the masked end of the first, because either may have what decides.
    """
    connection_name = request.form.get("name", "")
    pasted = [request.form.get("earlier", ""), request.form.get("text", "")]
    text = connection_name or "\n".join(filter(None, pasted))
    answers = tuple(request.form.getlist("answer"))
    try:
        reading = get_services().reader.diagnose(
            text, search="search" in request.form, answers=answers
        )
    except WizardError as error:
        return make_response(_diagnose_page(DiagnosisResult(explain(error.failure))), 422)
    return make_response(_diagnose_page(reading))


def _diagnose_page(reading: DiagnosisResult | None = None) -> str:
    names = [each.name for each in get_services().store.connections.all()]
    parts: dict[str, Any] = {"names": names, "reading": reading}
    return render_template("diagnose.html", **parts)


@pages.get(PASSWORD_CHANGE_PATH)
@reads_snapshot
def show_password_change() -> str:
    """Show each account and the connections that depend on its password."""
    checking = get_services().running_work.checked_names
    account_risks = _risks(request.args.get("email", ""))
    affected = [stake for risk in account_risks for stake in risk.connections]
    checked = Activity(ActivityKind.CHECKING)
    statuses = {
        each.name: replace(each.status, activity=checked) if each.name in checking else each.status
        for each in affected
    }
    now = get_services().clock()
    names = {each.name for each in affected}
    incidents = get_services().incidents.stored()
    return render_template(
        "password_change.html",
        risks=account_risks,
        badges_of={name: status_badges(status, now) for name, status in statuses.items()},
        advice=advice(),
        is_checking=bool(checking & names),
        to_reauthorize=[
            name for each in incidents for name in each.to_reauthorize if name in names
        ],
        is_checked="checked" in request.args,
        path=request.full_path.rstrip("?"),
        data_center_names={each.location: each.name for each in get_services().zoho.data_centers},
    )


@pages.post(f"{PASSWORD_CHANGE_PATH}/check")
def check_after_password_change() -> Response:
    """Check the connections of an account in the background."""
    email = request.form.get("email", "")
    get_services().background_checks.begin(
        name for risk in _risks(email) for name in risk.connection_names
    )
    return redirect(f"{PASSWORD_CHANGE_PATH}?checked=yes", 303)


def _risks(email: str) -> tuple[PasswordChangeRisk, ...]:
    store = get_services().store
    matching = password_change_risks(
        store.overviews.all(),
        store.destinations.programs(),
        store.overviews.last_refreshes(),
        get_services().clock(),
        email,
    )
    if email and not matching:
        raise fail("no-account", email=email)
    return matching
