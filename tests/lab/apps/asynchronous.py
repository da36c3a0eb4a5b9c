"""What the asynchronous applications share: the HTTP server around their handlers, and a Redis pool that writes its
calls down."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable

from aiohttp import web
from redis.asyncio import Connection
from tests.lab import topology
from tests.lab.truth import HEADER, TruthLog, endpoint, new_id, now_ns

Handler = Callable[[str, web.Request], Awaitable[tuple[int, object]]]
"""Answers a request, given the id of its call, with a status and a body."""


def served(log: TruthLog, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Wrap a handler. A call from nginx is written down here; other callers write their own and name it in the header."""

    async def answer(request: web.Request) -> web.Response:
        start = now_ns()
        named = request.headers[HEADER]
        through_nginx = "X-Forwarded-For" in request.headers
        call = new_id() if through_nginx else named
        status, body = await handler(call, request)
        if through_nginx:
            transport = request.transport
            assert transport is not None
            log.write_served(
                call, named, "web", f"{request.method} {request.path_qs}",
                endpoint(transport.get_extra_info("peername")), endpoint(transport.get_extra_info("sockname")), start,
            )  # fmt: skip
        return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")

    return answer


class RedisPool:
    """Up to ``size`` Redis connections that write down their calls."""

    def __init__(self, log: TruthLog, size: int) -> None:
        self._log = log
        self._room = size
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()

    async def _open(self) -> Connection:
        self._room -= 1
        connection = Connection(host=topology.ipv4("cache1"), port=topology.REDIS_PORT, decode_responses=True)
        start = now_ns()
        await connection.connect()
        self._write(None, connection, "connect", start, exchanges=None, setup=True)
        return connection

    def _write(
        self,
        parent: str | None,
        connection: Connection,
        operation: str,
        start: int,
        exchanges: int | None,
        setup: bool = False,
    ) -> None:
        writer = connection._writer
        client, server = endpoint(writer.get_extra_info("sockname")), endpoint(writer.get_extra_info("peername"))
        self._log.write(parent, "redis", "redis", operation, client, server, start, exchanges=exchanges, setup=setup)

    async def warm(self, count: int) -> None:
        """Open connections ahead of the first call."""
        for connection in [await self._open() for _ in range(count)]:
            self._free.put_nowait(connection)

    async def call(self, parent: str, *commands: tuple[str | int, ...]) -> list[object]:
        """Send the commands in one write (pipelined where there are several) and return their answers."""
        if self._free.empty() and self._room > 0:
            connection = await self._open()
        else:
            connection = await self._free.get()
        try:
            start = now_ns()
            await connection.send_packed_command(connection.pack_commands(commands))
            answers = [await connection.read_response() for _ in commands]
            operation = " ".join(str(command[0]) for command in commands)
            self._write(parent, connection, operation, start, exchanges=len(commands))
        finally:
            self._free.put_nowait(connection)
        return answers


async def run_until_terminated(application: web.Application, host: str, port: int, log: TruthLog) -> None:
    """Serve until SIGTERM, then write out the truth."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    await stopped.wait()
    log.close()
    os._exit(0)
