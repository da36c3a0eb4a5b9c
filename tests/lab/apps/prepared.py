"""Prepared statements of the MySQL protocol (binary rows) on a PyMySQL connection, which itself speaks only the text
protocol.

Rules of this file: parameters are integers or strings; result columns are INT, BIGINT or strings. Layouts: MariaDB
"Server/Client protocol", COM_STMT_PREPARE, COM_STMT_EXECUTE and "Resultset row, binary".
"""

import struct
from typing import TYPE_CHECKING, Any

from pymysql.constants import FIELD_TYPE

if TYPE_CHECKING:
    import pymysql

COM_STMT_PREPARE = 0x16
COM_STMT_EXECUTE = 0x17


class PreparedStatement:
    """A statement that the server keeps for one connection."""

    def __init__(self, connection: "pymysql.connections.Connection[Any]", text: str) -> None:
        self._connection = connection
        connection._execute_command(COM_STMT_PREPARE, text)
        answer = connection._read_packet()
        self.number, columns, parameters = struct.unpack_from("<IHH", answer.get_all_data(), 1)
        for count in (parameters, columns):
            self._skip_definitions(count)

    def _skip_definitions(self, count: int) -> list[int]:
        """Read ``count`` column definitions and the EOF after them; return the column types."""
        types = []
        for _ in range(count):
            data = self._connection._read_packet().get_all_data()
            types.append(data[-6])
        if count:
            self._connection._read_packet()
        return types

    def execute(self, *parameters: int | str) -> list[tuple[Any, ...]]:
        """Run the statement and return its rows; none where it returns none."""
        types, values = b"", b""
        for parameter in parameters:
            if isinstance(parameter, int):
                types += struct.pack("<BB", FIELD_TYPE.LONGLONG, 0)
                values += struct.pack("<q", parameter)
            else:
                encoded = parameter.encode()
                types += struct.pack("<BB", FIELD_TYPE.VAR_STRING, 0)
                values += _length(len(encoded)) + encoded
        bitmap = bytes((len(parameters) + 7) // 8)
        head = struct.pack("<IBI", self.number, 0, 1)
        self._connection._execute_command(
            COM_STMT_EXECUTE, head + bitmap + (b"\x01" if parameters else b"") + types + values
        )
        answer = self._connection._read_packet()
        if answer.is_ok_packet():
            return []
        column_types = self._skip_definitions(answer.read_length_encoded_integer())
        rows = []
        while not (packet := self._connection._read_packet()).is_eof_packet():
            rows.append(_binary_row(packet.get_all_data(), column_types))
        return rows


def _binary_row(data: bytes, types: list[int]) -> tuple[Any, ...]:
    null_bits = data[1:]
    at = 1 + (len(types) + 9) // 8
    row: list[Any] = []
    for number, kind in enumerate(types):
        if null_bits[(number + 2) // 8] >> (number + 2) % 8 & 1:
            row.append(None)
        elif kind == FIELD_TYPE.LONG:
            row.append(struct.unpack_from("<i", data, at)[0])
            at += 4
        elif kind == FIELD_TYPE.LONGLONG:
            row.append(struct.unpack_from("<q", data, at)[0])
            at += 8
        else:
            size = data[at]
            row.append(data[at + 1 : at + 1 + size].decode())
            at += 1 + size
    return tuple(row)


def _length(value: int) -> bytes:
    """A length-encoded integer; strings of the lab are shorter than 251 bytes."""
    return struct.pack("<B", value)
