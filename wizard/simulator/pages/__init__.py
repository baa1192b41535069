"""The pages of the simulated Zoho: sign-in, account, consent, API console, and the simulator's
state.

They have the labels and steps that users and browser drivers meet at Zoho, but don't look like it.
"""

from pathlib import Path

from flask import Blueprint

from wizard.simulator.pages import account, admin, consent, console, page_context, sign_in

_PACKAGE = Path(__file__).parents[2]


def blueprint() -> Blueprint:
    """Return all pages, to be registered with a Flask application."""
    pages = Blueprint(
        "pages",
        __name__,
        template_folder=str(folder("templates")),
        static_folder=str(folder("static") / "simulator"),
        static_url_path="/_simulator/static",
    )
    pages.before_request(page_context.check_post_origin)
    pages.after_request(page_context.add_security_headers)
    pages.context_processor(page_context.template_context)
    pages.register_error_handler(403, page_context.handle_forbidden)
    for module in (sign_in, consent, console, account, admin):
        pages.register_blueprint(module.pages)
    return pages


def folder(name: str) -> Path:
    """Return `templates` or `static`: in the package if installed from a wheel, else next to it."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
