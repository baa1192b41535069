"""Client files: a client with its secrets for a colleague's installation, encrypted with a
passphrase.

A company registers one client. Whoever has its file and the passphrase can request any scope with
the client, and all installations share the client's limits at Zoho.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wizard.clients import ClientService
from wizard.connection_details import client_details
from wizard.credential_formats import Identifier, Token, is_redirect_uri
from wizard.errors import fail
from wizard.model import Client, ClientSecret, Clock, Event
from wizard.store import Store
from wizard.timefmt import format_iso
from wizard.vault.passphrase import CLIENT_FILE
from wizard.zoho import Zoho, preset, presets

FORMAT_VERSION = 1
MAX_NAME_CHARACTERS = 64


@dataclass(frozen=True)
class ClientFile:
    """What a client file contains."""

    client: Client
    preset_ids: tuple[str, ...] = ()
    """Suggested for a colleague's first connection."""


class ClientFiles:
    """Writes client files, opens them, and stores their clients."""

    def __init__(self, store: Store, clients: ClientService, zoho: Zoho, clock: Clock) -> None:
        self._store = store
        self._clients = clients
        self._zoho = zoho
        self._clock = clock

    def write(
        self, path: Path, client_id: str, preset_ids: Sequence[str], passphrase: str
    ) -> ClientFile:
        """Write the client with its current secrets to `path`.

        Raises ``unknown-client``, ``unknown-preset``, ``missing-secret``, ``passphrase-too-short``,
        ``client-file-taken`` and ``client-file-unwritable``; nothing is written then.
        """
        client = self._store.clients.get(client_id)
        chosen = tuple(preset(each).id for each in dict.fromkeys(preset_ids))
        if not client.locations:  # its secrets were lost with a key
            raise fail("missing-secret", **client_details(client, self._zoho))
        document = {
            "format": FORMAT_VERSION,
            "created_at": format_iso(self._clock()),
            "zoho_instance": self._zoho.instance,
            "client_id": client.client_id,
            "name": client.name,
            "location": client.location,
            "redirect_uri": client.redirect_uri,
            "has_common_secret": client.has_common_secret,
            "secrets": {each: client.secret_for(each) for each in client.locations},
            "preset_ids": chosen,
        }
        content = json.dumps(document, ensure_ascii=False).encode()
        CLIENT_FILE.write(path, content, passphrase)
        details = {"client": client.name, "target": str(path)}
        self._store.events.record(Event(self._clock(), "", "client-exported", details))
        return ClientFile(client, chosen)

    def open(self, file: bytes, passphrase: str) -> ClientFile:
        """Decrypt a file and check its values.

        Raises ``client-file-not-one``, ``client-file-cut-short``, ``client-file-damaged``,
        ``wrong-passphrase``, ``client-file-newer-version``, ``client-file-foreign-zoho``, or
        ``client-file-bad-value`` for a value that no form accepts.
        """
        try:
            document = json.loads(CLIENT_FILE.decrypt(file, passphrase))
            if document["format"] != FORMAT_VERSION:
                raise fail("client-file-newer-version", version=str(document["format"])[:60])
            found, zoho_instance = _client_file(document), str(document["zoho_instance"])
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise fail("client-file-newer-version") from error
        if zoho_instance != self._zoho.instance:
            raise fail(
                "client-file-foreign-zoho",
                found=zoho_instance[:60],
                expected=self._zoho.instance,
            )
        self._require_valid(found.client)
        return found

    def store(self, client_file: ClientFile) -> Client:
        """Check the client's secrets at Zoho and store it. Raises as `ClientService.admit_shared`
        does; nothing is stored then."""
        return self._clients.admit_shared(client_file.client)

    def _require_valid(self, client: Client) -> None:
        """Raise ``client-file-bad-value`` for a value that no form would accept."""
        locations = {each.location for each in self._zoho.data_centers}
        name = client.name.strip()
        checks = {
            "client_id": (client.client_id, Identifier.of(client.client_id)),
            "name": (name, name.isprintable() and 0 < len(name) <= MAX_NAME_CHARACTERS),
            "location": (client.location, client.location in locations),
            "redirect_uri": (
                client.redirect_uri,
                not client.redirect_uri or is_redirect_uri(client.redirect_uri),
            ),
            "secrets": (
                "",
                client.secrets
                and all(
                    each.location in locations and Token.of(each.value) for each in client.secrets
                ),
            ),
        }
        for field, (value, is_valid) in checks.items():
            if not is_valid:
                raise fail("client-file-bad-value", field=field, value=value[:60])


def _client_file(document: dict[str, Any]) -> ClientFile:
    """What the JSON of a file says; presets that this version doesn't know are left out."""
    known = {each.id for each in presets()}
    texts = {name: document[name] for name in ("client_id", "name", "location", "redirect_uri")}
    if not all(isinstance(each, str) for each in texts.values()):
        raise TypeError("a text is expected")
    secrets = tuple(ClientSecret(*each) for each in document["secrets"].items())
    client = Client(
        **texts, secrets=secrets, has_common_secret=document["has_common_secret"] is True
    )
    return ClientFile(client, tuple(each for each in document["preset_ids"] if each in known))
