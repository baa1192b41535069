"""Somebody's program: it has credentials in a file, renews its access token itself, calls an API.

It knows neither the wizard nor the simulator and imports nothing of either. Started by its path,
`program.py FILE PATH` reads a `.env` or JSON file and prints the names that stand in the answer of
`PATH` below the API domain; where Zoho refuses, it ends with 1 and Zoho's word on stderr.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

NAME_KEYS = ("company_name", "name", "display_name")
"""What products call the name of an organization, or of a user where they know no organization."""


def read_credentials(file: Path) -> dict[str, str]:
    """What the file holds, by the short names: `client_id`, `refresh_token`, `accounts` …"""
    text = file.read_text("utf-8")
    if file.suffix == ".json":
        held = json.loads(text)
    else:
        lines = (line.partition("=") for line in text.splitlines() if "=" in line)
        held = {name: value.strip("'\"") for name, _, value in lines}
    short = {name.lower().removeprefix("zoho_"): value for name, value in held.items()}
    return {**short, "accounts": short.get("accounts_url") or short.get("accounts_server", "")}


def refresh_access_token(credentials: dict[str, str]) -> str:
    """A fresh access token for a refresh token; ends the program where there is none."""
    form = {name: credentials[name] for name in ("client_id", "client_secret", "refresh_token")}
    body = urlencode({**form, "grant_type": "refresh_token"}).encode()
    answer = fetch_json(Request(f"{credentials['accounts']}/oauth/v2/token", body))  # noqa: S310 - http on loopback
    if "access_token" not in answer:
        sys.exit(str(answer.get("error")))
    return str(answer["access_token"])


def fetch_json(request: Request) -> Any:
    """The JSON of an answer; ends the program where the answer is an error."""
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - http on loopback
            return json.load(answer)
    except HTTPError as error:
        sys.exit(error.read().decode(errors="replace"))


def find_names(document: Any) -> Iterator[str]:
    """The names anywhere in an answer."""
    if isinstance(document, dict):
        yield from (document[key] for key in NAME_KEYS if isinstance(document.get(key), str))
    for each in document.values() if isinstance(document, dict) else document:
        if isinstance(each, dict | list):
            yield from find_names(each)


def main(file: str, path: str) -> None:
    """Read, renew, call, and say who answered."""
    held = read_credentials(Path(file))
    token = {"Authorization": f"Zoho-oauthtoken {refresh_access_token(held)}"}
    answer = fetch_json(Request(held["api_domain"] + path, headers=token))  # noqa: S310
    print(", ".join(dict.fromkeys(find_names(answer))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
