"""Logs with levels, as text and as JSON Lines; the code of the failure with each HTTP 500."""

import json
import logging
import signal
import sqlite3
from contextlib import closing

import pytest
import requests
from support.harness import Harness
from support.shell import Shell
from support.web_visitor import Visitor

from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens


def test_a_log_has_a_level_and_is_json_on_request(shell: Shell) -> None:
    logs = []
    for level in ("info", "error"):
        serving = shell.start("--log-format", "json", "--log-level", level, "serve")
        link = serving.wait_for_stderr(r"http://localhost:\d+/browser-link/\S+")
        assert requests.get(link, timeout=10).status_code == 200
        lines = serving.finish(signal.SIGTERM).stderr.splitlines()
        logs.append([json.loads(line) for line in lines if line.startswith("{")])
    infos, errors = logs
    assert {frozenset(each) for each in infos} == {frozenset({"at", "level", "logger", "message"})}
    assert {each["level"] for each in infos} == {"info"}
    assert errors == []


def test_the_code_of_the_failure_is_logged_with_each_500(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.add_connection("crm")
    link_tokens = LinkTokens()
    app = create_app(harness.services, link_tokens=link_tokens)
    visitor = Visitor(app.test_client(), harness.services, link_tokens)
    visitor.sign_in("/status")
    with closing(sqlite3.connect(harness.services.paths.database)) as raw, raw:
        raw.execute("ALTER TABLE clients RENAME TO lost")
    assert visitor.get("/clients").status_code == 500
    records = [each for each in caplog.records if each.name.startswith("wizard.web")]
    errors = [each.getMessage() for each in records if each.levelno == logging.ERROR]
    assert len(errors) == 2
    assert all("page-unforeseen" in each for each in errors)
