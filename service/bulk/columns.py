"""Which columns hold the two addresses, and the pairs in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from service.bulk.tables import Chunk, Reading, Source, decoded
from service.errors import BulkError, RequestError
from service.http import schemas
from service.http.schemas import Limits

FIELDS = ("address1", "address2")
"""What the service calls the two addresses, and where they are looked for."""

HEAD = 20
"""How many rows are searched for a header that is not the first row."""

HEADER_AGAIN = "the row is the header again"

_SHOWN, _SHOWN_CHARACTERS = 30, 40
"""Columns that a message lists, and characters of each."""

_ADDRESS = re.compile(r"\d\s*(号|弄|室|栋|幢|楼|层|座|单元|组|巷)|[路街道巷弄村镇]\d")
"""What looks like an address. If two cells of the first row do, it is a pair and no header, and
messages do not show it."""

_EXCEL_ERROR = re.compile(
    r"#N/?A( .*)?|#Н/Д|#NV|#NB|#N/D|#BRAK|#PUUTTUU!?|#I/T|#YOK|#GETTING_DATA|#+"
    r"|#[¡¿]?[^\W\d][^\s\d]*(/0|0)?[!?]|Err:\d{3}",
    re.IGNORECASE,
)
"""Error values of Excel and others, in several languages. `####` stands for a value that is too
wide for its column."""


def place(names: Sequence[str], wanted: str) -> int | None:
    """The place of a name. Without an exact match, case, width, spaces and quotes do not count.

    None if there is none, or more than one.
    """
    for form in (str, _plain):
        places = [at for at, name in enumerate(names) if form(name) == form(wanted)]
        if places:
            return places[0] if len(places) == 1 else None
    return None


def find(
    source: Source,
    name: str,
    flag: str,
    reading: Reading,
    hint: Callable[[str], str | None] = lambda name: None,
) -> int:
    """The place of a column by its name, or else by its number from 1.

    Args:
        source: What has the columns.
        name: The name or number.
        flag: Of the command line, that gave it.
        reading: The file.
        hint: Says of a name that is not found why that may be.

    Raises:
        BulkError: There is none, or more than one.
    """
    names, file = source.columns, reading.name
    found = place(names, name)
    if found is not None:
        return found
    if name in names or (not name.isdecimal() and _plain(name) in map(_plain, names)):
        raise BulkError(f"{file} has several columns {name!r}; give {flag} a number from 1")
    if name.isdecimal() and 1 <= int(name) <= len(names):
        return int(name) - 1
    why = hint(name) if source.has_header else None
    if why:
        raise BulkError(f"{file} has no column {name!r}: {why}")
    if source.has_header and sum(bool(_ADDRESS.search(name)) for name in names) > 1:
        raise BulkError(
            f"{file} has no column {name!r}: its first row looks like a pair, not like a header; "
            "if it has none give --no-header"
        )
    listed = f" ({_listed(names)})" if source.has_header and names else ""
    raise BulkError(
        f"{file} has no column {name!r} among its {len(names)}{listed}; "
        f"give {flag} a name from its header or a number from 1"
    )


class Fault(str):
    """Why a row has no address."""


def addresses(chunk: Chunk, column: int, limits: Limits, name: str) -> list[str | Fault]:
    """Each row's address in one column, or why it has none, as the service would say it.

    Args:
        chunk: The rows.
        column: The place of the column.
        limits: Bounds on an address.
        name: What messages call it.
    """
    shape = schemas.address(limits)
    read: list[str | Fault] = []
    for at, cell in enumerate(chunk.values(column)):
        value = decoded(cell)
        fault = chunk.faults.get(at) or _fault(value, name)
        try:
            read.append(Fault(fault) if fault else shape.read(value, name))
        except RequestError as error:
            read.append(Fault(error))
    return read


def pairs(chunk: Chunk, columns: tuple[int, int], limits: Limits) -> list[schemas.Pair | str]:
    """Each row's pair, or why it has none, as the service would say it."""
    first, second = (
        addresses(chunk, column, limits, field)
        for column, field in zip(columns, FIELDS, strict=True)
    )
    return [
        next((one for one in pair if isinstance(one, Fault)), pair)
        for pair in zip(first, second, strict=True)
    ]


def _fault(address: object, name: str) -> str | None:
    """What is wrong with an address that only a file can hold."""
    if isinstance(address, bytes):
        return f"{name} is not UTF-8 text"
    if isinstance(address, str) and _EXCEL_ERROR.fullmatch(_plain(address)):
        return f"{name} is an error of a formula in a workbook, such as #N/A"
    return None


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip(" \t\r\n\ufeff\u200b\"'").casefold()


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name[:_SHOWN_CHARACTERS]) for name in names[:_SHOWN]]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join(shown + more)
