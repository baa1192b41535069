"""Programs that use a connection, as they are copied: for its page, and for ``sample``."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wizard import access_tokens
from wizard.model import Grant
from wizard.product_api import probe_url
from wizard.tables import read_table
from wizard.zoho import DataCenter, products_of


@dataclass(frozen=True)
class CodeSample:
    """A program that uses a connection."""

    id: str
    label: str
    code: str


def languages() -> tuple[str, ...]:
    """The IDs of the samples."""
    return tuple(_table())


def code_samples(grant: Grant, data_center: DataCenter) -> tuple[CodeSample, ...]:
    """The samples for the connection of `grant`; each calls a read that it may do. Neither the name
    nor the URL has characters that a shell or a quoted string treats specially."""
    url = _probe_call(grant, data_center)
    return tuple(
        CodeSample(
            each,
            row["label"],
            row["code"].strip().replace("@NAME@", grant.connection).replace("@URL@", url),
        )
        for each, row in _table().items()
    )


def python_module() -> str:
    """The source of `wizard.access_tokens`, which works as a file on its own."""
    return Path(access_tokens.__file__).read_text("utf-8")


@cache
def _table() -> dict[str, dict[str, Any]]:
    return read_table("code_samples.toml")


def _probe_call(grant: Grant, data_center: DataCenter) -> str:
    """The URL of the first live call that verified `grant`, else of the account."""
    for product in products_of(grant.scope):
        organizations = [each for each in grant.organizations if each.product == product.id]
        if url := probe_url(
            product, data_center, organizations[0] if organizations else None, grant.scope
        ):
            return url
    return data_center.user_info_endpoint
