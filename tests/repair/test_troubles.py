"""One message for each cause, by what it took with it."""

from datetime import timedelta
from pathlib import Path

from core import ANNA, CARLA, PRODUCTION, Core
from scenes import client_of, notice, proved

from wizard.diagnosis.patterns import Reach
from wizard.diagnosis.troubles import Trouble


def troubles(core: Core) -> tuple[Trouble, ...]:
    return core.house.troubles.stored()


def test_where_all_is_well_there_is_no_message(core: Core) -> None:
    proved(core, "crm")
    assert troubles(core) == ()


def test_connections_of_one_account_that_died_together_are_one_message(core: Core) -> None:
    for name in ("crm", "books", "leads"):
        proved(core, name)
    proved(core, "carla", email=CARLA, organization=PRODUCTION)
    core.admin.change_password(ANNA)
    notice(core, "crm", "books", "leads", "carla")
    (found,) = troubles(core)
    assert found.reach is Reach.ACCOUNT
    assert found.names == ("books", "crm", "leads")
    assert found.email == ANNA
    assert found.finding.title == f"3 connections of {ANNA} lost their refresh tokens"
    assert found.finding.causes[0].code == "password-changed"
    assert found.finding.steps[0].command == "zoho-wizard reauthorize books crm leads"


def test_one_that_died_alone_keeps_its_own_words(core: Core) -> None:
    proved(core, "crm")
    core.admin.change_password(ANNA)
    notice(core, "crm")
    (found,) = troubles(core)
    assert found.reach is Reach.CONNECTION
    assert found.finding.code == "grant-dead"


def test_the_tokens_of_one_client_are_told_from_those_of_the_account(core: Core) -> None:
    proved(core, "books")
    first = proved(core, "crm")
    proved(core, "leads", client_of(core, first.connection))
    core.admin.revoke_app(ANNA, client_of(core, "crm").client_id)
    notice(core, "crm", "leads", "books")
    (found,) = troubles(core)
    assert found.reach is Reach.CLIENT
    assert found.names == ("crm", "leads")
    assert "“crm”" in found.finding.title


def test_a_client_that_is_refused_is_mended_without_a_consent(core: Core) -> None:
    first = proved(core, "crm")
    proved(core, "leads", client_of(core, first.connection))
    core.admin.rotate_secret(client_of(core, "crm").client_id)
    notice(core, "crm", "leads")
    (found,) = troubles(core)
    assert (found.reach, found.names) == (Reach.CLIENT, ("crm", "leads"))
    assert not found.dead
    assert not found.email


def test_a_data_centre_that_is_down_kills_nothing(core: Core) -> None:
    proved(core, "crm")
    proved(core, "books")
    core.admin.fault("dc-down", location="eu", times=50)
    notice(core, "crm", "books")
    (found,) = troubles(core)
    assert found.reach is Reach.DATA_CENTRE
    assert found.finding.exit_code == 4
    assert "Nothing is dead" in found.finding.cause


def test_a_message_names_the_programs_and_the_end_of_their_last_tokens(
    core: Core, tmp_path: Path
) -> None:
    proved(core, "crm")
    target = tmp_path / "program.env"
    delivery = core.house.delivery
    delivery.add(delivery.describe("crm", "dotenv", str(target)))
    last = core.house.store.last_refreshes()["crm"]
    core.admin.change_password(ANNA)
    notice(core, "crm")
    (found,) = troubles(core)
    assert found.programs == (str(target),)
    assert found.tokens_until == last + timedelta(hours=1)
    core.advance(hours=2)
    (later,) = troubles(core)
    assert later.tokens_until is None
