"""Judges why no answer came: from an exception of the libraries below to a failure's code."""

import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3

NO_RESPONSE_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What the libraries below raise where no answer came, or only half of one."""


def failure_code_of(error: BaseException, *, is_expired: bool, is_connected: bool) -> str:
    """The failure's code; ``expired``: the deadline had passed, ``connected``: after connecting."""
    causes = tuple(_causes(error))

    def any_of(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in causes)

    # Not by urllib3's time-outs: to it every failure to connect is one of these.
    if is_expired or any_of(TimeoutError):
        return "network-timeout"
    if any_of(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return "network-proxy"
    if any_of(ssl.SSLError):
        return "network-tls"
    if any_of(socket.gaierror):
        return "network-dns"
    if any_of(ConnectionRefusedError):
        return "network-refused"
    return "network-reset" if is_connected else "network-unreachable"


def tls_failure_reason(error: BaseException) -> str:
    """What the certificate check said, empty where it is not about certificates."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLError):
            return str(getattr(each, "verify_message", "") or each.reason or "")
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all below it, wherever requests and urllib3 have put that."""
    waiting: list[object] = [error]
    seen: list[object] = []
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            yield each
            waiting += [*each.args, getattr(each, "reason", None)]
            waiting += [each.__cause__, each.__context__]
