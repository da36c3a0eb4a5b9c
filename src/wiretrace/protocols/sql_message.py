"""What the messages of every SQL database have in common: how a statement is shown, with which attributes.

Attributes follow OpenTelemetry's database conventions: ``db.query.summary`` and ``db.query.text`` come from the statement,
``db.operation.name`` and ``db.collection.name`` are not read out of SQL text (the conventions ask not to).
Descriptions, and the dicts in them, are shared between equal statements: nobody may change them.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from wiretrace.model.limits import Limits
from wiretrace.protocols.sql import Dialect, fingerprint, one_line

if TYPE_CHECKING:
    from wiretrace.model.identifier import IdentifierKind
    from wiretrace.protocols.contract import Context

PREPARED_BEFORE = "prepared before the capture"
"""The note of a call whose statement was prepared before the capture began."""
STATEMENT_NAME, STATEMENT_PARAMETERS = "wiretrace.statement.name", "wiretrace.statement.parameters"
"""Attributes of such a call: what is known of its statement."""
_SHARED = "prepared statements"
_MOST_STATEMENTS = Limits().known_statements
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


def prepared_before(name: str, system: str, parameters: int = -1) -> Description:
    """The description of a statement that is known by its name alone, and perhaps by its number of parameters."""
    summary = f"<{PREPARED_BEFORE}> {name}"
    attributes: dict[str, str | int] = {"db.system.name": system, STATEMENT_NAME: name}
    if parameters >= 0:
        attributes[STATEMENT_PARAMETERS] = parameters
    return Description("EXECUTE", summary, attributes, b"", (), 0, (PREPARED_BEFORE,))


class Statements:
    """Statements that were prepared within the capture, by the pair of ends, their name and their number of parameters.

    By them others recognise what was prepared before. A name that stood for two texts tells nothing.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], dict[int, Description | None]] = {}

    @staticmethod
    def of(context: Context) -> Statements:
        """Those of all connections of the protocol."""
        found = context.shared.setdefault(_SHARED, Statements())
        assert isinstance(found, Statements)
        return found

    def remember(self, pair: str, name: str, parameters: int, description: Description) -> None:
        """A connection of `pair` prepared a statement."""
        key = pair, name
        texts = self._texts.get(key)
        if texts is None:
            if len(self._texts) >= _MOST_STATEMENTS:
                return
            texts = self._texts[key] = {}
        known = texts.get(parameters, description)
        same = known is not None and known.summary == description.summary
        texts[parameters] = description if same else None

    def find(self, pair: str, name: str, parameters: int) -> Description | None:
        """The one text that `name` stands for; `parameters` is -1 where their number is not known."""
        texts = self._texts.get((pair, name), {})
        if parameters >= 0:
            return texts.get(parameters)
        return next(iter(texts.values())) if len(texts) == 1 else None


def statements_in(shared: dict[str, object]) -> Statements | None:
    """The statements among what connections of a protocol share; None where it prepared none."""
    found = shared.get(_SHARED)
    return found if isinstance(found, Statements) else None


@functools.lru_cache(maxsize=1024)
def returned_rows(rows: int) -> dict[str, str | int]:
    """The attributes of an answer with `rows` rows."""
    return {"db.response.returned_rows": rows}


def shown(name: bytes) -> str:
    """A name that a message carries (a statement, a user, a channel), fit for a line of text."""
    return one_line(name[: 4 * _NAME_CHARACTERS])[:_NAME_CHARACTERS]
