"""What the messages of every SQL database have in common: how a statement is shown, with which attributes.

Attributes follow OpenTelemetry's database conventions: ``db.query.summary`` and ``db.query.text`` come from the statement,
``db.operation.name`` and ``db.collection.name`` are not read out of SQL text (the conventions ask not to).
Descriptions, and the dicts in them, are shared between equal statements: nobody may change them.
"""

import functools
import re
from typing import NamedTuple

from wiretrace.model.identifier import IdentifierKind
from wiretrace.protocols.sql import Dialect, fingerprint, one_line

PREPARED_BEFORE = "prepared before the capture"
"""The note of a call whose statement was prepared before the capture began."""
_CACHED_BYTES = 2048
_PLACEHOLDER = re.compile(rb"\$([0-9]{1,5})")
_NAME_CHARACTERS = 100


class Description(NamedTuple):
    """A statement as a message shows it."""

    operation: str
    """As `sql.Statement.operation`."""
    summary: str
    """The text in one line; redacted, unless the user asked for values."""
    attributes: dict[str, str | int]
    """Attributes of the request."""
    literals: bytes
    """Literals and the text of comments."""
    identifiers: tuple[tuple[IdentifierKind, bytes], ...]
    """The trace id of an SQLCommenter comment."""
    placeholders: int
    """The highest $n in the text."""
    notes: tuple[str, ...] = ()
    """Why the text is not known, or not known for sure."""


def describe(statement: bytes, dialect: Dialect, system: str, namespace: str, keep_values: bool) -> Description:
    """The description of `statement`, from a cache where it is short."""
    if len(statement) > _CACHED_BYTES:
        return _describe(statement, dialect, system, namespace, keep_values)
    return _describe_cached(statement, dialect, system, namespace, keep_values)


def _describe(statement: bytes, dialect: Dialect, system: str, namespace: str, keep_values: bool) -> Description:
    operation, summary, literals, identifiers = fingerprint(statement, dialect)
    attributes: dict[str, str | int]
    if keep_values:
        summary = one_line(statement)
        attributes = dict(_attributes(operation, "", system, namespace))
        attributes["db.query.text"] = summary
    else:
        attributes = _attributes(operation, summary, system, namespace)
    numbers = [int(number) for number in _PLACEHOLDER.findall(statement)]
    return Description(operation, summary, attributes, literals, identifiers, max(numbers, default=0))


_describe_cached = functools.lru_cache(maxsize=8192)(_describe)


@functools.lru_cache(maxsize=2048)
def _attributes(operation: str, text: str, system: str, namespace: str) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {"db.system.name": system, "db.query.summary": operation, "db.query.text": text}
    if namespace:
        attributes["db.namespace"] = namespace
    return attributes


def prepared_before(name: str, system: str) -> Description:
    """The description of a statement that is known by its name alone."""
    summary = f"<{PREPARED_BEFORE}> {name}"
    return Description("EXECUTE", summary, {"db.system.name": system}, b"", (), 0, (PREPARED_BEFORE,))


@functools.lru_cache(maxsize=1024)
def returned_rows(rows: int) -> dict[str, str | int]:
    """The attributes of an answer with `rows` rows."""
    return {"db.response.returned_rows": rows}


def shown(name: bytes) -> str:
    """A name that a message carries (a statement, a user, a channel), fit for a line of text."""
    return one_line(name[: 4 * _NAME_CHARACTERS])[:_NAME_CHARACTERS]
