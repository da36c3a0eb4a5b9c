"""SQL Server: pytds as the client of a small server that knows a few statements; one session, and several (MARS)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytds
from tests.protocols.recording.loopback import recorded
from tests.support.tds import small_server


def connect(port: int, **options: Any) -> Any:
    """A connection to the small server."""
    return pytds.connect(
        "127.0.0.1", port=port, database="shop", user="mary", password="hunter2", appname="shop", **options
    )


def tds_session() -> None:
    """A login, batches, calls with parameters, an error, a transaction."""
    with small_server() as port, recorded("tds_session", port):
        with connect(port, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT [n_id], article FROM dbo.[Order Details] WHERE customer = N'user-8812'")
            cursor.fetchall()
            cursor.execute("SELECT * FROM orders WHERE id = %s AND state = %s", (8812, "open"))
            cursor.fetchall()
            with contextlib.suppress(pytds.Error):
                cursor.execute("SELECT * FROM missing WHERE id = 4711")
            cursor.callproc("dbo.restock", (4711, "paint-77"))
            cursor.execute(f"INSERT INTO orders (id, note) VALUES (9000, '{'x' * 6000}')")
        with connect(port, autocommit=False) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO orders (id) VALUES (31)")
            connection.commit()


def tds_several() -> None:
    """Two cursors of one connection whose answers lie between each other."""
    with (
        small_server() as port,
        recorded("tds_several", port),
        connect(port, autocommit=True, use_mars=True) as connection,
        connection.cursor() as one,
        connection.cursor() as other,
    ):
        one.execute("SELECT n_id, article FROM orders WHERE id = 1001")
        other.execute("SELECT n_id, article FROM articles WHERE id = %s", (2002,))
        other.fetchall()
        one.fetchall()
        with contextlib.suppress(pytds.Error):
            other.execute("SELECT * FROM missing")


SCENARIOS = (tds_session, tds_several)
