"""Find credentials in the files of other programs. Pure.

Every delivery profile is tried; then names are matched, for ``.env`` and JSON files of programs
without a profile (``ZOHO_CRM_REFRESH_TOKEN``, ``zohoClientId``).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wizard.delivery.destination_files import FILE_FORMATS, FormatError
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
"""The endings of the names of each value, in lower case without punctuation."""


@dataclass(frozen=True)
class FoundCredentials:
    """One set of credentials, perhaps incomplete."""

    entry: str = ""
    """Its name in the file, such as a section, a row or a server; empty if it has none."""
    profile: str = ""
    """The profile that matched; empty if the names matched."""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """The required values that are missing."""
        return tuple(each for each in REQUIRED_VALUES if not self.values.get(each))


def find_credentials(text: str, profile_id: str = "") -> tuple[FoundCredentials, ...]:
    """Every set of credentials in `text`, each as complete as possible; incomplete ones only if
    there is no complete one.

    `profile_id` says how to read it; by default everything is tried. Raises `FormatError` if `text`
    has no known format, ``unknown-profile``.
    """
    if profile_id:
        return tuple(_read_by_profile(profile(profile_id), text))
    best: dict[str, FoundCredentials] = {}
    for candidate in profiles().values():
        if not candidate.is_command:
            with suppress(FormatError):
                _keep_best(best, _read_by_profile(candidate, text))
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
    """Of several results with the same refresh token, keep the most complete."""
    for each in candidates:
        token = each.values.get("refresh_token", "")
        before = best.get(token)
        if before is None or _completeness(each) > _completeness(before):
            best[token] = each


def _completeness(credentials: FoundCredentials) -> tuple[int, int]:
    return len(credentials.values), len(credentials.profile)
