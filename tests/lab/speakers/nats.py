"""NATS: nats-py publishes, asks and is asked, and works with a stream (JetStream)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import nats as client
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario
from tests.support.brokers import nats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nats.aio.msg import Msg

CALLS_A_ROUND = 30
SECONDS = 20
LARGE = b"paint " * 50_000
NAMES = ("red", "green", "blue", "white")
"""One for each client: its subjects begin so."""


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A server with JetStream."""
    with nats() as port:
        yield port


class Client:
    """One connection, which writes down what it asks and what it is given."""

    def __init__(self, connection: Any, diary: Diary) -> None:
        self.connection, self.diary = connection, diary
        self.port: int = connection._transport._io_writer.get_extra_info("sockname")[1]

    def note(self, operation: str, status: str = "", nonce: int = 0, outcome: str = "ok") -> None:
        """Write down a call of this connection."""
        self.diary.note(operation, status, outcome, nonce=nonce, connection=self.port)


def nonce_of(subject: str) -> int:
    """What the subject of a message ends with."""
    return int(subject.rpartition("nonce")[2])


def speak(port: int, diary: Diary, calls: int) -> None:
    """Several clients of one loop, each with a subscriber of its own."""

    async def visits() -> None:
        rounds = max(1, calls // CLIENTS // CALLS_A_ROUND)
        await asyncio.gather(*(visit(port, diary, rounds, name) for name in NAMES[:CLIENTS]))

    asyncio.run(visits())


async def visit(port: int, diary: Diary, rounds: int, name: str) -> None:
    """One client and its service."""
    service, asking = [
        Client(await client.connect(f"nats://127.0.0.1:{port}", error_cb=ignore), diary) for _ in range(2)
    ]
    taken: asyncio.Queue[None] = asyncio.Queue()

    async def take(message: Msg) -> None:
        service.note(f"process {name}.{{id}}", "", nonce_of(message.subject))
        taken.put_nowait(None)

    async def answer(message: Msg) -> None:
        service.note(f"process prices.{name}.{{id}}", "ok", nonce_of(message.subject))
        await message.respond(b"price 12")

    for subject, callback in ((f"{name}.*", take), (f"prices.{name}.*", answer)):
        await service.connection.subscribe(subject, cb=callback)
        service.note(f"subscribe {subject}")
    await service.connection.flush()
    stream = asking.connection.jetstream()
    await stream.add_stream(name=f"events{name}", subjects=[f"events.{name}.*"])
    asking.note(f"request $JS.API.STREAM.CREATE.events{name}", "ok")
    reader = await service.connection.jetstream().subscribe(
        f"events.{name}.*", stream=f"events{name}", durable=name, manual_ack=True
    )
    for _ in range(rounds):
        for body, headers in ((b"", None), (b"order-42", {"attempt": "1"}), (LARGE, None)):
            nonce = diary.nonce()
            await asking.connection.publish(f"{name}.nonce{nonce}", body, headers=headers)
            asking.note(f"publish {name}.{{id}}", "", nonce)
        await asking.connection.flush()
        for _ in range(3):
            await asyncio.wait_for(taken.get(), SECONDS)
        nonces = [diary.nonce() for _ in range(4)]
        await ask(asking, f"prices.{name}", nonces[0])
        await asyncio.gather(*(ask(asking, f"prices.{name}", nonce) for nonce in nonces[1:]))
        nonce = diary.nonce()
        try:
            await asking.connection.request(f"nobody.nonce{nonce}", b"", timeout=SECONDS)
        except client.errors.NoRespondersError:
            asking.note("request nobody.{id}", "503", nonce, "error")
        for number in range(3):
            nonce = diary.nonce()
            await stream.publish(f"events.{name}.nonce{nonce}", b"order-%d" % number)
            asking.note(f"request events.{name}.{{id}}", "ok", nonce)
            message = await reader.next_msg(timeout=SECONDS)
            await message.ack()
            service.note(f"process events.{name}.{{id}}", "ok", nonce_of(message.subject))
    await service.connection.flush()
    await asking.connection.close()
    await service.connection.close()


async def ask(asking: Client, subject: str, nonce: int) -> None:
    """A request and its reply."""
    await asking.connection.request(f"{subject}.nonce{nonce}", b"paint", timeout=SECONDS)
    asking.note(f"request {subject}.{{id}}", "ok", nonce)


async def ignore(_error: Exception) -> None:
    """Errors of the connection are in the capture."""


# The library asks about a consumer before it makes one.
ABOUT = ("INFO", "DURABLE.CREATE")
CONSUMERS = tuple(f"request $JS.API.CONSUMER.{word}.events{name}.{name}" for word in ABOUT for name in NAMES)
OWN = ("ping", "subscribe _INBOX.{id}", *CONSUMERS)
SCENARIOS = (Scenario("NATS", server, speak, OWN),)
