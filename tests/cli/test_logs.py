"""Logs with levels, as JSON Lines."""

import json
import signal

import requests
from support.shell import Shell


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
