"""NATS: nats-py and nats-server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import nats as client
from tests.protocols.recording.loopback import recorded
from tests.support.brokers import nats

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def nats_messages() -> None:
    """Publishing with headers, requests and their replies, nobody to reply, a durable stream."""
    with nats() as port, recorded("nats_messages", port):
        asyncio.run(talk(f"nats://127.0.0.1:{port}"))


async def talk(server: str) -> None:
    """A service and its client."""
    quiet: dict[str, Callable[..., Any]] = {"error_cb": ignore}
    service = await client.connect(server, name="service", **quiet)
    asking = await client.connect(server, name="client", **quiet)

    async def answer(message: Any) -> None:
        await message.respond(b"price 12")

    async def take(message: Any) -> None:
        return None

    await service.subscribe("prices.*", cb=answer)
    await service.subscribe("orders.>", queue="workers", cb=take)
    await service.flush()
    await asking.publish("orders.4711.new", b"order-42", headers={"traceparent": TRACE})
    await asking.publish("orders.4712.new", b"paint " * 300)
    for _ in range(3):
        await asking.request("prices.paint", b"paint", timeout=2)
    with contextlib.suppress(client.errors.NoRespondersError):
        await asking.request("nobody.here", b"", timeout=2)
    stream = asking.jetstream()
    await stream.add_stream(name="events", subjects=["events.*"])
    await stream.publish("events.created", b"order-43")
    reader = await service.jetstream().subscribe("events.*", durable="billing")
    message = await reader.next_msg(timeout=2)
    await message.ack()
    await service.flush()
    await asking.close()
    await service.close()


async def ignore(error: Exception) -> None:
    """Errors of the connection are in the capture."""


SCENARIOS = (nats_messages,)
