"""Credentials out of what another program keeps them in: pure, and for any program.

Every profile of the table is tried; then names are read by their meaning, for ``.env`` and JSON
files of programs that are not in the table (``ZOHO_CRM_REFRESH_TOKEN``, ``zohoClientId``).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wizard.delivery.formats import FILE_FORMATS, FormatError
from wizard.delivery.profiles import Profile, profile, profiles

REQUIRED_VALUES = ("client_id", "client_secret", "refresh_token")

NAME_ENDINGS = {
    "client_id": ("clientid",),
    "client_secret": ("clientsecret",),
    "refresh_token": ("refreshtoken",),
    "accounts_server": ("accountsurl", "accountsserver", "accountsdomain", "tokenurl", "authurl"),
    "api_domain": ("apidomain", "apibaseurl", "apiurl", "apibase"),
    "data_center": ("datacentre", "datacenter", "region", "dc", "location"),
    "redirect_uri": ("redirecturi", "redirecturl"),
    "scope": ("scope", "scopes"),
}
"""How names end, without case and punctuation, that mean each fact."""


@dataclass(frozen=True)
class FoundCredentials:
    """One set of credentials, perhaps not whole."""

    entry: str = ""
    """The name it has in its file: a section, a row, a server; empty where it has none."""
    profile: str = ""
    """The profile that understood it; empty where names were read by their meaning."""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is needed and not there."""
        return tuple(each for each in REQUIRED_VALUES if not self.values.get(each))


def find_credentials(text: str, profile_id: str = "") -> tuple[FoundCredentials, ...]:
    """Every set of credentials in `text`, the completest reading of each; parts of one only where
    there is no whole one.

    `profile_id` says how to read it; else every way is tried. Raises `Broken` where no way of
    reading it gets to the end, ``unknown-profile``.
    """
    if profile_id:
        return tuple(_read_by_profile(profile(profile_id), text))
    best: dict[str, FoundCredentials] = {}
    for wanted in profiles().values():
        if not wanted.is_command:
            with suppress(FormatError):
                _keep_best(best, _read_by_profile(wanted, text))
    try:
        _keep_best(
            best, _read_by_field_names("json" if text.lstrip()[:1] in "{[" else "dotenv", text)
        )
    except FormatError:
        if not best:
            raise
    whole = tuple(each for each in best.values() if not each.missing)
    return whole or tuple(best.values())


def _read_by_profile(program_profile: Profile, text: str) -> Iterator[FoundCredentials]:
    for each in program_profile.find_entries(text):
        yield FoundCredentials(each.entry, program_profile.id, each.values)


def _read_by_field_names(format_name: str, text: str) -> Iterator[FoundCredentials]:
    for entry_path, fields in FILE_FORMATS[format_name].read(text.replace("\r\n", "\n")).items():
        values: dict[str, str] = {}
        for name, value in fields.items():
            meaning = _value_name(name)
            if meaning and value:
                values.setdefault(meaning, value)
        if any(values.get(each) for each in REQUIRED_VALUES):
            yield FoundCredentials(next(iter(entry_path), ""), "", values)


def _value_name(name: str) -> str:
    plain = re.sub(r"[^a-z]", "", name.lower())
    return next((fact for fact, ends in NAME_ENDINGS.items() if plain.endswith(ends)), "")


def _keep_best(best: dict[str, FoundCredentials], candidates: Iterator[FoundCredentials]) -> None:
    """Of several readings of one refresh token keep the one that tells most."""
    for each in candidates:
        token = each.values.get("refresh_token", "")
        before = best.get(token)
        if before is None or _completeness(each) > _completeness(before):
            best[token] = each


def _completeness(credentials: FoundCredentials) -> tuple[int, int]:
    return len(credentials.values), len(credentials.profile)
