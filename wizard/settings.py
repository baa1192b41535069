"""The few choices a user has, read from the environment once."""

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wizard.errors import fail
from wizard.home import Home, locate

LIVE_PORT = 8723
SANDBOX_PORT = 8733
"""Another port in sandbox mode, so that both can run at a time and share no cookies' names."""

_PREFIX = "ZOHO_WIZARD_"
_KNOWN = tuple(_PREFIX + name for name in ("HOME", "ZOHO", "PORT", "KEY_FILE", "BROWSER"))
_CHOOSING = (*_KNOWN, "HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")


@dataclass(frozen=True)
class Settings:
    """What the environment chose."""

    home: Home
    sandbox_url: str | None
    """The simulated Zoho's base URL; None: the real Zoho."""
    port: int
    browser: str | None
    """Path of the browser to use; None: the first one found."""
    over_ssh: bool = False
    """The person sits at another machine, so that a browser opened here is not before them."""
    display: bool = False
    """There is a screen to open a window on (X11 or Wayland; elsewhere this says nothing)."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """The variables that made these settings: what a timer or a service must be given too."""
    child_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the commands that we start are given: the person's environment without any ``ZOHO_…``,
    so that neither the way to our key nor somebody's client secret is inherited."""

    @property
    def base_url(self) -> str:
        """The wizard's own origin. Zoho takes ``localhost``, and was seen to refuse 127.0.0.1."""
        return f"http://localhost:{self.port}"

    @property
    def redirect_uri(self) -> str:
        return f"{self.base_url}/callback"

    @contextmanager
    def inherited(self, *, without: Collection[str] = ()) -> Iterator[None]:
        """Within, this process has no environment but its children's, and that `without` some: for
        a library that starts a process of its own with whatever it finds."""
        strange = {name for name in os.environ if name not in self.child_environment}
        with withheld({*strange, *without}):
            yield


@contextmanager
def withheld(names: Collection[str]) -> Iterator[None]:
    """Within, this process has none of these variables."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def from_environment(
    environ: Mapping[str, str] | None = None, *, sandbox_url: str | None = None
) -> Settings:
    """The settings in ``environ`` (None: this process's own), in sandbox mode if a URL is given.

    Raises ``unknown-setting`` (a misspelt name must not be ignored in silence), ``bad-port`` or
    ``bad-sandbox-url``.
    """
    environ = dict(os.environ if environ is None else environ)
    if sandbox_url:
        environ["ZOHO_WIZARD_ZOHO"] = sandbox_url
    for name in environ:
        if name.startswith(_PREFIX) and name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0)
            raise fail("unknown-setting", name=name, nearest=near[0], known=", ".join(_KNOWN))
    sandbox_url = _sandbox_url(environ.get("ZOHO_WIZARD_ZOHO", ""))
    default_port = SANDBOX_PORT if sandbox_url else LIVE_PORT
    return Settings(
        home=locate(environ),
        sandbox_url=sandbox_url,
        port=_port(environ.get("ZOHO_WIZARD_PORT", ""), default_port),
        browser=environ.get("ZOHO_WIZARD_BROWSER") or None,
        over_ssh="SSH_CONNECTION" in environ,
        display=bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")),
        chosen={name: environ[name] for name in _CHOOSING if environ.get(name)},
        child_environment={
            name: value for name, value in environ.items() if not name.startswith("ZOHO_")
        },
    )


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise fail("bad-port", given=text[:40])
    return int(text)


def _sandbox_url(text: str) -> str | None:
    """The URL without a trailing slash. Only loopback by number: under the wizard's own name,
    ``localhost``, the two would share cookies and hide every cross-site fault.
    """
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise fail("bad-sandbox-url", given=text[:80]) from None
    name = f"[{host}]" if host == "::1" else host
    plain = host in ("127.0.0.1", "::1") and text.rstrip("/") == f"http://{name}:{port}"
    if not plain or port is None:
        raise fail("bad-sandbox-url", given=text[:80])
    return text.rstrip("/")
