"""Zoho's real host names, and the paths at which the simulator serves what they answer for.

The simulator's routes are paths: `/eu/accounts/oauth/v2/token`. Without real host names, these are
also the paths of its URLs. Asked through the proxy, it has the URLs of Zoho:
`https://accounts.zoho.eu/oauth/v2/token`. `route_of` and `url_of` translate between the two.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from urllib.parse import urlsplit

from wizard.simulator.catalog import DataCenter, data_centers, product_hosts

CONTROLS = "/_simulator/"
"""Controls and static files. They have no real host name: their paths are the same everywhere."""
API_HOSTS = ("www", "", "sandbox", "developer", "content")
"""The names of the shared API host below `api_domain`; a guess: the last three behave as `www`."""

_asked_by_real_name: ContextVar[bool] = ContextVar("asked_by_real_name", default=False)


@contextmanager
def asked_by_real_name(is_real_name: bool = True) -> Iterator[None]:
    """Answer with real host names inside the block, or without them."""
    token = _asked_by_real_name.set(is_real_name)
    try:
        yield
    finally:
        _asked_by_real_name.reset(token)


def is_asked_by_real_name() -> bool:
    """Whether the current request came through the proxy, to a real host name."""
    return _asked_by_real_name.get()


def host_names() -> Mapping[str, tuple[str, str]]:
    """Return every real host name → location and host (`accounts`, `www`, `desk`)."""
    return _host_names(product_hosts())


@cache
def _host_names(hosts: frozenset[str]) -> Mapping[str, tuple[str, str]]:
    return {
        name: (each.location, host)
        for each in data_centers().values()
        for name, host in _names_of(each, hosts)
    }


def _names_of(data_center: DataCenter, hosts: frozenset[str]) -> Iterator[tuple[str, str]]:
    for name in API_HOSTS:
        yield f"{name}.{data_center.api_domain}".lstrip("."), "www"
    if data_center.upload_host:
        yield data_center.upload_host, "www"
    for host in sorted({"accounts", "api-console", *hosts} - {"www"}):
        yield f"{host}.{data_center.domain}", host


def domains() -> tuple[str, ...]:
    """Return the domains of all real host names."""
    rows = data_centers().values()
    return tuple(dict.fromkeys(name for each in rows for name in (each.domain, each.api_domain)))


def host_name(location: str, host: str) -> str:
    """Return the real name of a host of a data center."""
    data_center = data_centers()[location]
    return f"{host}.{data_center.api_domain if host == 'www' else data_center.domain}"


def url_of(route: str, own_host_name: str = "") -> str:
    """Return the URL of a route (`/eu/accounts/signin?…`), as the current request should get it.

    It's the route itself without real host names. With them, it's relative for `own_host_name`.
    """
    location, _, rest = route.removeprefix("/").partition("/")
    if not is_asked_by_real_name() or location not in data_centers():
        return route
    host, slash, path = rest.partition("/")
    name = host_name(location, host)
    return f"/{path}" if name == own_host_name else f"https://{name}{slash}{path}"


def route_of(url: str) -> str | None:
    """Return the route, with the query, of a URL with a real host name; None for another URL."""
    try:
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.port not in (None, 443):
            return None
    except ValueError:
        return None
    if parts.path.startswith(CONTROLS):
        return parts.path
    target = host_names().get(parts.hostname or "")
    if target is None:
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"/{target[0]}/{target[1]}/{parts.path.removeprefix('/')}{query}"
