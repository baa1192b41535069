"""Credentials out of what another program keeps them in: pure, and for any program.

Every profile of the table is tried; then names are read by their meaning, for ``.env`` and JSON
files of programs that are not in the table (``ZOHO_CRM_REFRESH_TOKEN``, ``zohoClientId``).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wizard.delivery import Broken, Profile, profile, profiles
from wizard.delivery.profiles import SHAPES

NEEDED = ("client_id", "client_secret", "refresh_token")

MEANINGS = {
    "client_id": ("clientid",),
    "client_secret": ("clientsecret",),
    "refresh_token": ("refreshtoken",),
    "accounts_server": ("accountsurl", "accountsserver", "accountsdomain", "tokenurl", "authurl"),
    "api_domain": ("apidomain", "apibaseurl", "apiurl", "apibase"),
    "data_centre": ("datacentre", "datacenter", "region", "dc", "location"),
    "redirect_uri": ("redirecturi", "redirecturl"),
    "scope": ("scope", "scopes"),
}
"""How names end, without case and punctuation, that mean each fact."""


@dataclass(frozen=True)
class Found:
    """One set of credentials, perhaps not whole."""

    entry: str = ""
    """The name it has in its file: a section, a row, a server; empty where it has none."""
    profile: str = ""
    """The profile that understood it; empty where names were read by their meaning."""
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is needed and not there."""
        return tuple(each for each in NEEDED if not self.facts.get(each))


def read(text: str, profile_id: str = "") -> tuple[Found, ...]:
    """Every set of credentials in `text`, the completest reading of each; parts of one only where
    there is no whole one.

    `profile_id` says how to read it; else every way is tried. Raises `Broken` where no way of
    reading it gets to the end, ``unknown-profile``.
    """
    if profile_id:
        return tuple(_by_profile(profile(profile_id), text))
    found: dict[str, Found] = {}
    for wanted in profiles().values():
        if not wanted.is_command:
            with suppress(Broken):
                _keep_best(found, _by_profile(wanted, text))
    try:
        _keep_best(found, _by_meaning("json" if text.lstrip()[:1] in "{[" else "dotenv", text))
    except Broken:
        if not found:
            raise
    whole = tuple(each for each in found.values() if not each.missing)
    return whole or tuple(found.values())


def _by_profile(wanted: Profile, text: str) -> Iterator[Found]:
    for each in wanted.find(text):
        yield Found(each.entry, wanted.id, each.facts)


def _by_meaning(shape: str, text: str) -> Iterator[Found]:
    for spot, fields in SHAPES[shape].read(text.replace("\r\n", "\n")).items():
        facts: dict[str, str] = {}
        for name, value in fields.items():
            meaning = _meaning(name)
            if meaning and value:
                facts.setdefault(meaning, value)
        if any(facts.get(each) for each in NEEDED):
            yield Found(next(iter(spot), ""), "", facts)


def _meaning(name: str) -> str:
    plain = re.sub(r"[^a-z]", "", name.lower())
    return next((fact for fact, ends in MEANINGS.items() if plain.endswith(ends)), "")


def _keep_best(found: dict[str, Found], readings: Iterator[Found]) -> None:
    """Of several readings of one refresh token keep the one that tells most."""
    for each in readings:
        token = each.facts.get("refresh_token", "")
        before = found.get(token)
        if before is None or _told(each) > _told(before):
            found[token] = each


def _told(found: Found) -> tuple[int, int]:
    return len(found.facts), len(found.profile)
