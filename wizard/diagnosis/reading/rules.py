"""Which rule reads a text: the most telling first."""

from wizard.diagnosis.reading import forms, said
from wizard.diagnosis.reading.clues import Clues
from wizard.diagnosis.reading.meaning import Meaning, Rule
from wizard.zoho import Zoho

RULES: tuple[Rule, ...] = (
    said.own_code,
    said.callback_error,
    said.oauth_error,
    said.throttle,
    said.product_error,
    forms.callback,
    forms.token_answer,
    said.sentence,
    said.foreign_sentence,
    said.data_error,
    forms.authorization_url,
    forms.token_request,
    forms.single_word,
    forms.page,
    forms.http_status,
    said.hint,
    forms.address,
    said.unknown_word,
    forms.some_token,
)
"""What Zoho said before what others said of it; what stands there before what is missing."""


def meaning_of(clues: Clues, zoho: Zoho) -> Meaning:
    """The failure that the text speaks of; ``not-understood`` where it fits nothing known."""
    for rule in RULES:
        if found := rule(clues, zoho):
            return found
    return Meaning("not-understood")
