"""Which rule reads a text: the most telling first."""

from wizard.diagnosis.pasted_text import structure_rules, wording_rules
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.recognition import RecognizedFailure, Rule
from wizard.zoho import Zoho

RULES: tuple[Rule, ...] = (
    wording_rules.own_code,
    wording_rules.callback_error,
    wording_rules.oauth_error,
    wording_rules.rate_limit,
    wording_rules.product_error,
    structure_rules.callback,
    structure_rules.token_response,
    wording_rules.sentence,
    wording_rules.translated_sentence,
    wording_rules.data_error,
    structure_rules.authorization_url,
    structure_rules.token_request,
    structure_rules.single_word,
    structure_rules.page,
    structure_rules.http_status,
    wording_rules.short_phrase,
    structure_rules.address,
    wording_rules.unknown_error,
    structure_rules.any_token,
)
"""What Zoho said before what others said of it; what stands there before what is missing."""


def recognize_failure(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure:
    """The failure that the text speaks of; ``not-understood`` where it fits nothing known."""
    for rule in RULES:
        if found := rule(parsed, zoho):
            return found
    return RecognizedFailure("not-understood")
