"""Profiles: how each program reads a connection's credentials.

The rows are in `profiles.toml`. A user's own profile is a file with one row.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

from wizard.delivery.destination_files import (
    FILE_FORMATS,
    Entries,
    EntryPath,
    Fields,
    FileFormat,
    UnwritableValueError,
)
from wizard.errors import WizardError, fail
from wizard.model import Client, Grant
from wizard.store import Destination
from wizard.tables import parse_toml, read_table
from wizard.zoho import DataCenter

COMMAND = "command"
PROFILE_FILE_SUFFIX = ".toml"
"""A profile with such an ID is a user's file."""

PLACEHOLDERS = (
    *("client_id", "client_secret", "refresh_token", "redirect_uri", "scope", "email"),
    *("location", "location_upper", "domain_suffix", "data_center"),
    *("accounts_server", "authorization_endpoint", "token_endpoint", "api_domain"),
    *("organization_id", "environment", "entry"),
)
"""The values that a field can use, each as ``{name}``."""
_DATA_CENTER_PLACEHOLDERS = frozenset(
    {
        *("location", "location_upper", "domain_suffix", "data_center"),
        *("accounts_server", "authorization_endpoint", "token_endpoint"),
    }
)
_WORD = re.compile(r"\w+")
_MAX_PROFILE_CHARACTERS = 65536
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class FoundEntry:
    """An entry of a file that fits a profile."""

    entry: str
    values: Mapping[str, str] = field(repr=False)
    """As from `credential_values`: ``client_id``, ``refresh_token``, ``data_center`` …"""


@dataclass(frozen=True)
class Profile:
    """How one program reads credentials."""

    id: str
    title: str
    file_format: str
    payload_format: str = ""
    """What a command gets on stdin: ``json`` or ``dotenv``."""
    entry_path: EntryPath = ()
    initial_content: str = ""
    fields: Fields = field(default_factory=dict)
    defaults: Fields = field(default_factory=dict)
    reset_fields: Fields = field(default_factory=dict)
    data_center_names: Fields = field(default_factory=dict)
    """The program's spelling of each data center, by location; empty: it accepts every domain
    suffix."""
    default_location: str = ""
    """The data center that the program uses unless a field that the user sets names another; the
    wizard doesn't know the name of that field. Empty: the profile names the data center."""
    hint: str = ""
    """What the program needs in addition, until the user's fields have it."""

    @property
    def is_command(self) -> bool:
        return self.file_format == COMMAND

    @property
    def is_rewritten_by_program(self) -> bool:
        """Whether the program rewrites the file, so that only the refresh token can be compared."""
        return bool(self.reset_fields)

    @property
    def has_named_entries(self) -> bool:
        """Whether a file can have several entries, each with a name."""
        return any("{entry}" in each for each in (*self.entry_path, *self.defaults.values()))

    @property
    def renamable_fields(self) -> tuple[str, ...]:
        """The names of the fields that the user may rename."""
        return (*self.fields, *self.defaults)

    def with_fields(self, own: Fields) -> "Profile":
        """This profile with the user's `own` fields, which replace those of the same names."""
        if not own:
            return self
        used = {name for template in own.values() for name in _PLACEHOLDER.findall(template)}
        names_data_center = bool(self.default_location and used & _DATA_CENTER_PLACEHOLDERS)
        is_followed = names_data_center or bool(own.keys() & set(_WORD.findall(self.hint)))
        return replace(
            self,
            hint="" if is_followed else self.hint,
            fields={**self.fields, **own},
            defaults={name: value for name, value in self.defaults.items() if name not in own},
            default_location="" if used & _DATA_CENTER_PLACEHOLDERS else self.default_location,
        )

    def data_center_name(self, location: str) -> str:
        """The program's spelling of a data center; empty if it uses domain suffixes. Raises
        ``profile-data-center`` if the program doesn't support the data center, and
        ``profile-default-data-center`` if it would use its default one."""
        if self.default_location not in ("", location):
            details = {"program": self.title, "location": location, "known": self.default_location}
            raise fail("profile-default-data-center", profile=self.id, **details)
        if self.data_center_names and location not in self.data_center_names:
            known = ", ".join(self.data_center_names)
            raise fail("profile-data-center", program=self.title, location=location, known=known)
        return self.data_center_names.get(location, "")

    def required_fields(self, values: Fields, field_names: Fields) -> dict[str, str]:
        """The fields that are always written, with their values, by the user's names."""
        return _fill_templates(self.fields, values, field_names)

    def write(self, text: str | None, values: Fields, field_names: Fields) -> str:
        """`text` (None: no file yet) with the entry for `values`. Raises `FormatError`, and
        ``destination-value`` if the format can't represent a value."""
        text = text if text and text.strip() else self.initial_content
        ends = _line_ending(text)
        body = text.replace(ends, "\n")
        present = self._format.read(body).get(self.entry_path_of(values["entry"]), {})
        fields = self.required_fields(values, field_names)
        for name, value in _fill_templates(self.defaults, values, field_names).items():
            fields.setdefault(name, present.get(name, value))
        token = self.token_field(field_names)
        if present.get(token) != fields[token]:
            fields |= self.reset_fields
        try:
            written = self._format.write(body, self.entry_path_of(values["entry"]), fields)
        except UnwritableValueError as error:
            raise fail("destination-value", field=error.name, program=self.title) from None
        return written.replace("\n", ends)

    def read(self, text: str, entry: str) -> dict[str, str] | None:
        """The fields of an entry; None if there is no such entry. Raises `FormatError`."""
        return self._entries(text).get(self.entry_path_of(entry))

    def find_entries(self, text: str) -> tuple[FoundEntry, ...]:
        """Every entry in `text` with a refresh token in this profile's field. Raises
        `FormatError`."""
        entries = {
            self._entry_name_at(entry_path): each
            for entry_path, each in self._entries(text).items()
        }
        return tuple(
            FoundEntry(entry, values)
            for entry, fields in entries.items()
            if entry is not None and (values := self.values_in(fields)).get("refresh_token")
        )

    def values_in(self, fields: Fields) -> dict[str, str]:
        """The values in an entry's fields, by the names of `credential_values`; with the location
        if the program spells data centers in its own way."""
        values = {
            found[1]: fields[name]
            for name, template in {**self.fields, **self.defaults}.items()
            if (found := _PLACEHOLDER.fullmatch(template)) and fields.get(name)
        }
        spelling = values.get("data_center")
        for location, known in self.data_center_names.items():
            if spelling == known:
                values.setdefault("location", location)
        return values

    def entry_path_of(self, entry: str) -> EntryPath:
        """The path of the entry with that name."""
        return tuple(part.format(entry=entry) for part in self.entry_path)

    def token_field(self, field_names: Fields) -> str:
        """The field for the refresh token."""
        own = next(name for name, value in self.fields.items() if value == "{refresh_token}")
        return field_names.get(own, own)

    @property
    def _format(self) -> FileFormat:
        return FILE_FORMATS[self.payload_format or self.file_format]

    def _entries(self, text: str) -> Entries:
        # An empty file has no header row.
        return self._format.read(text.replace("\r\n", "\n")) if text.strip() else {}

    def _entry_name_at(self, entry_path: EntryPath) -> str | None:
        """The name of the entry at `entry_path`; None if the path doesn't fit this profile."""
        if len(entry_path) != len(self.entry_path):
            return None
        entry = next(
            (
                name
                for name, part in zip(entry_path, self.entry_path, strict=True)
                if part == "{entry}"
            ),
            "",
        )
        return entry if self.entry_path_of(entry) == entry_path else None


def profile_title(profile_id: str) -> str:
    """What a profile is for; the name of its file if that can't be read anymore."""
    try:
        return profile(profile_id).title
    except WizardError:
        return os.path.basename(profile_id)


def profile_of(destination: Destination) -> Profile:
    """The profile of a destination, with the fields that the user set. Raises as `profile` does."""
    return profile(destination.profile).with_fields(destination.field_values)


def profile(profile_id: str) -> Profile:
    """The profile with that ID, or in that file of a user. Raises ``unknown-profile`` with similar
    IDs, and ``profile-invalid``."""
    if profile_id.endswith(PROFILE_FILE_SUFFIX):
        return _read_profile(os.path.abspath(os.path.expanduser(profile_id)))
    found = profiles().get(profile_id)
    if found is None:
        near = ", ".join(difflib.get_close_matches(profile_id, profiles(), n=3))
        known = ", ".join(profiles())
        raise fail("unknown-profile", value=profile_id[:60], nearest=near, known=known)
    return found


@cache
def profiles() -> Mapping[str, Profile]:
    """Every profile by its ID, in the order of the table."""
    rows = read_table("delivery/profiles.toml")
    found = {}
    for profile_id, row in rows.items():
        like = rows.get(row.pop("extends", ""), {})
        inherited = {name: like[name] for name in ("fields", "reset_fields") if name in like}
        entry_path = tuple(row.pop("entry_path", ()))
        found[profile_id] = Profile(id=profile_id, entry_path=entry_path, **{**inherited, **row})
    return found


def _read_profile(path: str) -> Profile:
    """The profile in a user's file, which has the keys of a row of the table."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_PROFILE_CHARACTERS + 1)
        if len(text) > _MAX_PROFILE_CHARACTERS:
            raise ValueError("the file is too large")
        row = parse_toml(text)
    except (OSError, ValueError) as error:
        raise fail("profile-invalid", path=path, problem=str(error)) from None
    like = read_table("delivery/profiles.toml").get(str(row.pop("extends", "")), {})
    kept = {name: like[name] for name in ("fields", "reset_fields") if name in like}
    row = {"title": os.path.basename(path), **kept, **row}
    if problem := profile_problem(row):
        raise fail("profile-invalid", path=path, problem=problem)
    entry_path = tuple(row.pop("entry_path", ()))
    return Profile(id=path, entry_path=entry_path, **row)


def profile_problem(row: Mapping[str, Any]) -> str:
    """What is wrong with the row of a user's profile; empty: nothing. Pure."""
    kinds: dict[str, type] = {each.name: dict for each in fields(Profile) if each.type is Fields}
    kinds |= {each.name: str for each in fields(Profile) if each.type is str}
    kinds["entry_path"] = list
    for key, value in row.items():
        parts = value.values() if isinstance(value, dict) else value
        if key == "id" or not isinstance(value, kinds.get(key, ())):
            return f"{key} isn’t a key of a profile, or has the wrong type"
        if not all(isinstance(each, str) for each in parts):
            return f"{key} contains something that isn’t text"
    if row.get("file_format") not in (*FILE_FORMATS, COMMAND):
        return f"file_format must be one of {', '.join((*FILE_FORMATS, COMMAND))}"
    if row["file_format"] == COMMAND and row.get("payload_format") not in FILE_FORMATS:
        return "a command needs payload_format"
    written = {**row.get("fields", {}), **row.get("defaults", {})}
    if "{refresh_token}" not in row.get("fields", {}).values():
        return "fields must contain {refresh_token}"
    unknown = unknown_placeholders(written.values())
    return f"{{{unknown[0]}}} isn’t a placeholder" if unknown else ""


def unknown_placeholders(templates: Iterable[str]) -> list[str]:
    """The placeholders in `templates` that don't exist."""
    used = [name for template in templates for name in _PLACEHOLDER.findall(template)]
    return [name for name in used if name not in PLACEHOLDERS]


def fill_template(template: str, values: Fields) -> str:
    """`template` with its placeholders replaced, once; braces around anything else stay."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def _fill_templates(templates: Fields, values: Fields, field_names: Fields) -> dict[str, str]:
    filled = {name: fill_template(template, values) for name, template in templates.items()}
    return {field_names.get(name, name): value for name, value in filled.items() if value}


def _line_ending(text: str) -> str:
    """CRLF if every line ends with it, else LF."""
    return "\r\n" if "\n" in text and text.count("\n") == text.count("\r\n") else "\n"


SECRET_NAMES = ("client_secret", "refresh_token")
"""Values that are never shown, and are masked in the stderr of commands."""


def credential_values(
    grant: Grant,
    client: Client,
    secret: str,
    data_center: DataCenter,
    *,
    entry: str = "",
    data_center_name: str = "",
) -> dict[str, str]:
    """All values that a profile can use, by name; unknown ones are empty. Contains secrets.

    `data_center_name` is the program's spelling of the data center; by default, the domain suffix.
    """
    organization = next(iter(grant.organizations), None)
    return {
        "client_id": client.client_id,
        "client_secret": secret,
        "refresh_token": grant.refresh_token,
        "redirect_uri": client.redirect_uri,
        "scope": ",".join(grant.scope),
        "email": grant.email,
        "location": grant.location,
        "location_upper": grant.location.upper(),
        "domain_suffix": data_center.domain_suffix,
        "data_center": data_center_name or data_center.domain_suffix,
        "accounts_server": data_center.accounts_server,
        "authorization_endpoint": data_center.authorization_endpoint,
        "token_endpoint": data_center.token_endpoint,
        "api_domain": data_center.api_domain,
        "organization_id": organization.id if organization else "",
        "environment": (organization.environment if organization else "") or "Production",
        "entry": entry,
    }
