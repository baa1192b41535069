"""Where the wizard's things are. Imports nothing but ``os``: the quick way of ``token`` uses it.

Data and configuration stand apart, so that a copy of the data alone holds no key::

    $XDG_DATA_HOME/zoho-wizard      database, cached access tokens, locks, socket, browser profiles
    $XDG_CONFIG_HOME/zoho-wizard    the key file, where no keyring holds the key

``ZOHO_WIZARD_HOME=<dir>`` puts them in ``<dir>/data`` and ``<dir>/config``. With
``ZOHO_WIZARD_SIMULATOR_URL``, both are subdirectories ``simulator`` of these: live and simulated
data never mix.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself would cost the quick way 10 ms
    from collections.abc import Mapping

APP_NAME = "zoho-wizard"
CACHED_TOKEN_SUFFIX = ".token"  # noqa: S105 - no secret # ends the name of a cached access token


class Paths:
    """The directories of one wizard, as absolute paths."""

    __slots__ = ("config_dir", "data_dir", "key_file", "simulator_url")

    def __init__(
        self, data_dir: str, config_dir: str, simulator_url: str, key_file: str = ""
    ) -> None:
        self.data_dir = data_dir
        self.config_dir = config_dir
        self.simulator_url = simulator_url  # the simulated Zoho's address; empty: the real one
        self.key_file = key_file or os.path.join(config_dir, "key")

    def __repr__(self) -> str:
        return f"Home({self.data_dir!r}, {self.config_dir!r}, simulator_url={self.simulator_url!r})"

    @property
    def database(self) -> str:
        return os.path.join(self.data_dir, "wizard.db")

    @property
    def cache_dir(self) -> str:
        return os.path.join(self.data_dir, "cache")

    @property
    def lock_dir(self) -> str:
        return os.path.join(self.data_dir, "locks")

    @property
    def socket(self) -> str:
        """Where a running instance answers other processes of the same user."""
        return os.path.join(self.data_dir, "socket")

    @property
    def is_key_file_chosen(self) -> bool:
        """Whether the person named the key file, which rules the keyring out."""
        return self.key_file != os.path.join(self.config_dir, "key")

    def cache_file(self, name: str) -> str:
        """The cached access token of connection ``name``."""
        return os.path.join(self.cache_dir, f"{_file_name(name)}{CACHED_TOKEN_SUFFIX}")

    def cache_owner(self, name: str) -> str:
        """What the cached token of connection ``name`` is bound to: the name, and the Zoho that
        issued it, so that a copied file is nothing in a home of another Zoho."""
        return f"{self.simulator_url.rstrip('/') if self.simulator_url else 'live'} {name}"

    def lock_file(self, name: str) -> str:
        """The lock under which the grant of connection ``name`` is refreshed or changed."""
        return os.path.join(self.lock_dir, f"{_file_name(name)}.lock")

    @property
    def serving_lock(self) -> str:
        """Held by the one wizard that serves this home; no connection's lock can have this name."""
        return os.path.join(self.lock_dir, "wizard.serving")

    @property
    def serving_address(self) -> str:
        """A file with the address of the pages of the wizard that serves, or that served last."""
        return f"{self.serving_lock}-at"

    @property
    def browser_dir(self) -> str:
        """The profiles of the assisted browser, while it runs; with ``--keep-profile`` longer."""
        return os.path.join(self.data_dir, "browser")

    @property
    def keep_profiles_marker(self) -> str:
        """A file that says that these profiles are to stay."""
        return f"{self.browser_dir}.kept"

    def profile_dir(self, account: str) -> str:
        """The browser profile in which ``account`` (an e-mail address, or empty) signs in."""
        return os.path.join(self.browser_dir, f"account-{_file_name(account)}")

    @property
    def browser_lock(self) -> str:
        """Held while the assisted browser runs; no connection's lock can have this name."""
        return os.path.join(self.lock_dir, "browser.window")

    def prepare(self) -> None:
        """Make the directories, for their owner alone.

        Raises ``home-symlink``, ``home-foreign-owner`` or ``home-writable-by-others`` for an
        unsafe one, ``home-unwritable`` where the system refuses.
        """
        for path in (self.data_dir, self.config_dir, self.cache_dir, self.lock_dir):
            _prepare_directory(path)


def locate(environ: "Mapping[str, str]") -> Paths:
    """Where things are by ``environ``; touches nothing."""
    simulator = environ.get("ZOHO_WIZARD_SIMULATOR_URL", "")
    chosen = environ.get("ZOHO_WIZARD_HOME")
    if chosen:
        base = os.path.abspath(os.path.expanduser(chosen))
        data, config = os.path.join(base, "data"), os.path.join(base, "config")
    else:
        user = environ.get("HOME") or os.path.expanduser("~")
        data = _xdg(environ, "XDG_DATA_HOME", user, ".local", "share")
        config = _xdg(environ, "XDG_CONFIG_HOME", user, ".config")
    if simulator:
        data, config = os.path.join(data, "simulator"), os.path.join(config, "simulator")
    key_file = environ.get("ZOHO_WIZARD_KEY_FILE", "")
    return Paths(
        data, config, simulator, os.path.abspath(os.path.expanduser(key_file)) * bool(key_file)
    )


def current_user() -> str:
    """Whose home is in use, by name; empty where the system does not tell, as in containers."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # by version of Python and by system
        return ""


def _xdg(environ: "Mapping[str, str]", variable: str, home: str, *default: str) -> str:
    # The base directory specification says to ignore a relative path.
    base = environ.get(variable, "")
    return os.path.join(base if os.path.isabs(base) else os.path.join(home, *default), APP_NAME)


def _file_name(name: str) -> str:
    """``name`` as a file name that cannot lead out of its directory."""
    return "".join(each if each.isalnum() or each in "-_." else f"%{ord(each):x}" for each in name)


def _make_private_directories(path: str) -> None:
    """Make a directory and whatever is missing above it, all of it for its owner alone: left to
    themselves those above would get what the umask says, and one of them is the live home.
    """
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        _make_private_directories(above)
    os.makedirs(path, mode=0o700, exist_ok=True)


def _prepare_directory(path: str) -> None:
    from wizard.errors import fail

    try:
        _make_private_directories(path)
        found = os.lstat(path)
        if os.path.islink(path):
            raise fail("home-symlink", path=path, target=os.readlink(path))
        if hasattr(os, "geteuid"):
            if found.st_uid != os.geteuid():
                raise fail("home-foreign-owner", path=path, owner=str(found.st_uid))
            if found.st_mode & 0o022:
                raise fail("home-writable-by-others", path=path, mode=oct(found.st_mode & 0o777))
            os.chmod(path, 0o700)
    except OSError as error:
        raise fail("home-unwritable", path=path, reason=error.strerror or "") from error
