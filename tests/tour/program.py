"""A program that has credentials in a file, refreshes its access token itself and calls an API.

It imports nothing of the wizard. `program.py FILE PATH` reads a `.env` or JSON file, calls `PATH`
at the API domain, and prints the names in the response. If Zoho returns an error, the program
exits with 1 and prints the error on stderr.
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
"""The keys under which products return the name of an organization or a user."""


def read_credentials(file: Path) -> dict[str, str]:
    """Return the credentials by short name: `client_id`, `refresh_token`, `accounts` …"""
    text = file.read_text("utf-8")
    if file.suffix == ".json":
        credentials = json.loads(text)
    else:
        lines = (line.partition("=") for line in text.splitlines() if "=" in line)
        credentials = {name: value.strip("'\"") for name, _, value in lines}
    short = {name.lower().removeprefix("zoho_"): value for name, value in credentials.items()}
    return {**short, "accounts": short.get("accounts_url") or short.get("accounts_server", "")}


def refresh_access_token(credentials: dict[str, str]) -> str:
    """Return a new access token; exit if Zoho returns an error."""
    form = {name: credentials[name] for name in ("client_id", "client_secret", "refresh_token")}
    body = urlencode({**form, "grant_type": "refresh_token"}).encode()
    answer = fetch_json(Request(f"{credentials['accounts']}/oauth/v2/token", body))
    if "access_token" not in answer:
        sys.exit(str(answer.get("error")))
    return str(answer["access_token"])


def fetch_json(request: Request) -> Any:
    """Return the JSON of a response; exit if the response is an error."""
    try:
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except HTTPError as error:
        sys.exit(error.read().decode(errors="replace"))


def find_names(document: Any) -> Iterator[str]:
    """Yield every name in a response."""
    if isinstance(document, dict):
        yield from (document[key] for key in NAME_KEYS if isinstance(document.get(key), str))
    for each in document.values() if isinstance(document, dict) else document:
        if isinstance(each, dict | list):
            yield from find_names(each)


def main(file: str, path: str) -> None:
    """Refresh the token, call the API, print the names."""
    credentials = read_credentials(Path(file))
    token = {"Authorization": f"Zoho-oauthtoken {refresh_access_token(credentials)}"}
    answer = fetch_json(Request(credentials["api_domain"] + path, headers=token))
    print(", ".join(dict.fromkeys(find_names(answer))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
