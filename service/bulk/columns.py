"""Which columns hold the two addresses, and the pairs in them."""

from __future__ import annotations

from collections.abc import Sequence

from service.bulk.tables import Chunk
from service.errors import BulkError, RequestError
from service.http import schemas
from service.http.schemas import Limits

FIELDS = ("address1", "address2")
"""What the service calls the two addresses, and where they are looked for."""


def find(columns: Sequence[str], name: str, flag: str, file: str) -> int:
    """The place of a column by its name, or else by its number from 1.

    Raises:
        BulkError: There is none, or more than one. The columns are not listed: in a file without
            a header they would be addresses.
    """
    if columns.count(name) > 1:
        raise BulkError(f"{file} has several columns {name!r}; give {flag} a number from 1")
    if name in columns:
        return columns.index(name)
    if name.isdecimal() and 1 <= int(name) <= len(columns):
        return int(name) - 1
    raise BulkError(
        f"{file} has no column {name!r} among its {len(columns)}; "
        f"give {flag} a name from its header or a number from 1"
    )


def pairs(chunk: Chunk, columns: tuple[int, int], limits: Limits) -> list[schemas.Pair | str]:
    """Each row's pair, or why it has none, as the service would say it."""
    read: list[schemas.Pair | str] = []
    body = schemas.pair(limits)
    both = zip(*(chunk.values(column) for column in columns), strict=True)
    for place, addresses in enumerate(both):
        if place in chunk.faults:
            read.append(chunk.faults[place])
            continue
        try:
            read.append(body.read(dict(zip(FIELDS, addresses, strict=True)), ""))
        except RequestError as error:
            read.append(str(error))
    return read
