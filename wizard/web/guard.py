"""Checks on every request before a page handles it, and headers on every response.

Any web page open in the user's browser can send requests to a local server. So the Host header must
match exactly, which stops DNS rebinding, and a POST must come from one of our own pages.
"""

import logging
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Flask, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from wizard.errors import fail
from wizard.web.authorization import CALLBACK_PATH
from wizard.web.diagnose import DIAGNOSE_PATH

access_log = logging.getLogger("wizard.web.access")

MAX_BODY_BYTES = 64 * 1024
"""The largest form is a pasted page of the API console, a few kilobytes."""
MAX_PASTE_BYTES = 4 * 1024 * 1024
"""A paste of a million characters, form-encoded."""


def content_security_policy(accounts_servers: Iterable[str]) -> str:
    """The content security policy.

    `form-action` includes the accounts servers because browsers apply it to redirects after a form,
    and an authorization starts with one.
    """
    origins = {f"{url.scheme}://{url.netloc}" for url in map(urlsplit, accounts_servers)}
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'; form-action 'self' {' '.join(sorted(origins))}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def rejection_code(
    method: str,
    host: str,
    own_host: str,
    origin: str | None,
    fetch_site: str | None,
    is_navigation: bool,
) -> str | None:
    """Judge a request by its headers: the failure code, or None if it may pass.

    `fetch_site` is `Sec-Fetch-Site`; `is_navigation` is whether `Sec-Fetch-Mode` and
    `Sec-Fetch-Dest` describe the opening of a page. Older browsers send none of these; there the
    CSRF token decides.
    """
    if host != own_host:
        return "page-wrong-host"
    if method not in ("GET", "POST"):
        return "page-wrong-method"
    if method == "POST":
        if origin is not None and origin != f"http://{own_host}":
            return "page-foreign-form"
        return None if fetch_site in (None, "same-origin") else "page-foreign-form"
    return (
        None
        if fetch_site in (None, "same-origin", "none") or is_navigation
        else "page-foreign-form"
    )


def install(app: Flask, port: int, accounts_servers: Iterable[str]) -> None:
    """Add the guard to every route of `app`, including static files and unknown paths."""
    own_host = f"localhost:{port}"
    content_policy = content_security_policy(accounts_servers)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )

    @app.before_request
    def check_request() -> AnyResponse | None:
        g.started_at = time.monotonic()
        if request.path == DIAGNOSE_PATH:
            request.max_content_length = request.max_form_memory_size = MAX_PASTE_BYTES
        host = request.environ.get("HTTP_HOST", "")
        if not request.environ.get("REQUEST_URI", "/").startswith("/"):
            host = ""  # the host of an absolute URI overrides the header (RFC 9112, 3.2.2)
        if (host, request.path, request.method) == (f"127.0.0.1:{port}", "/", "GET"):
            return redirect(f"http://{own_host}/")
        headers = request.headers
        fetch_mode_and_destination = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest"))
        code = rejection_code(
            request.method,
            host,
            own_host,
            headers.get("Origin"),
            headers.get("Sec-Fetch-Site"),
            fetch_mode_and_destination == ("navigate", "document"),
        )
        if code is not None:
            raise fail(code, address=f"http://{own_host}/")
        return None

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.update(
            {
                "Content-Security-Policy": content_policy,
                "X-Content-Type-Options": "nosniff",
                # With `no-referrer`, browsers send `Origin: null` with our own forms.
                "Referrer-Policy": "no-referrer"
                if request.path == CALLBACK_PATH
                else "same-origin",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Cache-Control": "no-store",
            }
        )
        _log_request(response)
        return response


def _log_request(response: Response) -> None:
    # The rule, not the URL, which may contain a link token or an authorization code.
    rule = request.url_rule.rule if request.url_rule else "(unknown path)"
    seconds = time.monotonic() - g.get("started_at", time.monotonic())
    access_log.info("%s %s %d %.0f ms", request.method, rule, response.status_code, seconds * 1000)
