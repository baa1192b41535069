"""The pages of the simulated Zoho: sign-in, consent, API console, account, and its state.

Written from scratch and visibly not Zoho, with the labels and the steps a driver meets at Zoho.
"""

from flask import Blueprint

from wizard.sandbox.pages import (
    account,
    announcement,
    assets,
    captcha,
    consent,
    console,
    recovery,
    second_step,
    self_client,
    signin,
    state,
    visit,
)


def blueprint() -> Blueprint:
    """Return all pages, ready to be registered with a Flask application."""
    pages = Blueprint(
        "pages",
        __name__,
        template_folder=str(assets.folder("templates")),
        static_folder=str(assets.folder("static") / "sandbox"),
        static_url_path="/_sandbox/static",
    )
    pages.before_request(visit.refuse_foreign_posts)
    pages.after_request(visit.add_headers)
    pages.context_processor(visit.template_names)
    pages.register_error_handler(403, visit.refuse)
    steps = (signin, captcha, second_step, announcement, recovery)
    for room in (*steps, consent, console, self_client, account, state):
        pages.register_blueprint(room.pages)
    return pages
