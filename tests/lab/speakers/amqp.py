"""RabbitMQ: pika publishes with and without confirmations, gets, consumes with every acknowledgement, and asks by RPC."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pika
import pika.exceptions
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.support.brokers import rabbitmq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS_A_ROUND = 60
MESSAGES = 6
NAMES = ("red", "green", "blue", "white")
"""One for each client: its queues have names of their own."""
SECONDS = 20.0
LARGE = b"paint " * 60_000


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A broker."""
    with rabbitmq() as port:
        yield port


class Client:
    """One connection, which writes down what it asks and what it is given."""

    def __init__(self, port: int, diary: Diary) -> None:
        parameters = pika.ConnectionParameters("127.0.0.1", port, heartbeat=0, blocked_connection_timeout=SECONDS)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.diary = diary
        self.port: int = self.connection._impl._transport._sock.getsockname()[1]

    def note(self, operation: str, status: str = "ok", nonce: int = 0, outcome: str = "ok") -> None:
        """Write down a call of this connection."""
        self.diary.note(operation, status, outcome, nonce=nonce, connection=self.port)

    def declare(self, queue: str) -> None:
        """Make a queue."""
        self.channel.queue_declare(queue, auto_delete=True)
        self.note(f"queue.declare {queue}")

    def publish(self, channel: Any, status: str, queue: str, body: bytes, exchange: str = "", **more: Any) -> None:
        """Publish a message, with its nonce as its id."""
        nonce = self.diary.nonce()
        properties = pika.BasicProperties(message_id=f"nonce{nonce}", **more)
        destination = f"{exchange}:{queue}" if exchange else queue
        try:
            channel.basic_publish(exchange, queue, body, properties, mandatory=status == "312 NO_ROUTE")
        except pika.exceptions.UnroutableError:
            self.note(f"publish {destination}", "312 NO_ROUTE", nonce, "error")
            self.note(f"return {destination}", "312 NO_ROUTE", nonce, "error")
        else:
            self.note(f"publish {destination}", status, nonce)


def nonce_of(properties: pika.BasicProperties) -> int:
    """What a message was published with."""
    return int((properties.message_id or "").removeprefix("nonce"))


def speak(port: int, diary: Diary, calls: int) -> None:
    """Several clients, each with queues of its own."""
    at_once(lambda number: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND), NAMES[number]))


def visit(port: int, diary: Diary, rounds: int, name: str) -> None:
    """One client that publishes, and one that takes."""
    producer, consumer = Client(port, diary), Client(port, diary)
    sure = producer.connection.channel()
    sure.confirm_delivery()
    for queue in (f"orders{name}", f"pulled{name}", f"prices{name}"):
        consumer.declare(queue)
    replies = producer.channel.queue_declare("", exclusive=True).method.queue
    producer.note("queue.declare")
    for _ in range(rounds):
        consume(producer, sure, consumer, f"orders{name}")
        get(producer, consumer, f"pulled{name}")
        ask(producer, consumer, f"prices{name}", replies)
        fail(producer, sure)
        in_a_transaction(producer, f"pulled{name}")
    consumer.connection.close()
    producer.connection.close()


def consume(producer: Client, sure: Any, consumer: Client, queue: str) -> None:
    """Messages with and without confirmation, acknowledged in every way."""
    for number in range(MESSAGES):
        producer.publish(producer.channel, "", queue, b"order-%d" % number)
        producer.publish(sure, "ack", queue, LARGE if number == 0 else b"")
    taken: list[int] = []
    for method, properties, _ in consumer.channel.consume(queue, inactivity_timeout=SECONDS):
        assert method is not None, "a message was not delivered"
        taken.append(nonce_of(properties))
        last = len(taken) == 2 * MESSAGES
        if len(taken) == 3:
            consumer.channel.basic_ack(method.delivery_tag, multiple=True)
            for nonce in taken:
                consumer.note(f"process {queue}", "ack", nonce)
        elif len(taken) == 4:
            consumer.channel.basic_nack(method.delivery_tag, requeue=False)
            consumer.note(f"process {queue}", "nack", taken[-1], "error")
        elif len(taken) == 5:
            consumer.channel.basic_reject(method.delivery_tag, requeue=False)
            consumer.note(f"process {queue}", "reject", taken[-1], "error")
        elif len(taken) > 5:
            consumer.channel.basic_ack(method.delivery_tag)
            consumer.note(f"process {queue}", "ack", taken[-1])
        if last:
            break
    consumer.channel.cancel()
    consumer.note(f"basic.consume {queue}")
    consumer.note("basic.cancel")
    # The queue goes with its last consumer.
    consumer.declare(queue)


def get(producer: Client, consumer: Client, queue: str) -> None:
    """Messages that are asked for one by one."""
    for _ in range(3):
        producer.publish(producer.channel, "", queue, b"pull me")
    producer.connection.process_data_events(0)
    taken = 0
    while taken < 3:
        method, properties, _ = consumer.channel.basic_get(queue)
        if method is None:
            consumer.note(f"receive {queue}", "empty")
            continue
        taken += 1
        consumer.note(f"receive {queue}", "ok", nonce_of(properties))
        consumer.channel.basic_ack(method.delivery_tag)
        consumer.note("basic.ack", "")
    consumer.channel.basic_get(queue)
    consumer.note(f"receive {queue}", "empty")


def ask(producer: Client, consumer: Client, queue: str, replies: str) -> None:
    """Questions and their replies."""
    generated = "amq.gen-{id}"
    for _ in range(2):
        producer.publish(
            producer.channel, "", queue, b"paint", reply_to=replies, correlation_id=f"q{producer.diary.nonce()}"
        )
        for client, own, operation in ((consumer, queue, queue), (producer, replies, generated)):
            method, properties, _ = next(
                client.channel.consume(own, auto_ack=client is producer, inactivity_timeout=SECONDS)
            )
            assert method is not None, "a message was not delivered"
            client.note(f"process {operation}", "" if client is producer else "ack", nonce_of(properties))
            if client is consumer:
                consumer.channel.basic_ack(method.delivery_tag)
                nonce = consumer.diary.nonce()
                back = pika.BasicProperties(correlation_id=properties.correlation_id, message_id=f"nonce{nonce}")
                consumer.channel.basic_publish("", replies, b"price 12", back)
                consumer.note(f"publish {generated}", "", nonce)
    for client, operation in ((consumer, queue), (producer, generated)):
        client.channel.cancel()
        client.note(f"basic.consume {operation}")
        client.note("basic.cancel")
    consumer.declare(queue)


def fail(producer: Client, sure: Any) -> None:
    """What the broker gives back, and what it closes the channel for."""
    producer.publish(sure, "312 NO_ROUTE", "nowhere", b"lost")
    with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
        producer.connection.channel().queue_declare("missing", passive=True)
    producer.note("queue.declare missing", "404 NOT_FOUND", outcome="error")
    again = producer.connection.channel()  # has the number of the one that the broker has closed
    again.confirm_delivery()
    producer.publish(again, "312 NO_ROUTE", "nowhere", b"lost")
    again.close()


def in_a_transaction(producer: Client, queue: str) -> None:
    """Messages that are published for good only with the transaction."""
    channel = producer.connection.channel()
    channel.tx_select()
    producer.publish(channel, "", "nowhere", b"dropped")
    channel.tx_commit()
    producer.publish(channel, "", queue, b"not at all")
    channel.tx_rollback()
    channel.close()
    for operation in ("tx.select", "tx.commit", "tx.rollback"):
        producer.note(operation)


OWN = ("login", "connection.open /", "connection.close", "channel.open", "channel.close", "confirm.select")
SCENARIOS = (Scenario("RabbitMQ", server, speak, OWN),)
