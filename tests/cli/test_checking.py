"""`check` asks for several connections at once, and tells of them as if one after the other."""

import json
import re

from core import ANNA, Core
from shell import Shell

NAMES = [f"crm-{number}" for number in range(7)]


def proved(stored: Core) -> None:
    """Seven proved connections of one client."""
    client = stored.client()
    for name in NAMES:
        stored.connection(name, client)
        begun = stored.house.authorization.begin(name)
        done = stored.finish(begun, stored.consent(begun))
        assert done.generation is not None
        stored.climb(name, done.generation)
        stored.advance(minutes=2)
    stored.advance(minutes=9)


def test_all_connections_are_checked_and_told_in_their_order(shell: Shell, stored: Core) -> None:
    proved(stored)
    stored.connection("unbegun")
    stored.admin.clear_journal()

    checked = shell.run("check", "--json")

    told = json.loads(checked.out)
    assert [each["name"] for each in told] == [*NAMES, "unbegun"]
    assert [each["proved"] for each in told] == [*(True for _ in NAMES), False]
    assert told[-1]["error"]["code"] == "no-grant"
    assert checked.code == told[-1]["error"]["exit_code"]
    assert len(stored.asked("/crm/v8/Leads")) == len(NAMES)
    assert not stored.refreshes(), "their access tokens live"


def test_one_connection_shows_what_was_asked_and_several_a_line_each(
    shell: Shell, stored: Core
) -> None:
    proved(stored)
    alone = shell.run("check", NAMES[3])
    assert alone.out == ""
    assert "leads can be read" in alone.err
    assert "This reaches Zylker GmbH" in alone.err
    wanted = [NAMES[5], NAMES[0], NAMES[3]]
    several = shell.run("check", *wanted)
    assert several.code == 0
    assert re.findall(r"^(crm-\d)\t✓ works\tZylker GmbH.*$", several.out, re.MULTILINE) == wanted
    assert "All 3 work." in several.err


def test_a_full_check_proves_every_rung_anew(shell: Shell, stored: Core) -> None:
    proved(stored)
    stored.admin.clear_journal()
    whole = shell.run("check", NAMES[0], "--full", "--json")
    assert whole.code == 0, whole.err
    (told,) = json.loads(whole.out)
    rungs = [rung["name"] for rung in told["rungs"]]
    assert rungs == ["refresh", "identity", "organization", "read:crm", "scope", "clock"]
    assert len(stored.refreshes()) == 1


def test_what_the_limits_keep_from_being_asked_is_waited_for_where_that_is_wished(
    shell: Shell, stored: Core
) -> None:
    proved(stored)
    stored.advance(hours=1)
    for name in (*NAMES, *NAMES[:2]):
        grant = stored.house.store.grant(name)
        assert grant is not None
        stored.house.broker.refresh_grant(grant)
    open_ = shell.run("check")
    assert open_.code == 4
    assert "7 connections with “Zylker” could not be asked yet" in open_.err
    assert open_.out.count("… not asked yet") == 7
    waiting = shell.start("check", "--wait", "15m", "--json")
    shell.sandbox.admin.advance(600)
    done = waiting.end()
    assert done.code == 0, done.err
    assert all(each["proved"] for each in json.loads(done.out))


def test_the_gravest_finding_of_many_is_the_exit_code(shell: Shell, stored: Core) -> None:
    proved(stored)
    stored.admin.change_password(ANNA)
    checked = shell.run("check", "--json")
    assert checked.code == 3
    assert {each["state"] for each in json.loads(checked.out)} == {"dead"}


def test_a_name_that_is_not_known_keeps_all_from_being_asked(shell: Shell, stored: Core) -> None:
    proved(stored)
    stored.admin.clear_journal()
    checked = shell.run("check", NAMES[0], "unknown")
    assert (checked.code, checked.out) == (2, "")
    assert "unknown" in checked.err
    assert not stored.admin.journal()
