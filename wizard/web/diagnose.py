"""Explains a connection, or anything pasted; and the documentation of every code, offline."""

from typing import Any

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from wizard.diagnosis.reading import Reading
from wizard.errors import WizardError, explain, fail, words
from wizard.model import Failure
from wizard.web.guard import DIAGNOSE
from wizard.web.rooms import house

pages = Blueprint("diagnose", __name__)


@pages.get(DIAGNOSE)
def ask() -> str:
    """The box that takes anything."""
    return _page()


@pages.post(DIAGNOSE)
def explain_it() -> Response:
    """Explain what was pasted, or the connection that was chosen.

    The text is in the body of the form and never in an address, which browsers and logs keep.
    """
    chosen = request.form.get("name", "")
    text = chosen or request.form.get("text", "")
    told = tuple(request.form.getlist("told"))
    try:
        reading = house().reader.diagnose(text, search="search" in request.form, told=told)
    except WizardError as error:
        return make_response(_page(Reading(explain(error.failure))), 422)
    return make_response(_page(reading))


@pages.get("/help")
def index() -> str:
    """Every code a finding can have, with its title."""
    codes = sorted(code for code, row in words().items() if "title" in row)
    rows = {code: explain(Failure(code)).title for code in codes}
    query = request.args.get("q", "").strip()
    wanted = query.lower()
    found = {c: title for c, title in rows.items() if wanted in c or wanted in title.lower()}
    return render_template("help.html", rows=found, query=query)


@pages.get("/help/<code>")
def help_page(code: str) -> str:
    """What a code means, for whoever met it in a terminal or a log."""
    if "title" not in words().get(code, {}):
        raise fail("page-not-found")
    found = explain(Failure(code))
    return render_template("message.html", found=found, calm=True, back="/help")


def _page(reading: Reading | None = None) -> str:
    names = [each.name for each in house().store.connections()]
    parts: dict[str, Any] = {"names": names, "reading": reading}
    return render_template("diagnose.html", **parts)
