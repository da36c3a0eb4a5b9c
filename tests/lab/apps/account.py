"""account1: the asynchronous application, called by nginx and by the shop.

Usage: python -m tests.lab.apps.account TRUTH_FILE SEED
"""

import asyncio
import contextvars
import json
import random
import sys
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web
from tests.lab import topology
from tests.lab.apps.asynchronous import RedisPool, run_until_terminated, served
from tests.lab.truth import HEADER, TruthLog, endpoint, new_id, now_ns

POSTGRESQL_CONNECTIONS = 10
REDIS_CONNECTIONS = 16

current_call: contextvars.ContextVar[str] = contextvars.ContextVar("current_call")
"""The call on whose behalf a pooled connection is given back: the pool resets it then, which is a statement of its own."""
http_connection: contextvars.ContextVar[asyncio.Transport] = contextvars.ContextVar("http_connection")
"""The connection that aiohttp chose for the request of this task."""


class Connector(aiohttp.TCPConnector):
    """aiohttp's connection pool, which tells the connection it chose."""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """Choose or open a connection."""
        connection = await super().connect(*arguments, **options)
        http_connection.set(connection.transport)
        return connection


class Account:
    """The endpoints."""

    def __init__(self, log: TruthLog, seed: int) -> None:
        self._log = log
        self.redis = RedisPool(log, REDIS_CONNECTIONS)
        self._random = random.Random(seed)

    async def open(self) -> None:
        """Open the pools."""
        self._database = await asyncpg.create_pool(
            host=topology.ipv4("pg1"), port=topology.POSTGRESQL_PORT, user=topology.USER, password=topology.PASSWORD,
            database=topology.DATABASE, min_size=2, max_size=POSTGRESQL_CONNECTIONS,
            connect=self._connect_postgresql, reset=self._reset_postgresql,
        )  # fmt: skip
        await self.redis.warm(2)
        self._http = aiohttp.ClientSession(connector=Connector(limit=16), headers={"User-Agent": "account/2.0"})

    async def _connect_postgresql(self, *arguments: Any, **options: Any) -> Any:
        start = now_ns()
        connection = await asyncpg.connect(*arguments, **options)
        self._write_statement(None, connection, "login", start, setup=True)
        return connection

    async def _reset_postgresql(self, connection: Any) -> None:
        start = now_ns()
        await connection.reset()
        self._write_statement(current_call.get(), connection, "reset", start)

    def _write_statement(
        self, parent: str | None, connection: Any, statement: str, start: int, setup: bool = False
    ) -> None:
        transport = getattr(connection, "_con", connection)._transport
        client, server = endpoint(transport.get_extra_info("sockname")), endpoint(transport.get_extra_info("peername"))
        self._log.write(parent, "pg", "postgresql", statement, client, server, start, exchanges=None, setup=setup)

    async def _query(self, call: str, connection: Any, statement: str, *parameters: object) -> list[Any]:
        """Run a statement (extended protocol; prepared when it is new to the connection)."""
        start = now_ns()
        rows: list[Any] = await connection.fetch(statement, *parameters)
        self._write_statement(call, connection, statement, start)
        return rows

    async def _command(self, call: str, connection: Any, statement: str) -> None:
        """Run a statement without parameters (simple protocol)."""
        start = now_ns()
        await connection.execute(statement)
        self._write_statement(call, connection, statement, start)

    async def _select(self, call: str, statement: str, *parameters: object) -> list[Any]:
        current_call.set(call)
        async with self._database.acquire() as connection:
            return await self._query(call, connection, statement, *parameters)

    async def _get(self, call: str, target: str) -> Any:
        """Call price1."""
        child = new_id()
        start = now_ns()
        url = f"http://[{topology.ipv6('price1')}]:{topology.PRICE_PORT}{target}"
        async with self._http.get(url, headers={HEADER: child}) as response:
            body = await response.json()
        transport = http_connection.get()
        client, server = endpoint(transport.get_extra_info("sockname")), endpoint(transport.get_extra_info("peername"))
        self._log.write(call, "price", "http", f"GET {target}", client, server, start, call_id=child)
        return body

    async def user(self, call: str, request: web.Request) -> tuple[int, object]:
        """One call where the user is cached, three and a reset where not."""
        number = int(request.match_info["user"])
        (cached,) = await self.redis.call(call, ("GET", f"user:{number}"))
        if cached is None:
            rows = await self._select(call, "SELECT id, name, email, city FROM users WHERE id = $1", number)
            if not rows:
                return 404, {"error": f"no user {number}"}
            cached = json.dumps(dict(rows[0]))
            await self.redis.call(call, ("SET", f"user:{number}", cached, "EX", 300))
        return 200, json.loads(str(cached))

    async def login(self, call: str, request: web.Request) -> tuple[int, object]:
        """A query, then a statement, a cache write and a counter side by side."""
        email = (await request.json())["email"]
        rows = await self._select(call, "SELECT id, name FROM users WHERE email = $1", email)
        if not rows:
            return 404, {"error": "no such user"}
        token = uuid.UUID(int=self._random.getrandbits(128), version=4)
        user = rows[0]["id"]
        await asyncio.gather(
            self._select(call, "INSERT INTO sessions (token, user_id) VALUES ($1, $2)", str(token), user),
            self.redis.call(call, ("SET", f"session:{token}", user, "EX", 3600)),
            self.redis.call(call, ("INCR", f"logins:{user}")),
        )
        return 200, {"token": str(token), "user": user}

    async def summary(self, call: str, request: web.Request) -> tuple[int, object]:
        """Three calls side by side, one of them a pipeline and one to an application that makes calls itself."""
        number = int(request.match_info["user"])
        orders, activity, discount = await asyncio.gather(
            self._select(call, "SELECT status, count(*) AS n FROM orders WHERE user_id = $1 GROUP BY status", number),
            self.redis.call(call, ("LRANGE", f"events:{number}", 0, 9), ("GET", f"logins:{number}")),
            self._get(call, f"/discounts/{number}"),
        )
        return 200, {"orders": [dict(row) for row in orders], "events": activity[0], "logins": activity[1], **discount}

    async def charge(self, call: str, request: web.Request) -> tuple[int, object]:
        """A price, a transaction of four statements, and the cached user dropped."""
        number = int(request.match_info["user"])
        order = await request.json()
        quote = await self._get(call, f"/quotes/{order['product']}?user={number}")
        current_call.set(call)
        async with self._database.acquire() as connection:
            await self._command(call, connection, "BEGIN")
            await self._query(call, connection, "SELECT balance_cents FROM users WHERE id = $1 FOR UPDATE", number)
            await self._query(
                call, connection, "UPDATE users SET balance_cents = balance_cents - $1 WHERE id = $2",
                quote["price"] * order["quantity"], number,
            )  # fmt: skip
            await self._command(call, connection, "COMMIT")
        await self.redis.call(call, ("DEL", f"user:{number}"))
        return 200, {"charged": quote["price"] * order["quantity"]}

    async def event(self, call: str, request: web.Request) -> tuple[int, object]:
        """One pipeline of two commands."""
        event = await request.json()
        key = f"events:{event['user']}"
        await self.redis.call(call, ("LPUSH", key, json.dumps(event)), ("LTRIM", key, 0, 99))
        return 202, {}


async def main() -> None:
    """Serve until SIGTERM."""
    log = TruthLog(Path(sys.argv[1]), "account")
    account = Account(log, seed=int(sys.argv[2]))
    await account.open()
    application = web.Application()
    application.router.add_get("/users/{user}", served(log, account.user))
    application.router.add_get("/users/{user}/summary", served(log, account.summary))
    application.router.add_post("/users/{user}/charge", served(log, account.charge))
    application.router.add_post("/login", served(log, account.login))
    application.router.add_post("/events", served(log, account.event))
    await run_until_terminated(application, "0.0.0.0", topology.ACCOUNT_PORT, log)


if __name__ == "__main__":
    asyncio.run(main())
