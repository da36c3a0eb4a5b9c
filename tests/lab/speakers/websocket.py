"""WebSocket: aiohttp as client and server: sessions that end well, with a code of the application, and with an error."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS_A_ROUND = 10
SECONDS = 20
LARGE = b"paint " * 50_000
CODES = {"/rooms": 1000, "/away": 1001, "/own": 4711, "/broken": 1011, "/large": 1000}
"""By path: the code with which the session is closed; under /broken the server does it."""


async def answer(request: web.Request) -> web.WebSocketResponse:
    """Says what it was told."""
    session = web.WebSocketResponse()
    await session.prepare(request)
    async for message in session:
        if request.path == "/broken":
            await session.close(code=CODES["/broken"])
        elif message.type is aiohttp.WSMsgType.TEXT:
            await session.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await session.send_bytes(message.data)
    return session


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A server in a thread of its own."""
    port, loop, begun = free_port(), asyncio.new_event_loop(), threading.Event()
    application = web.Application()
    for path in CODES:
        application.router.add_get(path, answer)
    runner = web.AppRunner(application)

    async def begin() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        begun.set()

    def run() -> None:
        loop.run_until_complete(begin())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(SECONDS), "the server does not start"
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)


def speak(port: int, diary: Diary, calls: int) -> None:
    """Several clients of one loop."""

    async def visits() -> None:
        rounds = max(1, calls // CLIENTS // CALLS_A_ROUND)
        await asyncio.gather(*(visit(port, diary, rounds) for _ in range(CLIENTS)))

    asyncio.run(visits())


async def visit(port: int, diary: Diary, rounds: int) -> None:
    """One client: one session after the other, each of which is two calls."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        for _ in range(rounds):
            for path, code in CODES.items():
                nonce = diary.nonce()
                compress = 15 if path == "/rooms" else 0
                async with client.ws_connect(f"{path}?room=nonce{nonce}", compress=compress) as session:
                    own = session.get_extra_info("sockname")[1]
                    await session.send_str("hello")
                    if path == "/broken":
                        assert (await session.receive(SECONDS)).type is aiohttp.WSMsgType.CLOSE
                        assert session.close_code == code
                    else:
                        assert (await session.receive_str(timeout=SECONDS)) == "hello"
                        if path == "/large":
                            await session.send_bytes(LARGE)
                            assert (await session.receive_bytes(timeout=SECONDS)) == LARGE
                        await session.close(code=code)
                diary.note(f"GET {path}", "101", nonce=nonce, connection=own)
                outcome = "error" if path == "/broken" else "ok"
                diary.note(f"WEBSOCKET {path}", str(code), outcome, nonce=nonce, connection=own)


SCENARIOS = (Scenario("WebSocket (aiohttp)", server, speak),)
