"""Sign in by a one-time link, keep the session for a while, and sign out."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from support.harness import settings_for
from support.web_visitor import FakeTimer, Visitor, route_paths

from wizard.services import Services
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

DATA = ("leads", "anna@zylker.example", "Zylker", "Test client", "1000.")


def test_without_a_session_no_page_shows_anything(
    app: Flask, connected: Visitor, anonymous: Visitor
) -> None:
    open_to_all = ("/browser-link/x", "/callback", "/static/wizard.css")
    for path in route_paths(app, "GET"):
        answer = anonymous.get(path)
        if path not in open_to_all:
            assert answer.status_code == 403, path
            assert "zoho-wizard" in answer.text, path
        assert not [word for word in DATA if word in answer.text], path


def test_without_a_session_no_form_is_accepted(app: Flask, anonymous: Visitor) -> None:
    for path in route_paths(app, "POST"):
        assert anonymous.post(path, {}).status_code == 403, path


def test_a_link_opens_its_page_at_a_clean_url(anonymous: Visitor) -> None:
    entered = anonymous.sign_in("/status")
    assert (entered.status_code, entered.location) == (303, "/status")
    assert anonymous.get("/status").status_code == 200


def test_a_link_works_once(new_visitor: Callable[[], Visitor], link_tokens: LinkTokens) -> None:
    path = f"/browser-link/{link_tokens.issue()}"
    first, second = new_visitor(), new_visitor()
    assert first.get(path).status_code == 303
    assert second.get(path).status_code == 400
    assert second.get("/").status_code == 403


def test_a_link_is_refused_when_it_is_too_old(
    anonymous: Visitor, link_tokens: LinkTokens, timer: FakeTimer
) -> None:
    printed, opened = link_tokens.issue(), link_tokens.issue(lifetime_seconds=60)
    timer.seconds += 60
    assert anonymous.get(f"/browser-link/{opened}").status_code == 400
    assert anonymous.get(f"/browser-link/{printed}").status_code == 303
    late = link_tokens.issue()
    timer.seconds += 600
    assert anonymous.get(f"/browser-link/{late}").status_code == 400


def test_links_carry_256_bits_and_differ(link_tokens: LinkTokens) -> None:
    tokens = {link_tokens.issue() for _ in range(1000)}
    assert len(tokens) == 1000
    assert min(map(len, tokens)) >= 43


def test_a_prefetching_browser_does_not_use_up_the_link(
    anonymous: Visitor, link_tokens: LinkTokens
) -> None:
    path = f"/browser-link/{link_tokens.issue()}"
    ahead = anonymous.get(path, headers={"Sec-Purpose": "prefetch"})
    assert ahead.status_code == 403
    assert anonymous.get(path).status_code == 303


def test_the_token_is_in_no_log_line(
    anonymous: Visitor, link_tokens: LinkTokens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = link_tokens.issue()
    anonymous.get(f"/browser-link/{token}")
    anonymous.get(f"/browser-link/{token}")
    anonymous.get("/callback?state=the-state&code=the-code")
    assert "/browser-link/<token>" in caplog.text
    assert not [secret for secret in (token, "the-state", "the-code") if secret in caplog.text]


def test_the_cookie_is_not_accessible_to_scripts_and_other_sites(anonymous: Visitor) -> None:
    cookie = anonymous.sign_in().headers["Set-Cookie"]
    assert cookie.startswith(f"zw_session_{anonymous.services.settings.port}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_each_sign_in_creates_a_new_id_and_ends_the_old_one(visitor: Visitor) -> None:
    name = f"zw_session_{visitor.services.settings.port}"
    old = visitor.client.get_cookie(name)
    visitor.sign_in()
    new = visitor.client.get_cookie(name)
    assert old
    assert new
    assert old.value != new.value
    visitor.client.set_cookie(name, old.value)
    assert visitor.get("/status").status_code == 403


def test_an_id_chosen_by_someone_else_is_not_accepted(anonymous: Visitor) -> None:
    name = f"zw_session_{anonymous.services.settings.port}"
    anonymous.client.set_cookie(name, "chosen-by-an-attacker")
    anonymous.sign_in()
    given = anonymous.client.get_cookie(name)
    assert given
    assert given.value != "chosen-by-an-attacker"


def test_a_session_ends_after_half_an_hour_without_requests(
    visitor: Visitor, timer: FakeTimer
) -> None:
    timer.seconds += 29 * 60
    assert visitor.get("/status").status_code == 200
    timer.seconds += 30 * 60
    assert visitor.get("/status").status_code == 403


def test_a_session_ends_after_twelve_hours_of_use(visitor: Visitor, timer: FakeTimer) -> None:
    for _ in range(12 * 6 - 1):
        timer.seconds += 10 * 60
        assert visitor.get("/status").status_code == 200
    timer.seconds += 10 * 60
    assert visitor.get("/status").status_code == 403


def test_signing_out_ends_the_session_on_the_server(visitor: Visitor) -> None:
    name = f"zw_session_{visitor.services.settings.port}"
    cookie = visitor.client.get_cookie(name)
    assert cookie
    assert visitor.submit_form("/sign-out").status_code == 303
    visitor.client.set_cookie(name, cookie.value)
    assert visitor.get("/status").status_code == 403


def test_a_session_ends_with_its_server(
    visitor: Visitor, services: Services, link_tokens: LinkTokens
) -> None:
    name = f"zw_session_{services.settings.port}"
    cookie = visitor.client.get_cookie(name)
    assert cookie is not None
    restarted = Visitor(
        create_app(services, link_tokens=link_tokens).test_client(), services, link_tokens
    )
    restarted.client.set_cookie(name, cookie.value)
    assert restarted.get("/status").status_code == 403


def test_two_instances_on_one_computer_do_not_end_each_others_sessions(
    visitor: Visitor, services: Services, link_tokens: LinkTokens, tmp_path: Path
) -> None:
    """A browser sends the cookies of one port to all ports of a host."""
    port = services.settings.port + 1
    settings = replace(settings_for(tmp_path / "second", services.zoho.instance), port=port)
    with Services.open(settings) as second:
        other = Visitor(
            create_app(second, link_tokens=link_tokens).test_client(), second, link_tokens
        )
        cookie = visitor.client.get_cookie(f"zw_session_{port - 1}")
        assert cookie is not None
        other.client.set_cookie(f"zw_session_{port - 1}", cookie.value)
        assert other.get("/status").status_code == 403, "a session of the first opens nothing here"
        signed_in = other.sign_in("/status")
        assert signed_in.headers["Set-Cookie"].startswith(f"zw_session_{port}=")
        visitor.client.set_cookie(f"zw_session_{port}", "of the second")
        other.get("/status")
        assert visitor.get("/status").status_code == 200


def test_a_page_creates_a_link_for_a_private_window(
    connected: Visitor, new_visitor: Callable[[], Visitor]
) -> None:
    page = connected.submit_form("/connections/leads/link").text
    link = page.split('data-copy="', 1)[1].split('"', 1)[0]
    private = new_visitor()
    entered = private.get(link.removeprefix(connected.services.settings.base_url))
    assert entered.location == "/connections/leads"
    assert private.get("/connections/leads").status_code == 200
