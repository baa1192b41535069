"""Read the mutations: each removes or inverts one defense, and names the tests that must fail."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLES = Path(__file__).parent / "mutations"


@dataclass(frozen=True)
class Mutation:
    """One change of one file. `old` is exact and occurs once; `tests` are pytest's node IDs."""

    id: str
    path: str
    old: str
    new: str
    claim: str
    tests: tuple[str, ...]

    def applied_to(self, text: str) -> str:
        """The file with the defense gone.

        Raises `ValueError` unless the old text occurs exactly once.
        """
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"{self.id}: the old text occurs {found} times in {self.path}")
        return text.replace(self.old, self.new)


def read_mutations(tables: Path = TABLES) -> list[Mutation]:
    """All mutations, in the order of the files' names."""
    return [
        Mutation(id=name, **{**row, "tests": tuple(row["tests"])})
        for table in sorted(tables.glob("*.toml"))
        for name, row in tomllib.loads(table.read_text()).items()
    ]
