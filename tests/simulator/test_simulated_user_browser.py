"""Which browser the simulated user uses."""

from pathlib import Path

import pytest

from wizard.simulator.simulated_user import BrowserNotFoundError, find_browser
from wizard.simulator.simulated_user.browser import first_existing


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    path = tmp_path / "chromium"
    path.touch(mode=0o755)
    return path


def test_the_choice_of_the_user_comes_first(executable: Path, tmp_path: Path) -> None:
    others = tmp_path / "playwrights"
    others.touch()
    assert find_browser(executable, others) == executable


def test_a_chosen_browser_that_is_missing_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFoundError, match=r"no browser at .*nowhere.* Install Chrome"):
        find_browser(tmp_path / "nowhere", tmp_path / "playwrights")


def test_the_playwright_browser_comes_before_installed_ones(executable: Path) -> None:
    assert find_browser(None, executable) == executable


def test_the_first_existing_candidate_is_used(executable: Path, tmp_path: Path) -> None:
    assert first_existing([tmp_path / "missing", executable, tmp_path]) == executable


def test_without_a_browser_the_advice_shows_how_to_install_one(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFoundError, match="apt install chromium"):
        first_existing([tmp_path / "missing"])


def test_without_a_window_a_headless_browser_comes_first(
    executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = tmp_path / "bin" / "chromium-headless-shell"
    light.parent.mkdir()
    light.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(light.parent))
    assert find_browser(None, executable, headless=True) == light
    assert find_browser(None, executable) == executable
    assert find_browser(executable, tmp_path, headless=True) == executable
