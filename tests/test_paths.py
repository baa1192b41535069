"""Paths of the wizard's files."""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from wizard.errors import WizardError, explain
from wizard.paths import Paths, locate

PLATFORMS: dict[str, type[Unix | MacOS | Windows]] = {
    "linux": Unix,
    "darwin": MacOS,
    "win32": Windows,
}
LOCAL_APPDATA = r"C:\Users\anna\AppData\Local"
XDG = {"XDG_DATA_HOME": "/x/data", "XDG_CONFIG_HOME": "/x/config", "XDG_CACHE_HOME": "/x/cache"}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("xdg", [(), *([name] for name in XDG), XDG], ids=str)
def test_paths_match_those_of_platformdirs(
    platform: str, xdg: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {
        "HOME": "/home/anna",
        "LOCALAPPDATA": LOCAL_APPDATA,
        "WIN_PD_OVERRIDE_LOCAL_APPDATA": LOCAL_APPDATA,  # on other systems, it can't query Windows
        **{name: XDG[name] for name in xdg},
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    theirs = PLATFORMS[platform]("zoho-wizard", appauthor=False)
    data, config = theirs.user_data_dir, theirs.user_config_dir
    if data == config:
        data, config = f"{data}/data", f"{config}/config"
    ours = locate(environ, platform)
    assert (ours.data_dir, ours.config_dir, ours.cache_dir) == (data, config, theirs.user_cache_dir)


def test_locks_socket_and_cached_tokens_depend_on_the_data_directory_only() -> None:
    session = {"XDG_CACHE_HOME": "/c", "XDG_RUNTIME_DIR": "/run/user/1", "XDG_STATE_HOME": "/s"}
    one, other = locate({"HOME": "/h"}), locate({"HOME": "/h", **session, "TMPDIR": "/t"})
    assert other.cache_dir == "/c/zoho-wizard"
    for places in (one, other):
        derived = (places.lock_dir, places.socket, places.token_dir, places.browser_dir)
        assert {os.path.dirname(each) for each in derived} == {one.data_dir}


def test_a_relative_xdg_directory_is_ignored() -> None:
    home = locate({"HOME": "/h", "XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "relative"})
    assert home.data_dir == "/data/zoho-wizard"
    assert home.config_dir == "/h/.config/zoho-wizard"


@pytest.mark.parametrize("environ", [{"HOME": ""}, {}])
def test_an_empty_data_directory_variable_counts_as_unset(environ: dict[str, str]) -> None:
    own = pwd.getpwuid(os.getuid()).pw_dir
    assert locate(environ).data_dir == f"{own}/.local/share/zoho-wizard"
    chosen = locate({**environ, "ZOHO_WIZARD_HOME": "~/w", "ZOHO_WIZARD_KEY_FILE": "~/key"})
    assert (chosen.data_dir, chosen.key_file) == (f"{own}/w/data", f"{own}/key")


def test_one_variable_moves_every_path() -> None:
    home = locate({"HOME": "/h", "ZOHO_WIZARD_HOME": "/srv/wizard/"})
    places = (home.data_dir, home.config_dir, home.cache_dir)
    assert places == ("/srv/wizard/data", "/srv/wizard/config", "/srv/wizard/cache")


def test_the_simulator_paths_are_below_the_live_ones() -> None:
    live = locate({"HOME": "/h"})
    home = locate({"HOME": "/h", "ZOHO_WIZARD_SIMULATOR_URL": "http://127.0.0.1:8730"})
    assert home.simulator_url
    assert home.data_dir == f"{live.data_dir}/simulator"
    assert home.config_dir == f"{live.config_dir}/simulator"
    assert home.cache_dir == f"{live.cache_dir}/simulator"


def test_a_given_key_file_is_used() -> None:
    home = locate({"HOME": "/h", "ZOHO_WIZARD_KEY_FILE": "/run/key"})
    assert home.key_file == "/run/key"
    assert home.is_key_file_chosen
    assert not locate({"HOME": "/h"}).is_key_file_chosen


def test_no_name_leaves_the_cache() -> None:
    home = locate({"HOME": "/h"})
    for name in ("../../etc/passwd", "..", "/etc/passwd", "a\x00b", "a/b", "C:\\x"):
        assert os.path.dirname(os.path.abspath(home.token_file(name))) == home.token_dir
        assert "\x00" not in home.lock_file(name)
    assert home.token_file("crm") == f"{home.token_dir}/crm.token"


def test_directories_are_created_private(tmp_path: Path) -> None:
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


def test_a_directory_writable_by_others_is_refused(tmp_path: Path) -> None:
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path)})
    os.mkdir(home.data_dir)
    os.chmod(home.data_dir, 0o777)
    assert _refusal(home).failure.code == "data-directory-writable-by-others"
    assert stat.S_IMODE(os.stat(home.data_dir).st_mode) == 0o777


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path / "home")})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").mkdir()
    os.symlink(tmp_path / "elsewhere", home.data_dir)
    assert _refusal(home).failure.code == "data-directory-symlink"


def test_a_directory_of_a_different_user_is_refused(tmp_path: Path) -> None:
    foreign = "/usr"  # owned by root, unless root runs the test
    if os.geteuid() == 0:
        foreign = str(tmp_path / "foreign")
        os.mkdir(foreign, 0o700)
        os.chown(foreign, 12345, 12345)
    home = Paths(foreign, str(tmp_path / "config"), str(tmp_path / "cache"))
    assert _refusal(home).failure.code == "data-directory-foreign-owner"


def test_a_directory_that_another_user_could_replace_is_refused(tmp_path: Path) -> None:
    """Each ends before anything is made: below a directory of theirs, of everyone, of a group."""
    theirs, open_to_all, of_a_group = (tmp_path / name for name in ("their", "open", "group"))
    expected = {open_to_all: "writable-for-everyone"}
    for directory in (theirs, open_to_all, of_a_group):
        directory.mkdir(0o755)
    open_to_all.chmod(0o777)
    if os.geteuid() == 0:
        os.chown(theirs, 12345, 12345)
        os.chown(of_a_group, 0, 12345)
        of_a_group.chmod(0o775)
        expected |= {theirs: "different-owner", of_a_group: "writable-for-group"}
    for directory, reason in expected.items():
        failure = _refusal(locate({"ZOHO_WIZARD_HOME": str(directory / "home")})).failure
        assert failure.code == "data-directory-replaceable"
        assert (failure.details["parent"], failure.details["reason"]) == (str(directory), reason)
        assert list(directory.iterdir()) == []
    link, behind = tmp_path / "link", open_to_all / "behind"
    behind.mkdir()
    link.symlink_to(behind)
    linked = _refusal(locate({"ZOHO_WIZARD_HOME": str(link / "home")})).failure
    assert linked.details["parent"] == str(open_to_all)
    open_to_all.chmod(0o1777)
    locate({"ZOHO_WIZARD_HOME": str(open_to_all / "home")}).prepare()


def test_a_link_on_the_way_that_another_user_could_replace_is_refused(tmp_path: Path) -> None:
    """The way leads through a directory of everyone, which neither the path nor its end shows."""
    ours, open_to_all = tmp_path / "ours", tmp_path / "open"
    ours.mkdir()
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (open_to_all / "hop").symlink_to(ours)
    (tmp_path / "link").symlink_to(open_to_all / "hop")
    failure = _refusal(locate({"ZOHO_WIZARD_HOME": str(tmp_path / "link" / "home")})).failure
    assert failure.code == "data-directory-replaceable"
    assert failure.details["parent"] == str(open_to_all)
    assert list(ours.iterdir()) == []
    open_to_all.chmod(0o1777)
    if os.geteuid() == 0:
        os.lchown(open_to_all / "hop", 12345, 12345)
        failure = _refusal(locate({"ZOHO_WIZARD_HOME": str(tmp_path / "link" / "home")})).failure
        assert failure.details["parent"] == str(open_to_all / "hop")
        assert failure.details["reason"] == "different-owner"
        os.lchown(open_to_all / "hop", 0, 0)
    locate({"ZOHO_WIZARD_HOME": str(tmp_path / "link" / ".." / "ours" / "home")}).prepare()
    (tmp_path / "round").symlink_to("round")
    loop = _refusal(locate({"ZOHO_WIZARD_HOME": str(tmp_path / "round" / "home")})).failure
    assert loop.code == "data-directory-unwritable"


def test_a_current_directory_that_is_gone_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    locate({"ZOHO_WIZARD_HOME": str(tmp_path / "home")}).prepare()


def test_a_file_in_place_of_the_directory_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path / "file")})
    assert _refusal(home).failure.code == "data-directory-unwritable"


def test_looking_up_paths_imports_only_os() -> None:
    asked = (
        "import sys; import os; before = set(sys.modules); import wizard.paths;"
        "wizard.paths.locate(os.environ).token_file('x');"
        "print(*sorted(set(sys.modules) - before))"
    )
    found = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["wizard", "wizard.paths"]


def test_a_system_without_user_ids_works() -> None:
    # As on a system without a table of users, and in a container whose user has no row in it.
    program = (
        "import sys; sys.modules['pwd'] = None; from wizard.paths import current_user; "
        "print([current_user()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['']"
