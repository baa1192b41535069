"""The pages of the simulated Zoho: sign-in, consent, API console, account, and its state.

Written from scratch and visibly not Zoho, with the labels and the steps a driver meets at Zoho.
"""

from flask import Blueprint

from wizard.simulator.pages import (
    account,
    announcement,
    assets,
    captcha,
    consent,
    console,
    page_context,
    recovery,
    second_step,
    self_client,
    signin,
    state,
)


def blueprint() -> Blueprint:
    """Return all pages, ready to be registered with a Flask application."""
    pages = Blueprint(
        "pages",
        __name__,
        template_folder=str(assets.folder("templates")),
        static_folder=str(assets.folder("static") / "simulator"),
        static_url_path="/_simulator/static",
    )
    pages.before_request(page_context.check_post_origin)
    pages.after_request(page_context.add_security_headers)
    pages.context_processor(page_context.template_context)
    pages.register_error_handler(403, page_context.handle_forbidden)
    steps = (signin, captcha, second_step, announcement, recovery)
    for module in (*steps, consent, console, self_client, account, state):
        pages.register_blueprint(module.pages)
    return pages
