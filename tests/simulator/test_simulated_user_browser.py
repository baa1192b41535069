"""Which browser the simulated person takes."""

from pathlib import Path

import pytest

from wizard.simulator.simulated_user import BrowserNotFoundError, find_browser
from wizard.simulator.simulated_user.browser import first_existing


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    path = tmp_path / "chromium"
    path.touch(mode=0o755)
    return path


def test_the_users_own_choice_comes_first(executable: Path, tmp_path: Path) -> None:
    others = tmp_path / "playwrights"
    others.touch()
    assert find_browser(executable, others) == executable


def test_a_choice_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFoundError, match=r"no browser at .*nowhere.* Install Chrome"):
        find_browser(tmp_path / "nowhere", tmp_path / "playwrights")


def test_playwrights_own_browser_comes_before_installed_ones(executable: Path) -> None:
    assert find_browser(None, executable) == executable


def test_the_first_candidate_that_is_there_is_taken(executable: Path, tmp_path: Path) -> None:
    assert first_existing([tmp_path / "missing", executable, tmp_path]) == executable


def test_without_any_the_advice_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFoundError, match="apt install chromium"):
        first_existing([tmp_path / "missing"])


def test_where_no_window_is_needed_a_browser_without_one_comes_first(
    executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = tmp_path / "bin" / "chromium-headless-shell"
    light.parent.mkdir()
    light.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(light.parent))
    assert find_browser(None, executable, headless=True) == light
    assert find_browser(None, executable) == executable
    assert find_browser(executable, tmp_path, headless=True) == executable
