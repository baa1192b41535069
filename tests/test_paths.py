"""Where the wizard's things are."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from wizard.errors import WizardError, explain
from wizard.paths import Paths, locate


def test_data_and_configuration_stand_apart_in_the_users_directories() -> None:
    home = locate({"HOME": "/home/anna"})
    assert home.data_dir == "/home/anna/.local/share/zoho-wizard"
    assert home.config_dir == "/home/anna/.config/zoho-wizard"
    assert home.database.startswith(home.data_dir)
    assert home.key_file.startswith(home.config_dir)
    assert not home.simulator_url


def test_xdg_directories_are_honoured_unless_they_are_relative() -> None:
    home = locate({"HOME": "/h", "XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "relative"})
    assert home.data_dir == "/data/zoho-wizard"
    assert home.config_dir == "/h/.config/zoho-wizard"


def test_one_variable_moves_everything() -> None:
    home = locate({"HOME": "/h", "ZOHO_WIZARD_HOME": "/srv/wizard/"})
    assert (home.data_dir, home.config_dir) == ("/srv/wizard/data", "/srv/wizard/config")


def test_the_simulator_lives_below_the_live_home() -> None:
    live = locate({"HOME": "/h"})
    home = locate({"HOME": "/h", "ZOHO_WIZARD_SIMULATOR_URL": "http://127.0.0.1:8730"})
    assert home.simulator_url
    assert home.data_dir == f"{live.data_dir}/simulator"
    assert home.config_dir == f"{live.config_dir}/simulator"


def test_a_named_key_file_is_used() -> None:
    home = locate({"HOME": "/h", "ZOHO_WIZARD_KEY_FILE": "/run/key"})
    assert home.key_file == "/run/key"
    assert home.is_key_file_chosen
    assert not locate({"HOME": "/h"}).is_key_file_chosen


def test_no_name_leads_out_of_the_cache() -> None:
    home = locate({"HOME": "/h"})
    for name in ("../../etc/passwd", "..", "/etc/passwd", "a\x00b", "a/b", "C:\\x"):
        assert os.path.dirname(os.path.abspath(home.token_file(name))) == home.token_dir
        assert "\x00" not in home.lock_file(name)
    assert home.token_file("crm") == f"{home.token_dir}/crm.token"


def test_directories_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path / "deep" / "home")})
    before = os.umask(0)
    try:
        home.prepare()
        home.prepare()
    finally:
        os.umask(before)
    for path in (home.data_dir, home.config_dir, home.token_dir, home.lock_dir):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


def _refusal(paths: Paths) -> WizardError:
    with pytest.raises(WizardError) as caught:
        paths.prepare()
    finding = explain(caught.value.failure)
    assert finding.exit_code == 5
    assert "…" not in finding.title + finding.cause
    return caught.value


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path)})
    os.mkdir(home.data_dir)
    os.chmod(home.data_dir, 0o777)
    assert _refusal(home).failure.code == "home-writable-by-others"
    assert stat.S_IMODE(os.stat(home.data_dir).st_mode) == 0o777


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path / "home")})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").mkdir()
    os.symlink(tmp_path / "elsewhere", home.data_dir)
    assert _refusal(home).failure.code == "home-symlink"


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    foreign = "/usr"  # root's, for everybody but root
    if os.geteuid() == 0:
        foreign = str(tmp_path / "foreign")
        os.mkdir(foreign, 0o700)
        os.chown(foreign, 12345, 12345)
    home = Paths(foreign, str(tmp_path / "config"), str(tmp_path / "cache"))
    assert _refusal(home).failure.code == "home-foreign-owner"


def test_a_file_in_place_of_the_directory_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path / "file")})
    assert _refusal(home).failure.code == "home-unwritable"


def test_looking_where_things_are_imports_nothing_beyond_os() -> None:
    asked = (
        "import sys; import os; before = set(sys.modules); import wizard.paths;"
        "wizard.paths.locate(os.environ).token_file('x');"
        "print(*sorted(set(sys.modules) - before))"
    )
    found = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["wizard", "wizard.paths"]


def test_a_system_that_knows_no_user_is_no_trouble() -> None:
    # As on a system without a table of users, and in a container whose user has no row in it.
    program = (
        "import sys; sys.modules['pwd'] = None; from wizard.paths import current_user; "
        "print([current_user()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['']"
