"""The user's settings, read from the environment once."""

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wizard.errors import fail
from wizard.model import SimulatorProxy
from wizard.paths import (
    CREDENTIALS_VARIABLE,
    KNOWN_VARIABLES,
    SERVICE_VARIABLES,
    VARIABLE_PREFIX,
    Paths,
    locate,
    relative_setting,
    remote_address,
    trusts_simulator,
)

LIVE_PORT = 8723
SIMULATOR_PORT = 8733
"""The wizard's port with a simulator, so that it can run next to the live one."""


@dataclass(frozen=True)
class ServiceManagement:
    """What the service manager gave this process (sd_notify(3), sd_listen_fds(3))."""

    notify_socket: str = ""
    """Where it wants to know when the service is ready; empty: it doesn't."""
    watchdog_seconds: float = 0.0
    """How often it must hear of the service; 0: never."""
    has_socket: bool = False
    """Whether it opened a socket for the service."""


@dataclass(frozen=True)
class Settings:
    """The settings of one run."""

    paths: Paths
    simulator_url: str | None
    """The simulated Zoho's base URL; None: the real Zoho."""
    port: int
    browser_path: str | None
    """Path of the browser to use; None: the first one found."""
    simulator_proxy: SimulatorProxy | None = None
    """None: the simulated Zoho's hosts are paths below its URL."""
    remote: str = ""
    """The address of the token host; empty: this machine has its own connections."""
    remote_origin: str = ""
    """Where that address is: the name of the variable, or the path of the file."""
    is_over_ssh: bool = False
    """The user is at another machine and can't see a browser that is opened here."""
    ssh_request: str = ""
    """What the other machine asks, if sshd started this process with a forced command."""
    has_display: bool = False
    """There is an X11 or Wayland display; meaningless on other systems."""
    user_unit_dir: str = ""
    """Where the user's own systemd units are."""
    management: ServiceManagement = ServiceManagement()
    service_environment: Mapping[str, str] = field(default_factory=dict)
    """The variables behind these settings, which a timer or a service needs, too."""
    child_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment of commands that we start: the user's without any ``ZOHO_…``, so that they
    inherit neither the path of our key nor a client secret."""

    @property
    def base_url(self) -> str:
        """The wizard's own origin. Zoho accepts ``localhost``, and is known to reject 127.0.0.1."""
        return f"http://localhost:{self.port}"

    @property
    def redirect_uri(self) -> str:
        return f"{self.base_url}/callback"

    @contextmanager
    def restricted_environment(self, *, excluded: Collection[str] = ()) -> Iterator[None]:
        """Reduce this process's environment to `child_environment` without ``excluded``, for a
        library that starts a process with all of it."""
        strange = {name for name in os.environ if name not in self.child_environment}
        with without_variables({*strange, *excluded}):
            yield


@contextmanager
def without_variables(names: Collection[str]) -> Iterator[None]:
    """Remove variables from this process's environment until the block ends."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def command_environment(changes: Mapping[str, str], removed: Collection[str]) -> dict[str, str]:
    """The user's whole environment with `changes` and without `removed`, for a user's command."""
    kept = {name: value for name, value in os.environ.items() if name not in removed}
    return {**kept, **changes}


def from_environment(
    environ: Mapping[str, str] | None = None, *, changes: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings from ``environ`` (None: this process's own), with ``changes``.

    Raises ``unknown-setting`` (such as a misspelled name), ``relative-path``, ``bad-port``,
    ``bad-simulator-url``, ``database-password-in-url`` or ``live-mode-under-simulator``.
    """
    environ = {**(os.environ if environ is None else environ), **(changes or {})}
    for name in environ:
        if name.startswith(VARIABLE_PREFIX) and name not in KNOWN_VARIABLES:
            near = ", ".join(difflib.get_close_matches(name, KNOWN_VARIABLES, n=1))
            raise fail("unknown-setting", name=name, nearest=near, known=", ".join(KNOWN_VARIABLES))
    if name := relative_setting(environ):
        raise fail("relative-path", name=name, value=environ[name][:80])
    if _has_password(environ.get("ZOHO_WIZARD_DATABASE_URL", "")):
        raise fail("database-password-in-url")
    simulator_url = _simulator_url(environ.get("ZOHO_WIZARD_SIMULATOR_URL", ""))
    if simulator_url is None and trusts_simulator(environ):
        raise fail("live-mode-under-simulator", path=environ["SSL_CERT_FILE"])
    default_port = SIMULATOR_PORT if simulator_url else LIVE_PORT
    proxy = _simulator_proxy(environ)
    proxy_variables = (
        {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": proxy.authority_file} if proxy else {}
    )
    paths = locate(environ)
    return Settings(
        paths=paths,
        simulator_url=simulator_url,
        port=_port(environ.get("ZOHO_WIZARD_PORT", ""), default_port),
        browser_path=environ.get("ZOHO_WIZARD_BROWSER") or None,
        simulator_proxy=proxy,
        remote=remote_address(environ),
        remote_origin="ZOHO_WIZARD_REMOTE"
        if environ.get("ZOHO_WIZARD_REMOTE")
        else paths.remote_file,
        is_over_ssh="SSH_CONNECTION" in environ,
        ssh_request=environ.get("SSH_ORIGINAL_COMMAND", ""),
        has_display=bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")),
        user_unit_dir=_user_unit_dir(environ),
        management=_management(environ),
        service_environment={name: environ[name] for name in SERVICE_VARIABLES if environ.get(name)}
        | proxy_variables,
        child_environment={
            name: value
            for name, value in environ.items()
            if not (
                name.startswith("ZOHO_")
                or (paths.is_key_credential and name == CREDENTIALS_VARIABLE)
            )
        },
    )


def _simulator_proxy(environ: Mapping[str, str]) -> SimulatorProxy | None:
    """The proxy and the authority of a simulated Zoho, if the environment has both. The proxy is on
    this computer, as the simulator is."""
    url = environ.get("HTTPS_PROXY") or environ.get("https_proxy") or ""
    if not re.match(r"http://(127\.0\.0\.1|\[::1\]):\d+/?$", url) or not trusts_simulator(environ):
        return None
    return SimulatorProxy(url, os.path.abspath(environ["SSL_CERT_FILE"]))


def _user_unit_dir(environ: Mapping[str, str]) -> str:
    config = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(config):
        config = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(config, "systemd", "user")


def _management(environ: Mapping[str, str]) -> ServiceManagement:
    """The variables are inherited by children, whom most of them don't concern."""
    own = str(os.getpid())
    microseconds = environ.get("WATCHDOG_USEC", "")
    is_for_us = microseconds.isdecimal() and environ.get("WATCHDOG_PID", own) == own
    return ServiceManagement(
        notify_socket=environ.get("NOTIFY_SOCKET", ""),
        watchdog_seconds=int(microseconds) / 1e6 if is_for_us else 0.0,
        has_socket=environ.get("LISTEN_PID") == own and environ.get("LISTEN_FDS") == "1",
    )


def _has_password(url: str) -> bool:
    """Whether the URL of a database contains a password, also one that libpq couldn't use."""
    return re.search(r"//[^/?]*:[^/?]*@|[?&](ssl)?password=", url) is not None


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise fail("bad-port", value=text[:40])
    return int(text)


def _simulator_url(text: str) -> str | None:
    """The URL without a trailing slash. Only a loopback IP address: as ``localhost``, the simulator
    would share cookies with the wizard and hide cross-site bugs.
    """
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise fail("bad-simulator-url", value=text[:80]) from None
    name = f"[{host}]" if host == "::1" else host
    plain = host in ("127.0.0.1", "::1") and text.rstrip("/") == f"http://{name}:{port}"
    if not plain or port is None:
        raise fail("bad-simulator-url", value=text[:80])
    return text.rstrip("/")
