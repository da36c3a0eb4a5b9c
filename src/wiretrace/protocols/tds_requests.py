"""What a client of SQL Server asks for ([MS-TDS] 2.2.6): logins, batches, remote procedure calls, transactions.

Rules: a login is read for its names; the password is passed over. Statements are shown without their literals, calls of
the procedures that carry statements (sp_executesql, sp_prepare, sp_execute ...) as the statement that they carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wiretrace.protocols.sql import Dialect
from wiretrace.protocols.sql_message import Description, describe, prepared_before, shown
from wiretrace.protocols.tds_session import (
    BATCH,
    BULK,
    FEDERATED,
    LOGIN,
    OLD_LOGIN,
    OLD_QUERY,
    RPC,
    SSPI,
    SYSTEM,
    TRANSACTION,
)
from wiretrace.protocols.tds_types import Reader, Unreadable, integer, text_of, utf8

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Context
    from wiretrace.protocols.tds_session import Session

_WIDE_FROM = 0x72090002
"""The version from which on numbers are wider: TDS 7.2."""
_PROCEDURES = {
    1: "sp_cursor", 2: "sp_cursoropen", 3: "sp_cursorprepare", 4: "sp_cursorexecute", 5: "sp_cursorprepexec",
    6: "sp_cursorunprepare", 7: "sp_cursorfetch", 8: "sp_cursoroption", 9: "sp_cursorclose", 10: "sp_executesql",
    11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 14: "sp_prepexecrpc", 15: "sp_unprepare",
}  # fmt: skip
_BY_NUMBER = 0xFFFF
_STATEMENT_AT = {
    "sp_executesql": 0, "sp_prepare": 2, "sp_prepexec": 2, "sp_cursoropen": 1, "sp_cursorprepare": 2, "sp_cursorprepexec": 3,
}  # fmt: skip
"""Procedures that carry a statement, and at which place among their parameters."""
_PREPARES = frozenset({"sp_prepare", "sp_prepexec", "sp_cursorprepare", "sp_cursorprepexec"})
_BY_HANDLE = frozenset({"sp_execute", "sp_cursorexecute", "sp_unprepare", "sp_cursorunprepare"})
_NEXT_CALL = (0x80, 0xFF, 0xFE)
_MOST_PARAMETERS = 2100
"""What SQL Server allows."""
_MOST_CALLS = 1000
_TRANSACTIONS = {
    0: "GET DTC ADDRESS", 1: "PROPAGATE TRANSACTION", 5: "BEGIN TRANSACTION", 6: "PROMOTE TRANSACTION",
    7: "COMMIT TRANSACTION", 8: "ROLLBACK TRANSACTION", 9: "SAVE TRANSACTION",
}  # fmt: skip
_LANGUAGE = 0x21
_ATTRIBUTES: dict[str, str | int] = {"db.system.name": SYSTEM}


class Asked(NamedTuple):
    """A request as a message shows it."""

    described: Description
    values: bytes


class _Call(NamedTuple):
    name: str
    parameters: list[tuple[bytes, bytes]]
    """Of each: its value as text, and as it was sent."""


def request(kind: int, payload: bytes, session: Session, context: Context) -> Asked | None:
    """The request in a message of type `kind`; None: the server's word has to be read first."""
    if kind == BATCH:
        return _statement(utf8(payload[_headers(payload) :]), session, context)
    if kind == RPC:
        return _procedure(payload, session, context)
    if kind in (LOGIN, OLD_LOGIN):
        return _login(payload, session) if kind == LOGIN else _old_login(payload)
    if kind == TRANSACTION:
        at = _headers(payload)
        number = int.from_bytes(payload[at : at + 2], "little")
        return _named(_TRANSACTIONS.get(number, "TRANSACTION"), session)
    if kind == OLD_QUERY:
        if payload[:1] == bytes((_LANGUAGE,)) and len(payload) > 6:
            length = int.from_bytes(payload[1:5], "little")
            return _statement(payload[6 : 5 + length], session, context)
        return _named("TDS 5 REQUEST", session)
    return _named({BULK: "BULK LOAD", SSPI: "login step", FEDERATED: "login step"}.get(kind, "REQUEST"), session)


def _named(operation: str, session: Session) -> Asked:
    attributes = _ATTRIBUTES if not session.namespace else {**_ATTRIBUTES, "db.namespace": session.namespace}
    return Asked(Description(operation, operation, attributes, b"", (), 0), b"")


def _statement(text: bytes, session: Session, context: Context) -> Asked:
    described = describe(text, Dialect.TSQL, SYSTEM, session.namespace, context.keep_values)
    return Asked(described, described.literals[: context.value_bytes])


def _headers(payload: bytes) -> int:
    """The length of ALL_HEADERS ([MS-TDS] 2.2.5.3), which only TDS 7.2 and later have."""
    total = int.from_bytes(payload[:4], "little")
    first = int.from_bytes(payload[4:8], "little")
    known = 0 < int.from_bytes(payload[8:10], "little") <= 3
    return total if known and 10 <= total <= len(payload) and 6 <= first <= total - 4 else 0


def _login(payload: bytes, session: Session) -> Asked:
    """LOGIN7: the names in it, by the table of their places."""
    if len(payload) < 72:
        return _named("login", session)

    def name_at(place: int) -> str:
        at = int.from_bytes(payload[place : place + 2], "little")
        length = int.from_bytes(payload[place + 2 : place + 4], "little")
        return shown(utf8(payload[at : at + 2 * length])) if length <= 128 else ""

    session.wide = int.from_bytes(payload[4:8], "little") >= _WIDE_FROM
    session.namespace = name_at(68)
    names = {
        "db.namespace": session.namespace,
        "wiretrace.tds.application": name_at(48),
        "wiretrace.tds.server": name_at(52),
        "wiretrace.tds.host": name_at(36),
    }
    attributes = {**_ATTRIBUTES, **{key: text for key, text in names.items() if text}}
    return Asked(Description("login", f"login {name_at(40)}".rstrip(), attributes, b"", (), 0), b"")


def _old_login(payload: bytes) -> Asked:
    """The login record of TDS 4.2 and 5.0: fields of 30 bytes with their length behind them."""
    user = shown(payload[31 : 31 + min(30, payload[61])]) if len(payload) > 61 else ""
    return Asked(Description("login", f"login {user}".rstrip(), _ATTRIBUTES, b"", (), 0), b"")


def _procedure(payload: bytes, session: Session, context: Context) -> Asked | None:
    """One or several calls in a message; the first is what is shown."""
    call, count = _calls(payload, context.value_bytes)
    name = call.name
    plain = name.rpartition(".")[2].lower()
    texts = [text for text, _ in call.parameters]
    handle = integer(call.parameters[0][1]) if call.parameters else -1
    if plain in _STATEMENT_AT:
        place = _STATEMENT_AT[plain]
        described = describe(
            texts[place] if place < len(texts) else b"", Dialect.TSQL, SYSTEM, session.namespace, context.keep_values
        )
        if plain in _PREPARES and session.aligned:
            session.preparing.append(described)
        if plain in ("sp_prepare", "sp_cursorprepare"):
            described = described._replace(
                operation=f"PREPARE {described.operation}", summary=f"PREPARE {described.summary}"
            )
        # Behind the statement, or in front of it, stand the declarations of its parameters: those are no values.
        declared = 1 if plain == "sp_executesql" else place - 1
        texts = [text for at, text in enumerate(texts) if at not in (place, declared)]
    elif plain in _BY_HANDLE:
        known = session.statements.get(handle)
        if known is None and session.preparing and session.aligned and not session.ended[1]:
            return None
        described = known or prepared_before(f"#{handle}", SYSTEM)
        if plain.endswith("unprepare"):
            session.statements.pop(handle, None)
            described = described._replace(
                operation="UNPREPARE", summary=f"UNPREPARE {described.summary}", literals=b""
            )
        texts = texts[1:]
    else:
        attributes: dict[str, str | int] = {**_ATTRIBUTES, "db.stored_procedure.name": name}
        if session.namespace:
            attributes["db.namespace"] = session.namespace
        marks = ", ".join(["?"] * min(len(texts), 20))
        if context.keep_values:
            marks = ", ".join(shown(text) for text in texts[:20])
        described = Description(f"EXEC {name}", f"EXEC {name} {marks}".rstrip(), attributes, b"", (), 0)
    if count > 1:
        described = described._replace(attributes={**described.attributes, "db.operation.batch.size": count})
    values = b" ".join([described.literals, *filter(None, texts)]).strip()
    return Asked(described, values[: context.value_bytes])


def _calls(payload: bytes, room: int) -> tuple[_Call, int]:
    """The first call of a message, and how many there are, as far as they can be read."""
    reader = Reader(payload, _headers(payload))
    first = _Call("", [])
    count = 0
    try:
        while reader.at < len(payload) and count < _MOST_CALLS:
            parameters: list[tuple[bytes, bytes]] = []
            length = reader.number(2)
            if length == _BY_NUMBER:
                number = reader.number(2)
                name = _PROCEDURES.get(number, f"#{number}")
            else:
                name = shown(utf8(reader.take(2 * length)))
            if not count:
                first = _Call(name, parameters)
            count += 1
            reader.take(2)
            while reader.at < len(payload) and payload[reader.at] not in _NEXT_CALL:
                reader.text(1)
                reader.take(1)
                kind = reader.type(in_columns=False)
                value = reader.value(kind)
                if len(parameters) < _MOST_PARAMETERS:
                    parameters.append((text_of(kind, value), (value or b"")[:8]))
            reader.at += 1
    except Unreadable:
        pass
    return first, count
