"""WebSocket sessions: the library websockets as client and server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import websockets
import websockets.asyncio.client
import websockets.asyncio.server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

from tests.protocols.recording.loopback import recorded

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def websocket_sessions() -> None:
    """Sessions that end well, that end with an error, and one that is cut; text, binary, fragments, compression, pings."""

    async def serve_one(connection: websockets.asyncio.server.ServerConnection) -> None:
        if connection.request is not None and connection.request.path == "/broken":
            await connection.recv()
            raise RuntimeError("on purpose")
        async for message in connection:
            await connection.send(message)

    async def fragments() -> AsyncIterator[str]:
        for part in ("one ", "message ", "in parts"):
            yield part

    async def visit() -> None:
        import logging

        logging.getLogger("websockets").setLevel(logging.CRITICAL)
        async with websockets.asyncio.server.serve(serve_one, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            url = f"ws://127.0.0.1:{port}"
            recording = recorded("websocket_sessions", port)
            await asyncio.to_thread(recording.__enter__)
            connect = websockets.asyncio.client.connect
            async with connect(
                f"{url}/rooms/881", compression=None, additional_headers={"traceparent": TRACE}
            ) as plain:
                await plain.send("hello")
                await plain.recv()
                await plain.send(b"\x00\x01" * 700)
                await plain.recv()
                await plain.send(fragments())
                await plain.recv()
                await (await plain.ping())
            async with connect(f"{url}/compressed") as packed:
                for _ in range(3):
                    await packed.send("the same words again and again " * 5)
                    await packed.recv()
            async with connect(f"{url}/broken", compression=None) as broken:
                await broken.send("fail, please")
                await broken.wait_closed()
            cut = await connect(f"{url}/cut", compression=None)
            await cut.send("and away")
            await cut.recv()
            cut.transport.abort()
            await asyncio.sleep(0.1)
            await asyncio.to_thread(recording.__exit__, None, None, None)

    asyncio.run(visit())


SCENARIOS = (websocket_sessions,)
