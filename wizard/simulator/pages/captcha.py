"""The captcha: a picture of letters to type off, as after too many wrong passwords.

It keeps nobody out who reads the picture's source, and need not: what is behind it is made up.
"""

from flask import Response, jsonify, render_template

from wizard.simulator.pages import page_context
from wizard.simulator.pages.sign_in_steps import json_field, require_session
from wizard.simulator.people import User

WRONG_LETTERS = "Incorrect CAPTCHA. Please try again."
CAPTCHA_LENGTH = 5
LETTER_TILT_DEGREES = (-14, 9, -6, 16, -10)
"""Degrees by which the letters lean."""

pages = page_context.location_blueprint("captcha", "accounts")


def is_required(user: User) -> bool:
    """Whether a person must type off a picture in this session before the next password."""
    limit = page_context.current_world().settings.wrong_passwords_before_captcha
    return user.wrong_passwords >= limit and not require_session().is_captcha_solved


def is_correct(letters: str) -> bool:
    """Whether these are the letters of the session's picture; a picture is good for one try."""
    kept, wanted = require_session(), require_session().captcha_letters
    kept.captcha_letters = ""
    return bool(wanted) and letters.strip().upper() == wanted


@pages.get("/captcha.svg")
def picture() -> Response:
    """Draw new letters for this session."""
    kept = page_context.current_session()
    letters = page_context.current_world().random_values.letters(CAPTCHA_LENGTH)
    if kept:
        kept.captcha_letters = letters
    drawn = render_template(
        "simulator/captcha.svg", letters=list(zip(letters, LETTER_TILT_DEGREES, strict=True))
    )
    return Response(drawn, mimetype="image/svg+xml", headers={"Cache-Control": "no-store"})


@pages.post("/signin/captcha")
def verify() -> Response:
    """Judge what was typed off; the password comes next."""
    if not is_correct(json_field("captcha")):
        return jsonify(error=WRONG_LETTERS)
    require_session().is_captcha_solved = True
    return jsonify(step="password")
