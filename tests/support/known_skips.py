"""The option ``--known-skips FILE``: any skip not in the file fails the run."""

import tomllib
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--known-skips",
        type=Path,
        help="fail if a test is skipped that this TOML file doesn't list with its reason",
    )


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--known-skips", None)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(KnownSkips(path))


class KnownSkips:
    """Notes the skips that the file doesn't list."""

    def __init__(self, path: Path) -> None:
        listed = tomllib.loads(path.read_text("utf-8")).get("skip", ())
        self.path = path
        self.known = {(each["test"], each["reason"]) for each in listed}
        self.new: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "skipped" or not isinstance(report.longrepr, tuple):
            return
        test = report.nodeid.partition("[")[0]
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if (test, reason) not in self.known:
            self.new.append(f"{report.nodeid}: {reason}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.new:
            terminalreporter.section(f"skipped, and not in {self.path}", red=True)
            for each in self.new:
                terminalreporter.line(each)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.new and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
