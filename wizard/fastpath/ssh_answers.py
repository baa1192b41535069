"""``access ssh`` from the cached access token, without the rest of the wizard.

It answers a request for a token if the key has access to the connection, and refuses what isn't a
request of the wizard. Everything else falls back to `wizard.cli.flows.ssh_answers`, whose answer
has the same form.
"""

import os
import time

from wizard import paths
from wizard.fastpath import commands, process, served_tokens, ssh_requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


PERMISSIONS = "SELECT connection, comment FROM key_permissions WHERE fingerprint = ?"
"""The connections that a key has access to, and its comment. Only the owner and root can write to
the local database, which is the only one that is read here: the rows' seals aren't checked."""


def execute(arguments: "Sequence[str]", environ: "Mapping[str, str]") -> int | None:
    """Answer the request in the environment, from the key whose fingerprint is the only argument;
    return the exit code, or None to fall back to the full program."""
    line = environ.get("SSH_ORIGINAL_COMMAND", "")
    if not line:  # a person gets a sentence
        return None
    request = ssh_requests.parse(line)
    if request is None and ssh_requests.protocol_of(line) is None:
        details = {"details": {}, "temporary": False, "retry_at": None}
        return _print(environ, None, {"code": "ssh-request-refused", **details}) or process.FAILED
    if (
        request is None
        or request.action != "token"
        or request.is_rejected
        or len(arguments) != 1
        or commands.has_bad_setting(environ)
        or paths.remote_address(environ)
    ):
        return None
    fingerprint = arguments[0]
    allowed = dict(commands.read_database(environ, PERMISSIONS, fingerprint))
    name = request.names[0] if request.names else "".join(allowed) if len(allowed) == 1 else ""
    if name not in allowed:
        return None
    wanted = commands.Request(name, request.min_ttl_seconds)
    token = commands.cached_or_refreshed_token(wanted, environ)
    if token is None or not (token.document and token.variables):
        return None
    here, key = paths.locate(environ), f"{fingerprint} {allowed[name]}"
    served_tokens.note(here.served_log, name, token.generation, os.getppid(), key)
    served = {
        "access_token": token.access_token,
        "generation": token.generation,
        "expires_in": int(token.expires_at - time.time()),
        "document": token.document,
        "variables": token.variable_values,
    }
    return _print(environ, served, None)


def _print(
    environ: "Mapping[str, str]", token: "dict[str, Any] | None", error: "dict[str, Any] | None"
) -> int:
    import json

    answer = {
        "protocol": ssh_requests.PROTOCOL,
        "zoho": paths.locate(environ).simulator_url.rstrip("/") or "live",
        "token": token,
        "report": None,
        "error": error,
    }
    return process.write_output(json.dumps(answer, ensure_ascii=False) + "\n")
