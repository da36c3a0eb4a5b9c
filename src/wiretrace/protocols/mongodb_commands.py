"""What commands and answers of MongoDB say ("Database Commands" in MongoDB's manual): names, collections, errors.

Rules: a command is the name of the first element of its document. Its value names a collection only for commands of which
the manual says so. Nothing here remembers anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wiretrace.protocols.mongodb_bson import (
    ARRAY,
    DOCUMENT,
    STRING,
    Element,
    Outline,
    elements,
    number,
    string,
    values_of,
    walk,
)
from wiretrace.protocols.sql_message import returned_rows, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

OF_A_COLLECTION = frozenset(
    {
        b"find", b"insert", b"update", b"delete", b"aggregate", b"count", b"distinct", b"findAndModify", b"findandmodify",
        b"mapReduce", b"mapreduce", b"create", b"drop", b"createIndexes", b"dropIndexes", b"deleteIndexes",
        b"listIndexes", b"collStats", b"collstats", b"validate", b"killCursors", b"explain", b"collMod", b"compact",
        b"reIndex", b"planCacheClear", b"convertToCapped", b"cloneCollectionAsCapped", b"parallelCollectionScan", b"group",
    }
)  # fmt: skip
OF_THE_PROTOCOL = frozenset(
    {
        b"lsid", b"$clusterTime", b"$db", b"$readPreference", b"txnNumber", b"apiVersion", b"autocommit",
        b"startTransaction", b"readConcern", b"writeConcern", b"ordered", b"apiStrict", b"apiDeprecationErrors",
    }
)  # fmt: skip
"""Elements that stand beside every command and say nothing about it."""
_OF_THE_ANSWER = frozenset({b"ok", b"operationTime", b"$clusterTime", b"electionId", b"opTime", b"topologyVersion"})
_CREDENTIALS = frozenset({b"saslStart", b"saslContinue", b"authenticate", b"getnonce", b"createUser", b"updateUser"})
_SKIPPED = OF_THE_PROTOCOL | {b"speculativeAuthenticate", b"client", b"compression"}
_NAME_OF_ERROR = {
    1: "InternalError", 2: "BadValue", 9: "FailedToParse", 11: "UserNotFound", 13: "Unauthorized", 14: "TypeMismatch",
    18: "AuthenticationFailed", 20: "IllegalOperation", 26: "NamespaceNotFound", 27: "IndexNotFound",
    43: "CursorNotFound", 48: "NamespaceExists", 50: "MaxTimeMSExpired", 59: "CommandNotFound", 64: "WriteConcernFailed",
    66: "ImmutableField", 79: "UnknownReplWriteConcern", 85: "IndexOptionsConflict", 86: "IndexKeySpecsConflict",
    91: "ShutdownInProgress", 100: "UnsatisfiableWriteConcern", 112: "WriteConflict",
    121: "DocumentValidationFailure", 189: "PrimarySteppedDown", 251: "NoSuchTransaction", 10107: "NotWritablePrimary",
    11000: "DuplicateKey", 11600: "InterruptedAtShutdown", 11601: "Interrupted", 13435: "NotPrimaryNoSecondaryOk",
}  # fmt: skip
"""Errors whose names older servers, and entries of writeErrors, leave out (MongoDB's manual, "Error Codes")."""
_FIRST_ELEMENTS = 48


class Asked(NamedTuple):
    """A command as a message shows it."""

    operation: str
    summary: str
    attributes: dict[str, str | int]
    values: bytes


class Answered(NamedTuple):
    """An answer as a message shows it."""

    status: str
    attributes: dict[str, str | int] | None
    values: bytes
    failed: bool


def describe(operation: str, namespace: str, collection: str, outline: Outline) -> Asked:
    """A command of a name, with what it asks for."""
    attributes: dict[str, str | int] = {"db.system.name": "mongodb", "db.operation.name": operation}
    if namespace:
        attributes["db.namespace"] = namespace
    if collection:
        attributes["db.collection.name"] = collection
        operation = f"{operation} {collection}"
    text = outline.text
    summary = operation
    if text not in ("", "{}"):
        summary = f"{operation} {text}"
        attributes["db.query.summary"] = operation
        attributes["db.query.text"] = text
    return Asked(operation, summary, attributes, outline.values)


def command(
    data: bytes,
    at: int,
    end: int,
    outline: Outline,
    namespace: str = "",
    sequences: Sequence[tuple[bytes, int, int]] = (),
) -> Asked | None:
    """The command in the document at `at`; None where there is none. `sequences`: as `Outline.add` wants them."""
    parts = _first(data, at, end)
    if not parts:
        return None
    first = parts[0]
    name = first.name
    if first.kind == DOCUMENT and name in (b"$query", b"query", b"explain"):
        # Documents in documents are entered only as deep as `Outline` enters them: here once.
        inner = _first(data, first.at, min(first.end, end))
        if inner and inner[0].name not in (b"$query", b"query", b"explain"):
            asked = command(data, first.at, min(first.end, end), outline, namespace or _namespace(data, parts, end))
            if asked is not None and name == b"explain":
                asked = asked._replace(operation=f"explain {asked.operation}", summary=f"explain {asked.summary}")
            return asked
    namespace = _namespace(data, parts, end) or namespace
    collection = ""
    if name in OF_A_COLLECTION:
        collection = shown(string(data, first, end))
    elif name == b"getMore":
        collection = next((shown(string(data, part, end)) for part in parts if part.name == b"collection"), "")
    if name not in _CREDENTIALS:
        own = _SKIPPED | {name, b"collection"} if name == b"getMore" else _SKIPPED | {name}
        outline.add(data, at, end, own, sequences)
    return describe(shown(name), namespace, collection, outline)


def _namespace(data: bytes, parts: list[Element], end: int) -> str:
    return next((shown(string(data, part, end)) for part in parts if part.name == b"$db"), "")


def answer(data: bytes, at: int, end: int, room: int, keep_values: bool) -> Answered:
    """What the answer in the document at `at` says."""
    failed, code, name, message, rows = False, 0, "", b"", 0
    for part in _first(data, at, end):
        key = part.name
        if key == b"ok":
            failed |= part.end <= end and not number(data, part, end)
        elif key == b"code":
            code = code or int(number(data, part, end))
        elif key == b"codeName":
            name = shown(string(data, part, end))
        elif key in (b"errmsg", b"$err"):
            message = string(data, part, end)
            failed |= key == b"$err"
        elif key == b"err" and part.kind == STRING:
            failed, message = True, string(data, part, end)
        elif key == b"cursor" and part.kind == DOCUMENT:
            rows = _rows(data, part.at, min(part.end, end))
        elif key in (b"writeErrors", b"writeConcernError"):
            found, text = _nested_error(data, part, end)
            if found >= 0:
                failed, code, message = True, found, text
    if not failed:
        values = values_of(data, at, end, room, _OF_THE_ANSWER)
        return Answered("OK", returned_rows(rows) if rows else None, values, False)
    attributes: dict[str, str | int] = {}
    if code:
        attributes["db.response.status_code"] = str(code)
    if keep_values and message:
        attributes["wiretrace.error.message"] = shown(message)
    return Answered(name or _NAME_OF_ERROR.get(code) or str(code or "error"), attributes, b"", True)


def _first(data: bytes, at: int, end: int) -> list[Element]:
    """The first elements of the document, as many as are ever needed."""
    found = []
    for element in elements(data, at, end):
        found.append(element)
        if len(found) == _FIRST_ELEMENTS:
            break
    return found


def _rows(data: bytes, at: int, end: int) -> int:
    """How many documents the batch of a cursor holds; 0 where its end is missing."""
    for name, kind, begin, behind in walk(data, at, end):
        if name in (b"firstBatch", b"nextBatch") and kind == ARRAY:
            return sum(1 for _ in walk(data, begin, behind)) if behind <= end else 0
    return 0


def _nested_error(data: bytes, part: Element, end: int) -> tuple[int, bytes]:
    """Code and text of the first of writeErrors, or of a writeConcernError; -1 where there is none."""
    end = min(part.end, end)
    if part.kind == ARRAY:
        first = next(elements(data, part.at, end), None)
        return _nested_error(data, first, end) if first is not None and first.kind == DOCUMENT else (-1, b"")
    code, text = 0, b""
    for each in elements(data, part.at, end):
        if each.name == b"code":
            code = int(number(data, each, end))
        elif each.name == b"errmsg":
            text = string(data, each, end)
    return code, text
