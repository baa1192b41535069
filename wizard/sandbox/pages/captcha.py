"""The captcha: a picture of letters to type off, as after too many wrong passwords.

It keeps nobody out who reads the picture's source, and need not: what is behind it is made up.
"""

from flask import Response, jsonify, render_template

from wizard.sandbox.pages import visit
from wizard.sandbox.pages.arrival import held, sent
from wizard.sandbox.people import User

WRONG_LETTERS = "Incorrect CAPTCHA. Please try again."
LENGTH = 5
TILTS = (-14, 9, -6, 16, -10)
"""Degrees by which the letters lean."""

pages = visit.located("captcha", "accounts")


def is_due(user: User) -> bool:
    """Whether a person must type off a picture in this session before the next password."""
    limit = visit.world().settings.wrong_passwords_before_captcha
    return user.wrong_passwords >= limit and not held().captcha_solved


def fits(letters: str) -> bool:
    """Whether these are the letters of the session's picture; a picture is good for one try."""
    kept, wanted = held(), held().captcha
    kept.captcha = ""
    return bool(wanted) and letters.strip().upper() == wanted


@pages.get("/captcha.svg")
def picture() -> Response:
    """Draw new letters for this session."""
    kept = visit.session()
    letters = visit.world().mint.letters(LENGTH)
    if kept:
        kept.captcha = letters
    drawn = render_template("sandbox/captcha.svg", letters=list(zip(letters, TILTS, strict=True)))
    return Response(drawn, mimetype="image/svg+xml", headers={"Cache-Control": "no-store"})


@pages.post("/signin/captcha")
def solve() -> Response:
    """Judge what was typed off; the password comes next."""
    if not fits(sent("captcha")):
        return jsonify(error=WRONG_LETTERS)
    held().captcha_solved = True
    return jsonify(step="password")
