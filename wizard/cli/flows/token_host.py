"""This machine's side of SSH: `token`, `run`, `list`, `show` and `check` with the token host's
answers. Nothing is stored here except the copy of an access token."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, TypeVar

from wizard.cli.terminal import Terminal
from wizard.errors import WizardError, fail
from wizard.fastpath import token_host
from wizard.fastpath.ssh_requests import SshRequest, is_name
from wizard.fastpath.token_file import CachedToken
from wizard.fastpath.token_host import TokenHost
from wizard.model import Failure
from wizard.model.failure import is_failure_code
from wizard.serialization import from_json_value
from wizard.timefmt import parse_iso

T = TypeVar("T")


def host_of(terminal: Terminal) -> TokenHost | None:
    """The token host that this machine is set to use. Raises ``bad-remote``."""
    settings = terminal.settings
    if not settings.remote:
        return None
    host = token_host.parse_address(settings.remote)
    if host is None:
        raise fail("bad-remote", value=settings.remote[:80], origin=settings.remote_origin)
    return host


def require_own_connections(terminal: Terminal, command: str) -> None:
    """Raise ``on-token-host`` if this machine's connections are on a token host."""
    settings = terminal.settings
    if settings.remote:
        raise fail(
            "on-token-host",
            command=command,
            address=settings.remote[:80],
            origin=settings.remote_origin,
        )


def refuse_options(terminal: Terminal, **options: object) -> None:
    """Raise ``on-token-host`` for an option that changes something on the host, or needs more than
    a key gets."""
    for name, value in options.items():
        if value:
            require_own_connections(terminal, f"--{name.replace('_', '-')}")


def request_token(
    terminal: Terminal,
    host: TokenHost,
    name: str,
    min_ttl: int | None = None,
    rejected: str = "",
) -> CachedToken:
    """An access token of connection `name`, other than the `rejected` one. Raises what the host
    refuses, and failures of SSH."""
    request = SshRequest("token", _checked([name] if name else []), min_ttl, bool(rejected))
    token = token_host.get_token(host, request, _environment(terminal), rejected)
    if isinstance(token, CachedToken):
        return token
    raise to_error(token)


def request_report(
    terminal: Terminal, host: TokenHost, action: str, names: Sequence[str], kind: type[T]
) -> T:
    """What `list`, `show` or `check` prints on the host, about the connections that the key has
    access to. Raises as `request_token` does."""
    request = SshRequest(action, _checked(names))
    answer = token_host.ask(host, request, _environment(terminal))
    if "error" in answer:
        raise to_error(answer["error"])
    try:
        return from_json_value(kind, answer["report"])
    except (KeyError, TypeError, ValueError):  # a version with other fields
        raise to_error(token_host.failure(host, "token-host-version")) from None


def to_error(error: Mapping[str, Any]) -> WizardError:
    """A failure that `token_host` reports. A code or a time that this version doesn't know means
    that the host has a newer one."""
    code, given = error["code"], error["retry_at"]
    try:
        # At the end of the year 9999, the local time may have no year.
        retry_at = parse_iso(given).astimezone().astimezone(UTC) if given else None
    except (OverflowError, TypeError, ValueError):
        code, retry_at = "token-host-version", None
    return WizardError(
        Failure(
            code if is_failure_code(code) else "token-host-version",
            temporary=error["temporary"],
            details=error["details"],
            retry_at=retry_at,
        )
    )


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    """`names`, which become words of a command line. A name that no connection can have is refused
    as one that the key has no access to."""
    for name in names:
        if not is_name(name):
            raise fail("key-not-allowed", name=name)
    return tuple(names)


def _environment(terminal: Terminal) -> Mapping[str, str]:
    settings = terminal.settings
    return {**settings.child_environment, **settings.service_environment}
