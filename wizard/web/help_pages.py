"""Help: how to use a demo in a terminal, and the documentation of every code."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from flask import Blueprint, render_template, request

from wizard.errors import explain, fail, message_table
from wizard.model import Failure
from wizard.settings import Settings
from wizard.web.context import get_services

pages = Blueprint("help", __name__)

CODES_PATH = "/help/codes"


@pages.get("/help/demo")
def show_demo() -> str:
    """How to use the demo in a terminal, and how to leave it."""
    settings = get_services().settings
    if settings.simulator_url is None:
        raise fail("page-not-found")
    return render_template("demo.html", exports=_exports(settings))


def _exports(settings: Settings) -> list[str]:
    """The lines that let a shell use this installation."""
    environment = {
        **settings.service_environment,
        "ZOHO_WIZARD_SIMULATOR_URL": settings.simulator_url or "",
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    bin_directory = Path(sys.argv[0]).resolve().parent
    if shutil.which("zoho-wizard") is None and os.access(bin_directory / "zoho-wizard", os.X_OK):
        lines.insert(0, f'export PATH={shlex.quote(str(bin_directory))}:"$PATH"')
    return lines


@pages.get("/help")
@pages.get(CODES_PATH)
def list_codes() -> str:
    """List the codes, with titles."""
    codes = sorted(code for code, row in message_table().items() if "title" in row)
    titles = {code: explain(Failure(code)).title for code in codes}
    query = request.args.get("q", "").strip()
    needle = query.lower()
    matching = {c: title for c, title in titles.items() if needle in c or needle in title.lower()}
    return render_template("code_list.html", rows=matching, query=query)


@pages.get(f"{CODES_PATH}/<code>")
def show_code(code: str) -> str:
    """Explain one code."""
    if "title" not in message_table().get(code, {}):
        raise fail("page-not-found")
    explanation = explain(Failure(code))
    return render_template(
        "error.html", explanation=explanation, nav_section="Help", back_url=CODES_PATH
    )
