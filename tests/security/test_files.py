"""Files and directories: other users of the machine read and replace nothing."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.harness import Harness
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.errors import WizardError
from wizard.paths import locate
from wizard.services import Services
from wizard.settings import from_environment
from wizard.store.sqlite import _create_engine

SIMULATOR = {"ZOHO_WIZARD_SIMULATOR_URL": "http://127.0.0.1:8730"}


@pytest.fixture(params=[0o000, 0o002, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_after_using_the_simulator_first_the_live_data_directory_is_private_and_opens(
    tmp_path: Path,
) -> None:
    for chosen in (SIMULATOR, {}):
        with Services.open(from_environment({"HOME": str(tmp_path), **chosen})) as services:
            assert services.store.connections.all() == ()
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.rglob("*")}
    assert {str(path): mode for path, mode in modes.items() if mode & 0o077} == {}


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o000], indirect=True)
@pytest.mark.usefixtures("umask")
def test_whatever_the_umask_no_command_leaves_a_file_or_a_socket_that_others_can_use(
    shell: Shell, shell_harness: Harness
) -> None:
    def run(*words: str, stdin_text: str = "") -> None:
        """Run a command as a child of this process, with its umask."""
        subprocess.run(
            shell.command(*words),
            input=stdin_text,
            env=shell.environment,
            cwd=shell.directory,
            text=True,
            check=True,
            capture_output=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
        )

    shell_harness.add_verified_connection()
    run("token", "crm", "--force-refresh")
    run("destination", "add", "crm", "--profile", "dotenv", "--to", "app.env", "--yes")
    run("backup", "wizard.backup", stdin_text="four words make one\n")
    server = subprocess.Popen(
        shell.command("--debug", "serve"),
        env=shell.environment,
        cwd=shell.directory,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    with server, server.stderr as said:
        assert any("/browser-link/" in line for line in said)
        entries = [shell.directory / each for each in ("app.env", "wizard.backup", "home")]
        entries += (shell.directory / "home").rglob("*")
        kinds = {stat.S_IFMT(each.lstat().st_mode) for each in entries}
        modes = {str(each): stat.S_IMODE(each.lstat().st_mode) for each in entries}
        server.terminate()
        said.read()
    assert kinds == {stat.S_IFREG, stat.S_IFDIR, stat.S_IFSOCK}
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_a_file_that_signed_a_browser_in_is_removed_by_the_next_one_at_the_latest(
    shell: Shell,
) -> None:
    serving = shell.start("serve")
    serving.wait_for_stderr("http://localhost:")
    cache = Path(shell.environment["ZOHO_WIZARD_HOME"]) / "cache" / "simulator"
    cache.mkdir(parents=True)
    left = cache / "open-before.html"
    left.write_text("a link that is dead")
    os.utime(left, (1, 1))
    assert shell.run(ZOHO_WIZARD_BROWSER="/bin/true").exit_code == 0
    [led] = cache.glob("open-*.html")
    assert led != left
    assert stat.S_IMODE(led.stat().st_mode) == 0o600


def test_a_directory_readable_by_others_is_closed_to_them(tmp_path: Path) -> None:
    home = locate({"ZOHO_WIZARD_HOME": str(tmp_path)})
    for path in (home.data_dir, home.config_dir, home.token_dir, home.lock_dir):
        os.mkdir(path, 0o755)
    home.prepare()
    modes = {stat.S_IMODE(os.stat(path).st_mode) for path in tmp_path.rglob("*")}
    assert modes == {0o700}


def test_a_database_connection_that_is_not_durable_is_refused() -> None:
    engine = _create_engine(":memory:")  # SQLite uses no WAL there, as on some network file systems
    with pytest.raises(WizardError, match="store-unwritable"):
        engine.connect()
    engine.dispose()
