"""Where the wizard's files are. Imports ``os`` and ``sys`` only: `token NAME` uses it.

Data and configuration are separate, so that a copy of the data doesn't contain the key::

    data      $XDG_DATA_HOME/zoho-wizard: database, cached access tokens, locks, socket,
              browser profiles
    config    $XDG_CONFIG_HOME/zoho-wizard: the key file, if the key isn't in a keyring; the
              address of the token host, if there is one
    cache     $XDG_CACHE_HOME/zoho-wizard: access tokens copied from a token host, for a minute

Locks, socket and cached tokens are in the data directory, so processes that share the data share
them, too, whatever the session's ``XDG_RUNTIME_DIR`` and ``XDG_CACHE_HOME`` are.

Without these variables, macOS and Windows have their own directories, as in platformdirs. If data
and configuration would share one directory, they are its ``data`` and ``config``.
``ZOHO_WIZARD_HOME=<dir>`` means ``<dir>/data``, ``<dir>/config`` and ``<dir>/cache``. With
``ZOHO_WIZARD_SIMULATOR_URL``, each has a subdirectory ``simulator``: live and simulated data never
mix.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module `typing` itself is expensive
    from collections.abc import Mapping

APP_NAME = "zoho-wizard"
CACHED_TOKEN_SUFFIX = ".token"  # noqa: S105 - no secret # ends the name of a cached access token

VARIABLE_PREFIX = "ZOHO_WIZARD_"
_NAMES = ("HOME", "SIMULATOR_URL", "PORT", "KEY_FILE", "BROWSER", "REMOTE", "DATABASE_URL")
KNOWN_VARIABLES = tuple(VARIABLE_PREFIX + name for name in _NAMES)
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Set by systemd for a service with credentials (systemd.exec(5))."""
KEY_CREDENTIAL = "zoho-wizard-key"
"""The name of the credential with the encryption key."""
SERVICE_VARIABLES = (
    *KNOWN_VARIABLES, "HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", CREDENTIALS_VARIABLE
)  # fmt: skip
"""The variables that a timer, a service or a command needs to find the same data and settings."""


_MAX_ADDRESS_CHARACTERS = 1024

SIMULATOR_AUTHORITY_FILE = "zoho-simulator-authority.pem"
"""The file with the certificate authority of a simulated Zoho at Zoho's real host names."""


class Paths:
    """The directories of one wizard, as absolute paths."""

    __slots__ = (
        "cache_dir", "config_dir", "data_dir", "given_database_url", "is_key_credential",
        "key_file", "simulator_url",
    )  # fmt: skip

    def __init__(
        self,
        data_dir: str,
        config_dir: str,
        cache_dir: str,
        simulator_url: str = "",
        key_file: str = "",
        given_database_url: str = "",
        is_key_credential: bool = False,
    ) -> None:
        self.data_dir = data_dir
        self.config_dir = config_dir
        self.cache_dir = cache_dir
        self.simulator_url = simulator_url  # of the simulated Zoho; empty: the real one
        self.key_file = key_file or os.path.join(config_dir, "key")
        self.given_database_url = given_database_url  # overrides the file
        self.is_key_credential = is_key_credential  # systemd gave it to this service

    def __repr__(self) -> str:
        return (
            f"Paths({self.data_dir!r}, {self.config_dir!r}, simulator_url={self.simulator_url!r})"
        )

    @property
    def database(self) -> str:
        return os.path.join(self.data_dir, "wizard.db")

    @property
    def database_url_file(self) -> str:
        """A file with the URL of the shared database, instead of the file `database`."""
        return os.path.join(self.config_dir, "database-url")

    @property
    def database_url(self) -> str:
        """The URL of the shared database; empty: the file `database` is used. Raises OSError."""
        return self.given_database_url or _read_line(self.database_url_file)

    @property
    def shared_store_marker(self) -> str:
        """A file with the ID of the shared store that this data directory uses. Where it exists,
        `database` isn't opened, even if the URL was forgotten."""
        return os.path.join(self.data_dir, "shared-store")

    @property
    def shared_store_id(self) -> str:
        """The ID of the shared store; empty if none was used here. Raises OSError."""
        return _read_line(self.shared_store_marker)

    @property
    def machine_file(self) -> str:
        """A file with the ID by which a shared store knows this data directory, and where it was
        made."""
        return os.path.join(self.data_dir, "machine")

    @property
    def machine(self) -> str:
        """The content of `machine_file`; empty if there is none. Raises OSError."""
        return _read_line(self.machine_file)

    @property
    def uses_shared_store(self) -> bool:
        """Whether this data directory uses a shared database, or did."""
        files = self.database_url_file, self.shared_store_marker
        return bool(self.given_database_url) or any(map(os.path.exists, files))

    def with_database_url(self, url: str) -> "Paths":
        """The same directories with the shared database at `url`."""
        return Paths(
            self.data_dir, self.config_dir, self.cache_dir, self.simulator_url, self.key_file, url,
            self.is_key_credential,
        )  # fmt: skip

    @property
    def token_dir(self) -> str:
        """The cached access tokens."""
        return os.path.join(self.data_dir, "tokens")

    @property
    def remote_file(self) -> str:
        """A file with the address of the token host."""
        return os.path.join(self.config_dir, "remote")

    @property
    def token_host_dir(self) -> str:
        """The access tokens copied from the token host, and the open connection to it."""
        return os.path.join(self.cache_dir, "token-host")

    def copied_token(self, name: str) -> str:
        """The copied access token of connection ``name``; empty: of the only one."""
        return os.path.join(self.token_host_dir, f"{_file_name(name)}{CACHED_TOKEN_SUFFIX}")

    @property
    def lock_dir(self) -> str:
        return os.path.join(self.data_dir, "locks")

    @property
    def socket(self) -> str:
        """The socket of the running wizard, for other processes of the same user."""
        return os.path.join(self.data_dir, "socket")

    @property
    def is_key_file_chosen(self) -> bool:
        """Whether the user chose the key file, so that the keyring isn't used."""
        return self.key_file != os.path.join(self.config_dir, "key")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever stored here."""
        stored = os.path.lexists(self.database) or os.path.lexists(self.token_dir)
        return not (stored or self.uses_shared_store)

    def token_file(self, name: str) -> str:
        """The cached access token of connection ``name``."""
        return os.path.join(self.token_dir, f"{_file_name(name)}{CACHED_TOKEN_SUFFIX}")

    def token_owner(self, name: str) -> str:
        """What the cached token of connection ``name`` is bound to: the name, and the Zoho instance
        that issued it. A file copied to the data of a different instance can't be read."""
        return f"{self.simulator_url.rstrip('/') if self.simulator_url else 'live'} {name}"

    def lock_file(self, name: str) -> str:
        """The lock under which the grant of connection ``name`` is refreshed or changed."""
        return os.path.join(self.lock_dir, f"{_file_name(name)}.lock")

    @property
    def serving_lock(self) -> str:
        """Held by the one wizard that serves this data; no connection's lock can have this name."""
        return os.path.join(self.lock_dir, "wizard.serving")

    @property
    def serving_address(self) -> str:
        """A file with the URL of the wizard that serves, or that served last."""
        return f"{self.serving_lock}-at"

    @property
    def served_log(self) -> str:
        """The access tokens that commands served, until they are in the history."""
        return os.path.join(self.data_dir, "served")

    @property
    def delivery_marker(self) -> str:
        """A file with the path of the destination that is being written, or was when its process
        was killed."""
        return f"{self.lock_file(':delivery')}.writing"

    @property
    def browser_dir(self) -> str:
        """The profiles of the assisted browser, kept after it ends only with ``--keep-profile``."""
        return os.path.join(self.data_dir, "browser")

    @property
    def keep_profiles_marker(self) -> str:
        """A file that says that these profiles are kept."""
        return f"{self.browser_dir}.kept"

    def profile_dir(self, account: str) -> str:
        """The browser profile in which ``account`` (an email address, or empty) signs in."""
        return os.path.join(self.browser_dir, f"account-{_file_name(account)}")

    @property
    def browser_lock(self) -> str:
        """Held while the assisted browser runs; no connection's lock can have this name."""
        return os.path.join(self.lock_dir, "browser.window")

    def prepare(self) -> None:
        """Create the directories, private.

        Raises ``data-directory-symlink``, ``data-directory-foreign-owner``,
        ``data-directory-writable-by-others``, ``data-directory-replaceable`` or
        ``data-directory-unwritable``.
        """
        for path in (self.data_dir, self.config_dir, self.token_dir, self.lock_dir):
            _prepare_directory(path)

    def require_irreplaceable(self) -> None:
        """Raise ``data-directory-replaceable`` or ``data-directory-symlink`` if another user can
        decide where a directory is. One that doesn't exist is accepted."""
        for path in (self.data_dir, self.config_dir, self.cache_dir):
            if os.path.lexists(path):
                _require_irreplaceable(path)


def locate(environ: "Mapping[str, str]", platform: str = sys.platform) -> Paths:
    """The paths that ``environ`` selects; creates nothing."""
    home = _home_directory(environ, platform)
    chosen = environ.get("ZOHO_WIZARD_HOME")
    if chosen:
        base = os.path.abspath(_expand_user(chosen, home))
        places = [os.path.join(base, each) for each in ("data", "config", "cache")]
    else:
        places = _default_places(environ, home, platform)
    simulator = environ.get("ZOHO_WIZARD_SIMULATOR_URL", "")
    if simulator:
        places = [os.path.join(each, "simulator") for each in places]
    key_file = environ.get("ZOHO_WIZARD_KEY_FILE", "")
    if key_file:
        key_file = os.path.abspath(_expand_user(key_file, home))
    credentials = environ.get(CREDENTIALS_VARIABLE, "")
    if not key_file and os.path.isabs(credentials):
        credential = os.path.join(credentials, KEY_CREDENTIAL)
        key_file = credential if os.path.lexists(credential) else ""
    is_credential = bool(credentials and key_file) and os.path.dirname(key_file) == credentials
    data, config, cache = places
    database_url = environ.get("ZOHO_WIZARD_DATABASE_URL", "")
    return Paths(data, config, cache, simulator, key_file, database_url, is_credential)


def remote_address(environ: "Mapping[str, str]") -> str:
    """The address of the token host, from the variable or the configuration; empty if this machine
    has its own connections."""
    chosen = environ.get("ZOHO_WIZARD_REMOTE")
    if chosen:
        return chosen
    try:
        with open(locate(environ).remote_file, encoding="utf-8") as file:
            return file.readline(_MAX_ADDRESS_CHARACTERS).strip()
    except (OSError, ValueError):
        return ""


def relative_setting(environ: "Mapping[str, str]") -> str:
    """The name of a setting with a relative path, which would mean another place in each working
    directory; empty if there is none."""
    for name in ("ZOHO_WIZARD_HOME", "ZOHO_WIZARD_KEY_FILE"):
        path = environ.get(name, "")
        if path and not os.path.isabs(_expand_user(path, os.path.sep)):
            return name
    return ""


def trusts_simulator(environ: "Mapping[str, str]") -> bool:
    """Whether programs with this environment trust the authority of a simulated Zoho, which then
    answers at Zoho's real host names."""
    return os.path.basename(environ.get("SSL_CERT_FILE", "")) == SIMULATOR_AUTHORITY_FILE


def current_user() -> str:
    """The name of the user; empty if the system has none, as in containers."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # depends on the system and the version of Python
        return ""


def host_name() -> str:
    """The name of this machine."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def user_name(uid: int) -> str:
    """The name of a user of this machine, else the number."""
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def is_root() -> bool:
    """Whether this process may do everything."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


MAX_UID = 2**32 - 2
"""The next number means "no user" to the kernel."""


def has_peer_credentials() -> bool:
    """Whether this system says which user is at the other end of a socket: Linux does; elsewhere
    only the owner is served."""
    import socket

    return hasattr(socket, "SO_PEERCRED")


def user_or_group_number(text: str) -> int | None:
    """The number in `text`; None if it isn't one that a user or a group can have."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_UID))
    return int(text) if is_number and int(text) <= MAX_UID else None


def resolve_user(text: str) -> tuple[int, str]:
    """The number and the name of a user, given by name or number.

    A number need not belong to a user of this machine: containers have their own. Raises
    ``unknown-user``, ``users-unknown-here``.
    """
    from wizard.errors import fail

    if not has_peer_credentials():
        raise fail("users-unknown-here")
    import pwd  # exists wherever the kernel reports the user

    number = user_or_group_number(text)
    try:
        found = pwd.getpwnam(text) if number is None else pwd.getpwuid(number)
    except KeyError:
        if number is None:
            raise fail("unknown-user", user=text[:80]) from None
        return number, text
    return found.pw_uid, found.pw_name


def _default_places(environ: "Mapping[str, str]", home: str, platform: str) -> list[str]:
    """Data, configuration and cache."""
    if platform == "win32":
        base = environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
        folder = os.path.join(base, APP_NAME)
        places = [folder, folder, os.path.join(folder, "Cache")]
    else:
        library = os.path.join(home, "Library")
        support = os.path.join(library, "Application Support")
        defaults = (
            (support, support, os.path.join(library, "Caches"))
            if platform == "darwin"
            else [
                os.path.join(home, *each)
                for each in ((".local", "share"), (".config",), (".cache",))
            ]
        )
        variables = ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        places = [
            # The base directory specification says to ignore a relative path.
            os.path.join(
                base if os.path.isabs(base := environ.get(name, "")) else default, APP_NAME
            )
            for name, default in zip(variables, defaults, strict=True)
        ]
    if places[0] == places[1]:
        places[:2] = os.path.join(places[0], "data"), os.path.join(places[1], "config")
    return places


def _home_directory(environ: "Mapping[str, str]", platform: str) -> str:
    """The user's home directory; the root if there is none, as in some containers."""
    if platform == "win32":
        return environ.get("USERPROFILE") or os.path.expanduser("~")
    home = environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_dir
    except (ImportError, KeyError):
        return os.path.sep


def _expand_user(path: str, home: str) -> str:
    first, slash, rest = path.partition("/")
    return f"{home}{slash}{rest}" if first == "~" else os.path.expanduser(path)


def _file_name(name: str) -> str:
    """``name`` as a file name that can't lead out of its directory."""
    return "".join(each if each.isalnum() or each in "-_." else f"%{ord(each):x}" for each in name)


def _read_line(path: str) -> str:
    """The line in a file; empty if there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def _require_irreplaceable(path: str) -> None:
    from wizard import files
    from wizard.errors import fail

    if risk := files.replacement_risk(path):
        parent, reason = risk
        raise fail("data-directory-replaceable", path=path, parent=parent, reason=reason)
    if os.path.islink(path):
        raise fail("data-directory-symlink", path=path, target=os.readlink(path))


def _prepare_directory(path: str) -> None:
    from wizard import files
    from wizard.errors import fail

    try:
        _require_irreplaceable(path)
        files.make_directory(path)
        found = os.lstat(path)
        if hasattr(os, "geteuid"):
            if found.st_uid != os.geteuid():
                raise fail("data-directory-foreign-owner", path=path, owner=str(found.st_uid))
            if found.st_mode & 0o022:
                raise fail(
                    "data-directory-writable-by-others", path=path, mode=oct(found.st_mode & 0o777)
                )
            if found.st_mode & 0o777 != files.DIRECTORY_MODE:
                os.chmod(path, files.DIRECTORY_MODE)
    except OSError as error:
        raise fail("data-directory-unwritable", path=path, reason=error.strerror or "") from error
