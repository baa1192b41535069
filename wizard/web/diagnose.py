"""Diagnoses of connections and pasted text, and the documentation of every code."""

from typing import Any

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.errors import WizardError, explain, fail, message_table
from wizard.model import Failure
from wizard.web.context import get_services

pages = Blueprint("diagnose", __name__)

DIAGNOSE_PATH = "/diagnose"


@pages.get(DIAGNOSE_PATH)
def show() -> str:
    """The form that takes pasted text."""
    return _diagnose_page()


@pages.post(DIAGNOSE_PATH)
def diagnose() -> Response:
    """Explain the pasted text or the chosen connection.

    The text is in the body of the form, never in a URL, which browsers and logs keep.
    """
    connection_name = request.form.get("name", "")
    text = connection_name or request.form.get("text", "")
    answers = tuple(request.form.getlist("answer"))
    try:
        reading = get_services().reader.diagnose(
            text, search="search" in request.form, answers=answers
        )
    except WizardError as error:
        return make_response(_diagnose_page(DiagnosisResult(explain(error.failure))), 422)
    return make_response(_diagnose_page(reading))


@pages.get("/help")
def list_codes() -> str:
    """List the codes, with titles."""
    codes = sorted(code for code, row in message_table().items() if "title" in row)
    titles = {code: explain(Failure(code)).title for code in codes}
    query = request.args.get("q", "").strip()
    needle = query.lower()
    matching = {c: title for c, title in titles.items() if needle in c or needle in title.lower()}
    return render_template("code_list.html", rows=matching, query=query)


@pages.get("/help/<code>")
def show_code(code: str) -> str:
    """Explain one code."""
    if "title" not in message_table().get(code, {}):
        raise fail("page-not-found")
    explanation = explain(Failure(code))
    return render_template("error.html", explanation=explanation, is_warning=True, back_url="/help")


def _diagnose_page(reading: DiagnosisResult | None = None) -> str:
    names = [each.name for each in get_services().store.connections.all()]
    parts: dict[str, Any] = {"names": names, "reading": reading}
    return render_template("diagnose.html", **parts)
