"""Profiles: how each program wants a connection's credentials. Rows of data, and their reader."""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from wizard.delivery import dotenv, ini, json, sdk_csv
from wizard.delivery.shape import Entries, Fields, Spot, Unwritable
from wizard.errors import fail

COMMAND = "command"


@dataclass(frozen=True)
class Shape:
    """How entries are read from a text, and written into it."""

    read: Callable[[str], Entries]
    write: Callable[[str, Spot, Fields], str]


SHAPES = {
    "dotenv": Shape(dotenv.read, dotenv.write),
    "json": Shape(json.read, json.write),
    "ini": Shape(ini.read, ini.write),
    "sdk_csv": Shape(sdk_csv.read, sdk_csv.write),
}


@dataclass(frozen=True)
class Found:
    """An entry of a file, understood by a profile."""

    entry: str
    facts: Mapping[str, str] = field(repr=False)
    """What it tells: ``client_id``, ``client_secret``, ``refresh_token``, ``data_centre`` …"""


@dataclass(frozen=True)
class Profile:
    """How one program wants credentials."""

    id: str
    title: str
    shape: str
    payload: str = ""
    """What a command is given on stdin: ``json`` or ``dotenv``."""
    spot: Spot = ()
    begins: str = ""
    fields: Fields = field(default_factory=dict)
    defaults: Fields = field(default_factory=dict)
    renewed: Fields = field(default_factory=dict)
    data_centres: Fields = field(default_factory=dict)
    """Location to the program's own spelling; empty: it takes every data centre."""

    @property
    def is_command(self) -> bool:
        return self.shape == COMMAND

    @property
    def rewritten(self) -> bool:
        """Whether the program writes into the file itself, so that only the refresh token and
        what it belongs to can be compared."""
        return bool(self.renewed)

    @property
    def named(self) -> bool:
        """Whether a file holds several entries, each with a name."""
        return any("{entry}" in each for each in (*self.spot, *self.defaults.values()))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names of the fields that a person may rename."""
        return (*self.fields, *self.defaults)

    def spelling_of(self, location: str) -> str:
        """The program's own word for a data centre, empty where it has none of its own.

        Raises ``profile-data-centre`` where the program cannot be used there.
        """
        if self.data_centres and location not in self.data_centres:
            known = ", ".join(self.data_centres)
            raise fail("profile-data-centre", program=self.title, location=location, known=known)
        return self.data_centres.get(location, "")

    def wanted(self, facts: Fields, names: Fields) -> dict[str, str]:
        """The fields that are always written, filled, under the names the person chose."""
        return _filled(self.fields, facts, names)

    def write(self, text: str | None, facts: Fields, names: Fields) -> str:
        """`text` (None: nothing is there yet) with this entry as `facts` want it. Raises
        `Broken`, and ``destination-value`` where the file cannot hold a value."""
        text = text if text and text.strip() else self.begins
        ends = _line_end(text)
        body = text.replace(ends, "\n")
        present = self._shape.read(body).get(self.spot_of(facts["entry"]), {})
        fields = self.wanted(facts, names)
        for name, value in _filled(self.defaults, facts, names).items():
            fields.setdefault(name, present.get(name, value))
        token = self.token_field(names)
        if present.get(token) != fields[token]:
            fields |= self.renewed
        try:
            written = self._shape.write(body, self.spot_of(facts["entry"]), fields)
        except Unwritable as error:
            raise fail("destination-value", field=error.name, program=self.title) from None
        return written.replace("\n", ends)

    def read(self, text: str, entry: str) -> dict[str, str] | None:
        """The fields of an entry; None where the text has none of that name. Raises `Broken`."""
        return self._entries(text).get(self.spot_of(entry))

    def find(self, text: str) -> tuple[Found, ...]:
        """Every entry in `text` that has a refresh token where this profile keeps it. Raises
        `Broken`."""
        entries = {self._entry_at(spot): each for spot, each in self._entries(text).items()}
        return tuple(
            Found(entry, facts)
            for entry, fields in entries.items()
            if entry is not None and (facts := self.facts_in(fields)).get("refresh_token")
        )

    def facts_in(self, fields: Fields) -> dict[str, str]:
        """What an entry's fields tell; a data centre in the program's spelling as ``location``."""
        facts = {
            template.strip("{}"): fields[name]
            for name, template in {**self.fields, **self.defaults}.items()
            if template.startswith("{") and fields.get(name)
        }
        spelling = facts.get("data_centre")
        for location, known in self.data_centres.items():
            if spelling == known:
                facts.setdefault("location", location)
        return facts

    def spot_of(self, entry: str) -> Spot:
        """Where the entry of that name stands."""
        return tuple(part.format(entry=entry) for part in self.spot)

    def token_field(self, names: Fields) -> str:
        """The field that holds the refresh token."""
        own = next(name for name, value in self.fields.items() if value == "{refresh_token}")
        return names.get(own, own)

    @property
    def _shape(self) -> Shape:
        return SHAPES[self.payload or self.shape]

    def _entries(self, text: str) -> Entries:
        # An empty file has no heading yet, and no entry.
        return self._shape.read(text.replace("\r\n", "\n")) if text.strip() else {}

    def _entry_at(self, spot: Spot) -> str | None:
        """The name of the entry at `spot`; None where none of this profile's can stand there."""
        if len(spot) != len(self.spot):
            return None
        entry = next(
            (real for real, part in zip(spot, self.spot, strict=True) if part == "{entry}"), ""
        )
        return entry if self.spot_of(entry) == spot else None


def profile(profile_id: str) -> Profile:
    """The profile of that id; raises ``unknown-profile`` with the nearest ids."""
    found = profiles().get(profile_id)
    if found is None:
        near = ", ".join(difflib.get_close_matches(profile_id, profiles(), n=3))
        known = ", ".join(profiles())
        raise fail("unknown-profile", given=profile_id[:60], nearest=near or known, known=known)
    return found


@cache
def profiles() -> Mapping[str, Profile]:
    """Every profile by its id, in the order of the table."""
    table = resources.files("wizard.delivery").joinpath("profiles.toml").read_text("utf-8")
    rows = tomllib.loads(table)
    found = {}
    for profile_id, row in rows.items():
        like = rows.get(row.pop("like", ""), {})
        inherited = {name: like[name] for name in ("fields", "renewed") if name in like}
        spot = tuple(row.pop("spot", ()))
        found[profile_id] = Profile(id=profile_id, spot=spot, **{**inherited, **row})
    return found


def _filled(templates: Fields, facts: Fields, names: Fields) -> dict[str, str]:
    filled = {name: template.format_map(facts) for name, template in templates.items()}
    return {names.get(name, name): value for name, value in filled.items() if value}


def _line_end(text: str) -> str:
    """CRLF where every line ends in it, else LF."""
    return "\r\n" if "\n" in text and text.count("\n") == text.count("\r\n") else "\n"
