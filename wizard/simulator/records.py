"""The records of the simulated organizations.

Each organization of a product has records of its own, made from the samples of `records.toml` and
the random seed when they are first used.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from wizard.simulator.errors import InvalidValueError
from wizard.simulator.products import Collection, Product
from wizard.simulator.users import User

Record = dict[str, Any]

SAMPLE_DATE = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""When the first sample of each collection was created; the others followed, a day apart."""

FIRST_NUMBER = 376000
"""The number in the ID of an organization's first record."""


@dataclass
class OrganizationRecords:
    """The records of one organization in one product: collection → ID → record, oldest first.

    `deleted` are the deleted ones. IDs start with `prefix` and count up from `number`.
    """

    prefix: str
    number: int = FIRST_NUMBER
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    deleted: dict[str, list[Record]] = field(default_factory=dict)

    def new_id(self) -> str:
        """Return the next ID: 19 digits, ascending as Zoho's."""
        self.number += 1
        return f"{self.prefix}{self.number:012d}"

    def all(self, collection: str) -> dict[str, Record]:
        """Return ID → record of a collection."""
        return self.records.setdefault(collection, {})

    def add(self, collection: Collection, values: Mapping[str, Any], user: User, at: str) -> Record:
        """Add a record with `values` that `user` created at `at`; return it."""
        record: Record = {collection.key: self.new_id(), **collection.defaults}
        if collection.fields:
            record |= {each.name: None for each in collection.fields} | collection.defaults
            record |= {
                "Owner": user.reference,
                "Created_By": user.reference,
                "Created_Time": at,
            }
        self.all(collection.name)[record[collection.key]] = record
        self.change(collection, record, values, user, at)
        return record

    def change(
        self,
        collection: Collection,
        record: Record,
        values: Mapping[str, Any],
        user: User,
        at: str,
    ) -> None:
        """Change fields of a record, as `user` did at `at`."""
        record |= values
        for each in collection.fields:
            if each.joined:
                parts = (record.get(name) for name in each.joined)
                record[each.name] = " ".join(part for part in parts if part)
        if collection.fields:
            record["Modified_By"] = user.reference
            record["Modified_Time"] = at

    def delete(self, collection: str, record_id: str) -> Record:
        """Delete a record; return it."""
        record = self.all(collection).pop(record_id)
        self.deleted.setdefault(collection, []).append(record)
        return record

    def find_title(self, collection: Collection, title: str) -> Record | None:
        """Return the record of a title, if there is one."""
        records = self.all(collection.name).values()
        return next((each for each in records if each.get(collection.title) == title), None)


@dataclass
class Records:
    """The records of all organizations: the same seed gives the same ones."""

    random_seed: int
    by_organization: dict[str, OrganizationRecords] = field(default_factory=dict)

    def of(self, product: Product, organization_id: str, user: User) -> OrganizationRecords:
        """Return the records of an organization; at first, its samples, created by `user`.

        InvalidValueError names a sample that refers to one that doesn't exist.
        """
        name = f"{product.key}/{organization_id}"
        if name not in self.by_organization:
            source = random.Random(f"{self.random_seed}/{name}")  # noqa: S311
            found = OrganizationRecords(str(source.randrange(10**6, 10**7)))
            self.by_organization[name] = found
            for collection in product.collections.values():
                _add_samples(found, product, collection, user)
        return self.by_organization[name]


def _add_samples(
    into: OrganizationRecords, product: Product, collection: Collection, user: User
) -> None:
    lookups = {each.name: each.lookup for each in collection.fields if each.lookup}
    for number, sample in enumerate(collection.samples):
        values = dict(sample)
        for name, target_name in {**lookups, **collection.lookups}.items():
            if name not in sample:
                continue
            target = product.collections[target_name]
            record = into.find_title(target, sample[name])
            if record is None:
                place = f"product.{product.key}.collections.{collection.name}.samples[{number}]"
                raise InvalidValueError(
                    f"“{place}.{name}” must be the {target.title} of an earlier sample of "
                    f"{target_name}, not “{sample[name]}”."
                )
            key = record[target.key]
            is_reference = name in lookups
            values[name] = {"name": record[target.title], "id": key} if is_reference else key
        at = (SAMPLE_DATE + timedelta(days=number)).isoformat()
        into.add(collection, values, user, at)
