"""Calls of statements that were prepared before the capture began: their text, where other connections tell it.

Rules: connections between the same client and server prepare the same statements under the same names. Once all packets of a
vantage point are read, a call whose statement is known by its name alone gets the text that this name (and number of
parameters) stands for on the other connections of the pair, if that is one single text. A note says where it comes from.
The spool is read again only where there are such calls, and only the parts with them are written again.
"""

from __future__ import annotations

import functools
import ipaddress
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.exchanges.redaction import scrub
from wiretrace.exchanges.spool import Spool, replace_parts
from wiretrace.protocols.sql_message import PREPARED_BEFORE, STATEMENT_NAME, STATEMENT_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.protocols.sql_message import Description, Statements

KNOWN_ELSEWHERE = "prepared before the capture; its text is that of another connection, where the name is the same"
_NAMELESS = "EXECUTE"
"""The operation of a call whose statement is not known."""
_COLUMNS = ("operation", "summary", "attributes", "notes")


@functools.lru_cache(maxsize=4096)
def pair_of(client: bytes, server: bytes, port: int) -> str:
    """Stands for a client's host and a server's end; the addresses are in network byte order."""
    return f"{ipaddress.ip_address(client)}>{ipaddress.ip_address(server)}:{port}"


def recognise_statements(spool: Spool, statements: dict[str, Statements]) -> Spool:
    """The spool, with the texts of statements that `statements` (by protocol) tells. Raises OSError."""
    return replace_parts(spool, _recognised(spool, statements)) if statements else spool


def _recognised(spool: Spool, statements: dict[str, Statements]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The parts in which texts became known, and their numbers."""
    for number, part in enumerate(spool.parts()):
        rows = _unknown(part)
        texts = {row: text for row in rows if (text := _text(part, row, statements)) is not None}
        if texts:
            yield number, _with_texts(part, texts)


def _unknown(part: pa.RecordBatch) -> list[int]:
    """The rows of calls whose statement was prepared before the capture began."""
    column = part.column("operation")
    if _NAMELESS not in column.dictionary.to_pylist():
        return []
    candidates: list[int] = pc.indices_nonzero(pc.equal(column, _NAMELESS)).to_pylist()
    notes = part.column("notes")
    return [row for row in candidates if PREPARED_BEFORE in notes[row].as_py()]


def _text(part: pa.RecordBatch, row: int, statements: dict[str, Statements]) -> Description | None:
    """What the statement of a call is, if other connections tell."""
    known = statements.get(part.column("protocol")[row].as_py())
    if known is None:
        return None
    attributes = json.loads(part.column("attributes")[row].as_py())
    client, server, port = (
        part.column(name)[row].as_py() for name in ("client_address", "server_address", "server_port")
    )
    return known.find(
        f"{client}>{server}:{port}", attributes.get(STATEMENT_NAME, ""), attributes.get(STATEMENT_PARAMETERS, -1)
    )


def _with_texts(part: pa.RecordBatch, texts: dict[int, Description]) -> pa.RecordBatch:
    """The part with these texts in the calls of these rows."""
    columns = {name: part.column(name).to_pylist() for name in _COLUMNS}
    for row, text in texts.items():
        columns["operation"][row] = text.operation
        columns["summary"][row] = scrub(text.summary)
        told = {key: scrub(value) if isinstance(value, str) else value for key, value in text.attributes.items()}
        columns["attributes"][row] = json.dumps({**json.loads(columns["attributes"][row]), **told}, ensure_ascii=False)
        columns["notes"][row] = [KNOWN_ELSEWHERE if note == PREPARED_BEFORE else note for note in columns["notes"][row]]
    arrays = []
    for field in part.schema:
        if field.name not in columns:
            arrays.append(part.column(field.name))
        elif pa.types.is_dictionary(field.type):
            arrays.append(pa.array(columns[field.name], pa.string()).dictionary_encode().cast(field.type))
        else:
            arrays.append(pa.array(columns[field.name], field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=part.schema)
