"""MQTT: paho-mqtt and Mosquitto, versions 3.1.1 and 5, every quality of service."""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.support.brokers import mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS_A_ROUND = 23
NAMES = ("red", "green", "blue", "white")
"""One for each client: its topics begin so."""
SECONDS = 20.0
LARGE = b"paint " * 50_000


@contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A broker."""
    with mosquitto() as port:
        yield port


class Client:
    """One connection, which writes down what it asks and what it is given."""

    def __init__(self, port: int, diary: Diary, version: Any) -> None:
        self.diary = diary
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version)
        self.answered = threading.Semaphore(0)
        self.came = threading.Semaphore(0)
        self.client.on_connect = lambda *_: self.answered.release()
        self.client.on_subscribe = lambda *_: self.answered.release()
        self.client.on_unsubscribe = lambda *_: self.answered.release()
        self.client.on_publish = self.confirm
        self.reason = ""
        self.client.on_message = self.take
        self.client.connect("127.0.0.1", port, keepalive=600)
        self.port: int = self.client.socket().getsockname()[1]
        self.client.loop_start()
        self.wait()
        self.note("connect")

    def note(self, operation: str, status: str = "ok", nonce: int = 0, outcome: str = "ok") -> None:
        """Write down a call of this connection."""
        self.diary.note(operation, status, outcome, nonce=nonce, connection=self.port)

    def wait(self) -> None:
        """Until an answer has come."""
        assert self.answered.acquire(timeout=SECONDS), "the broker does not answer"

    def confirm(self, _client: Any, _data: Any, _number: int, reason: Any, _properties: Any) -> None:
        """The broker's word on a message."""
        self.reason = str(reason)
        self.answered.release()

    def take(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        """A message is delivered: the library acknowledges it."""
        name, _, nonce = message.topic.partition("/nonce")
        self.note(f"process {name}/{{id}}", "ok" if message.qos else "", int(nonce))
        self.came.release()

    def publish(self, topic: str, body: bytes, quality: int) -> None:
        """Publish a message, and wait until it is confirmed."""
        nonce = self.diary.nonce()
        self.client.publish(f"{topic}/nonce{nonce}", body, qos=quality)
        self.wait()
        status = "ok" if self.reason == "Success" else self.reason
        self.note(f"publish {topic}/{{id}}", status if quality else "", nonce)

    def close(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()


def speak(port: int, diary: Diary, calls: int, *, version: Any) -> None:
    """Several clients, each with a subscriber of its own."""
    at_once(lambda number: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND), version, NAMES[number]))


def visit(port: int, diary: Diary, rounds: int, version: Any, name: str) -> None:
    """One client that publishes, and one that is given what it publishes."""
    producer, consumer = Client(port, diary, version), Client(port, diary, version)
    for _ in range(rounds):
        consumer.client.subscribe(f"{name}/#", qos=2)
        consumer.wait()
        consumer.note(f"subscribe {name}/#")
        for quality in (0, 1, 2):
            for body in (b"", b"order-42", LARGE):
                producer.publish(name, body, quality)
                assert consumer.came.acquire(timeout=SECONDS), "a message is not delivered"
        for quality in (0, 1, 2):
            producer.publish("nowhere", b"", quality)
        consumer.client.unsubscribe(f"{name}/#")
        consumer.wait()
        consumer.note(f"unsubscribe {name}/#")
    producer.close()
    consumer.close()


SCENARIOS = tuple(
    Scenario(f"Mosquitto, MQTT {name}", server, functools.partial(speak, version=version))
    for name, version in (("3.1.1", mqtt.MQTTv311), ("5", mqtt.MQTTv5))
)
