"""``uninstall``: everything that the wizard has on this machine, listed and removed."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import click

from wizard.cli.commands.service import (
    SHARED_DIRECTORY,
    SYSUSERS_FILE,
    Manager,
    created_user,
    find_manager,
    remove_units,
    run_systemd,
    service_command,
)
from wizard.cli.flows.units import STARTED_UNITS, SYSTEM_HOME, Scope
from wizard.cli.results.installation import Uninstallation, UninstalledPlace
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.errors import WizardError, fail, message
from wizard.fastpath.cipher import key_from_text, load_key
from wizard.fastpath.token_host import parse_address
from wizard.local_api import default_shared_directory, find_service
from wizard.paths import Paths, is_root
from wizard.vault import NEW_KEY_SUFFIX, Keyring, KeyringUnavailable

DATA = (
    "wizard.db*", "tokens", "locks", "socket*", "shared", "served", "browser", "browser.kept",
    "without-key-*", "shared-store", "machine", "simulator.json", "simulator",
)  # fmt: skip
"""What the data directory contains, as patterns. It may contain files of the user, too."""
CONFIGURATION = ("key", "key.new", "database-url", "remote", "simulator")
CACHE = ("open-*.html", "token-host", "simulator")
_CONTENTS = {
    "tokens": ("*.token*",),
    "token-host": ("*.token*", "[0-9a-f]" * 40 + "*"),
    "locks": ("*.lock*", "wizard.serving*", "browser.window"),
    "shared": ("socket*",),
    "zoho-wizard-*": ("socket*",),
    "browser": ("account-*",),
    "without-key-*": ("wizard.db", "key"),
    "simulator": (*DATA, *CONFIGURATION, *CACHE),
}
"""What a directory with a name like this contains."""
_WHOLE = ("account-*", Path(SYSTEM_HOME).name)
"""Directories in which everything is the wizard's: profiles of the browser, and those of the
system service."""
_MARKS = {
    "wizard.db": re.compile(rb"SQLite format 3\x00"),
    "shared-store": re.compile(rb"[0-9a-f]{32}$"),
    "simulator.json": re.compile(rb'{"format": '),
    "database-url": re.compile(rb"postgres(ql)?://"),
    "*.token": re.compile(rb"\d+ \d+\x00ssh://"),
}
"""What shows that the wizard has used a directory, as a key or the address of a token host does,
and how it begins."""
_WITH_MARKS = ("simulator", "token-host", "without-key-*")
"""Directories that may contain a mark."""
_MARK_BYTES = 100


@click.command()
@click.option(
    "--revoke",
    is_flag=True,
    help="First revoke all refresh tokens at Zoho. Default: they keep working.",
)
@click.option("--yes", is_flag=True, help="Don’t ask for confirmation. A script needs it.")
@click.option("--dry-run", is_flag=True, help="List what would be removed. Change nothing.")
@pass_terminal
def uninstall(terminal: Terminal, revoke: bool, yes: bool, dry_run: bool) -> None:
    """Remove all of the wizard’s data, keys and services.

    It lists everything and asks first. Destinations keep the credentials that they have, and
    backups stay where you wrote them. As root, it also removes the system service, with its data
    and its user. The program itself stays: remove it the way you installed it.

    \b
    Examples:
      zoho-wizard uninstall --dry-run
      zoho-wizard uninstall --revoke
      sudo zoho-wizard uninstall --yes
    """
    plan = _Plan(terminal, revoke)
    if not dry_run:
        if not yes:
            _print_plan(terminal, plan.places, plan.to_revoke, plan.destinations)
            terminal.confirm(message("prompts", "uninstall"), option="--yes")
        plan.carry_out()
    result = plan.result(is_dry_run=dry_run)
    terminal.emit(result, lambda: _print_result(terminal, result))


class _Plan:
    """What is to be removed, in the order in which it is removed."""

    def __init__(self, terminal: Terminal, revoke: bool) -> None:
        self._terminal = terminal
        self._paths = terminal.settings.paths
        self._paths.require_irreplaceable()
        require_used(self._paths)
        self._revokes = revoke
        if revoke and self._paths.uses_shared_store:
            raise fail("uninstall-revoke-shared")
        scopes: tuple[Scope, ...] = ("user", "system") if is_root() else ("user",)
        self._managers = [find_manager(terminal, scope) for scope in scopes]
        self._system = next(
            (e for e in self._managers if e.scope == "system" and e.installed()), None
        )
        self._user = created_user() if is_root() else ""
        self._machine: str | None = None
        self.connections, self.destinations = self._read_store()
        self._keyrings = [
            each
            for instance in _instances(self._paths)
            for suffix in ("", NEW_KEY_SUFFIX)
            if (each := _keyring_of(instance, suffix))
        ]
        self.places = (*self._find_places(), *self._find_own_places())
        self._revoked: tuple[str, ...] = ()

    @property
    def to_revoke(self) -> tuple[str, ...]:
        """The connections that are revoked first."""
        return self.connections if self._revokes else ()

    def result(self, *, is_dry_run: bool) -> Uninstallation:
        """The plan, or what was done of it."""
        return Uninstallation(
            is_dry_run,
            self.places,
            self.to_revoke if is_dry_run else self._revoked,
            () if self._revokes else self.connections,
            self.destinations,
            self._machine,
        )

    def carry_out(self) -> None:
        """Revoke, stop and remove. Raises before anything is removed if a token can't be
        revoked."""
        is_started_by_hand = not any(each.installed(("serve",)) for each in self._managers)
        if is_started_by_hand:
            self._require_stopped()
        if self.to_revoke:
            self._revoke()
        if self._system:
            self._remove_system_data(self._system)
        for manager in self._managers:
            remove_units(manager, is_dry_run=False)
        self._require_stopped()
        self._terminal.close()
        for keyring in self._keyrings:
            with suppress(KeyringUnavailable):
                keyring.delete()
        for place in self.places:
            if place.kind not in ("keyring", "user"):
                remove_known(Path(place.location))
        for directory in _directories(self._paths):
            _remove_if_empty(directory)
        if any(place.kind == "user" for place in self.places):
            run_systemd(("userdel", self._user))

    def _require_stopped(self) -> None:
        if find_service(Path(self._paths.socket)):
            raise fail("uninstall-while-served", path=self._paths.data_dir)

    def _read_store(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The connections with a refresh token, and the destinations; nothing without the key,
        which is needed only to revoke."""
        if self._paths.is_empty:
            return (), ()
        try:
            store = self._terminal.services.store
        except WizardError:
            if self._revokes:
                raise
            return (), ()
        names = [each.name for each in store.connections.all() if store.grants.revocable(each.name)]
        targets = dict.fromkeys(each.target for each in store.destinations.all())
        self._machine = next((e.name for e in store.machines.all() if e.is_here), None)
        return tuple(names), tuple(targets)

    def _revoke(self) -> None:
        services, done = self._terminal.services, []
        for name in self.to_revoke:
            for grant in services.store.grants.revocable(name):
                services.tokens.revoke(grant)
            done.append(name)
        self._revoked = tuple(done)

    def _remove_system_data(self, manager: Manager) -> None:
        """Have the service's user remove its data, which needs the service's key to revoke."""
        run_systemd(
            manager.command("stop", *(e for e in STARTED_UNITS if e in manager.installed()))
        )
        options = ["--revoke"] if self._revokes else []
        words = ("uninstall", "--yes", "--json", *options)
        done = subprocess.run(  # noqa: S603 - ourselves, as the service's user
            service_command(words, is_terminal=False),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [str(done.returncode)])[-1]
            raise fail("service-command", command="zoho-wizard uninstall", reason=reason[:500])
        self._revoked += tuple(json.loads(done.stdout)["revoked"])

    def _find_places(self) -> Iterator[UninstalledPlace]:
        for manager in self._managers:
            for name in manager.installed():
                yield UninstalledPlace("unit", str(manager.unit_path(name)))
            if manager.credential_file.exists():
                yield UninstalledPlace("key", str(manager.credential_file))
        if is_root() and SYSUSERS_FILE.exists():
            yield UninstalledPlace("unit", str(SYSUSERS_FILE))
        if self._user:
            yield UninstalledPlace("user", self._user)
        if is_root():
            for kind, path in (
                ("data", Path(SYSTEM_HOME)),
                ("runtime", SHARED_DIRECTORY),
            ):
                if path.exists():
                    yield UninstalledPlace(kind, str(path))
        for keyring in self._keyrings:
            yield UninstalledPlace("keyring", keyring.label)
        paths = self._paths
        if (
            paths.is_key_file_chosen
            and not paths.is_key_credential
            and _has_key(Path(paths.key_file))  # the variable may name any file
        ):
            yield UninstalledPlace("key", paths.key_file)
        shared = default_shared_directory(paths)
        if shared.exists() and shared.parent != Path(paths.data_dir):
            yield UninstalledPlace("runtime", str(shared))

    def _find_own_places(self) -> list[UninstalledPlace]:
        """What is in the wizard's directories, with its marks at the end: if the removal stops, it
        can be repeated."""
        found = _own_paths(self._paths)
        return [UninstalledPlace(found[e], str(e)) for e in sorted(found, key=_is_mark)]


def _own_paths(paths: Paths) -> dict[Path, str]:
    """What has the name of something of the wizard in its directories, with its kind."""
    return {
        path: kind
        for kind, directory, patterns in (
            ("data", paths.data_dir, DATA),
            ("configuration", paths.config_dir, CONFIGURATION),
            ("cache", paths.cache_dir, CACHE),
        )
        for pattern in patterns
        for path in sorted(Path(directory).glob(pattern))
        if any(_known_paths(path))
    }


def require_used(paths: Paths) -> None:
    """Raise ``uninstall-foreign-directory`` if the wizard's directories have files with the names
    that it uses, and no mark of it."""
    found = _own_paths(paths)
    files = (each for path in found for each in _known_paths(path) if not each.is_dir())
    if not any(map(_is_mark, found)) and any(each.lstat().st_size for each in files):
        raise fail("uninstall-foreign-directory", path=paths.data_dir)


def _instances(paths: Paths) -> list[Paths]:
    """The live installation, and that of the simulator below it."""
    below = os.path.join(paths.data_dir, "simulator")
    simulated = Paths(below, paths.config_dir, paths.cache_dir, paths.simulator_url or "simulator")
    return [paths, *([simulated] if not paths.simulator_url and os.path.isdir(below) else [])]


def _keyring_of(paths: Paths, suffix: str) -> Keyring | None:
    """The keyring if it has the key of `paths`, or a new one of an interrupted rotation."""
    keyring = Keyring(paths, suffix)
    try:
        key, _ = keyring.read()
    except KeyringUnavailable:
        return None
    return keyring if key else None


def _directories(paths: Paths) -> Iterable[Path]:
    """The directories of the wizard, the innermost first, with the one that ZOHO_WIZARD_HOME may
    name."""
    own = [Path(each) for each in (paths.data_dir, paths.config_dir, paths.cache_dir)]
    outer = [each.parent for each in own] if paths.simulator_url else own
    parents = {each.parent for each in outer}
    return [*own, *outer, *(parents if len(parents) == 1 else ())]


def _is_mark(path: Path) -> bool:
    if any(fnmatchcase(path.name, each) for each in _WITH_MARKS):
        return any(map(_is_mark, path.glob("*")))
    if not path.is_file():  # a pipe would block
        return False
    try:
        if path.name == "key":
            return bool(load_key(str(path)))
        if path.name == "remote":
            return parse_address(path.read_text("utf-8").strip()) is not None
        with path.open("rb") as file:
            start = file.read(_MARK_BYTES)
    except (OSError, ValueError):
        return False
    return any(fnmatchcase(path.name, e) and found.match(start) for e, found in _MARKS.items())


def _has_key(path: Path) -> bool:
    """Whether a file has a key of the wizard, whoever may read it."""
    try:
        return path.is_file() and bool(key_from_text(path.read_bytes()))
    except (OSError, ValueError):
        return False


def _known_paths(path: Path, *, is_whole: bool = False) -> Iterator[Path]:
    """What the wizard has made at `path`; a directory, which may contain files of the user, after
    its contents."""
    if path.is_dir() and not path.is_symlink():
        is_whole = is_whole or any(fnmatchcase(path.name, each) for each in _WHOLE)
        named = (names for like, names in _CONTENTS.items() if fnmatchcase(path.name, like))
        patterns = ("*",) if is_whole else next(named, None)
        if patterns is None:
            return
        for pattern in patterns:
            for each in sorted(path.glob(pattern)):
                yield from _known_paths(each, is_whole=is_whole)
    yield path


def remove_known(place: Path) -> None:
    """Remove what the wizard has made at `place`. Raises ``uninstall-unremovable``."""
    for path in _known_paths(place):
        try:
            if path.is_dir() and not path.is_symlink():
                _remove_if_empty(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise fail("uninstall-unremovable", path=str(path), reason=reason) from error


def _remove_if_empty(directory: Path) -> None:
    with suppress(OSError):
        directory.rmdir()


def _print_plan(
    terminal: Terminal,
    places: Sequence[UninstalledPlace],
    revoked: Sequence[str],
    destinations: Sequence[str],
) -> None:
    rows = [(place.kind, place.location) for place in places]
    terminal.renderer.print_table(("Kind", "Location"), rows)
    if revoked:
        names = ", ".join(revoked)
        terminal.renderer.print_note(message("notes", "tokens-revoked-first", names=names))
    for target in destinations:
        code = "destination-keeps-revoked" if revoked else "destination-keeps-credentials"
        terminal.renderer.print_note(message("notes", code, target=target))


def _print_result(terminal: Terminal, result: Uninstallation) -> None:
    renderer = terminal.renderer
    if result.is_dry_run:
        _print_plan(terminal, result.places, result.revoked, result.destinations)
        return
    for name in result.revoked:
        renderer.print_note(message("notes", "revoked", name=name))
    if result.not_revoked:
        names = ", ".join(result.not_revoked)
        renderer.print_note(message("notes", "tokens-still-work", names=names))
    renderer.print_success(message("notes", "uninstalled"))
    if result.machine:
        command = f"zoho-wizard database machines remove {result.machine}"
        renderer.print_note(message("notes", "machine-left"), command=command)
    renderer.print_note(message("notes", "remove-program"), command="pipx uninstall zoho-wizard")
