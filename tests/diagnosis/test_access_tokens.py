"""Why a product refused an access token, while the connection behind it may be sound."""

import pytest
from core import ANNA, Core
from scenes import codes, diagnosed, notice, proved

from wizard.diagnosis import Evidence, judge
from wizard.errors import WizardError
from wizard.model import Confidence, Failure
from wizard.zoho import error_words

CERTAIN, LIKELY = Confidence.CERTAIN, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT
REFUSED = Failure("token-invalid", "INVALID_OAUTHTOKEN", details={"product": "crm"})
FROM_THE_GRANT = {
    "password-changed",
    "app-removed",
    "refresh-token-evicted",
    "user-deactivated",
    "token-revoked-elsewhere",
}


def test_a_word_alone_names_the_class_and_asks(core: Core) -> None:
    found = judge(Evidence(failure=REFUSED))
    assert found.failure_class == "access-token-refused"
    assert codes(found, POSSIBLE) >= {
        "access-token-of-other-data-centre",
        "access-token-evicted",
        "access-token-expired",
        "client-credentials-token",
        "refresh-token-in-its-place",
        "token-truncated",
        *FROM_THE_GRANT,
    }
    assert not codes(found, LIKELY) | codes(found, CERTAIN)
    assert found.question


@pytest.mark.parametrize("product", sorted(error_words()))
def test_every_products_word_for_a_dead_token_is_of_one_class(product: str) -> None:
    for word, code in error_words()[product].items():
        found = judge(Evidence(failure=Failure(code, word, details={"product": product})))
        expected = {
            "token-invalid": "access-token-refused",
            "not-authorized": "refused-without-a-reason",
            "scope-missing": "scope-refused",
            "no-permission": "permission-refused",
            "wrong-organization": "organization-refused",
            "wrong-path": "wrong-address",
            "product-throttled": "",
        }
        assert found.failure_class == expected[code]


def test_the_ledger_shows_when_the_wizard_itself_made_too_many(core: Core) -> None:
    proved(core, "crm")
    for _ in range(11):
        core.advance(minutes=4)
        core.house.broker.access_token("crm", fresh=True)
    found = diagnosed(core, failure=REFUSED)
    assert codes(found, LIKELY) == {"access-token-evicted"}
    assert "within the hour" in found.causes[0].evidence_for[0]


def test_a_program_with_a_sound_connection_used_its_token_wrongly(core: Core) -> None:
    proved(core, "crm")
    found = diagnosed(core, failure=REFUSED, most=2)
    assert not core.refreshes(), "a living access token served"
    assert codes(found, RULED_OUT) == FROM_THE_GRANT
    assert [each.code for each in found.causes][:2] == [
        "access-token-of-other-data-centre",
        "access-token-expired",
    ]
    assert "sent it elsewhere" in found.causes[0].evidence_for[0]
    assert not codes(found, CERTAIN) | codes(found, LIKELY)


def test_a_diagnosis_that_sees_a_token_rejected_keeps_it_from_being_handed_out(core: Core) -> None:
    proved(core, "crm")
    core.admin.change_password(ANNA)
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    diagnosed(core)
    assert core.house.cache.get("crm") is None
    with pytest.raises(WizardError, match="throttled"):
        core.house.broker.access_token("crm")


def test_a_diagnosis_that_sees_the_token_of_a_relative_rejected_does_so_too(core: Core) -> None:
    proved(core, "crm")
    proved(core, "books")
    core.admin.change_password(ANNA)
    notice(core, "crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    diagnosed(core)
    assert core.house.cache.get("books") is None


def test_after_a_change_of_password_the_finding_is_about_the_grant(core: Core) -> None:
    proved(core, "crm")
    proved(core, "books")
    core.admin.change_password(ANNA)
    found = diagnosed(core, failure=REFUSED)
    assert found.code == "grant-dead"
    assert found.failure_class == "refresh-token-refused"
    assert found.steps[0].command == "zoho-wizard reauthorize crm"
