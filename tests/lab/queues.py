"""A producer, two brokers and a consumer, recorded with the truth of who put and who took which message.

Usage: python -m tests.lab.queues [--requests N] [--concurrency N] --out FOLDER
Needs root: everything runs in a network namespace of its own, where each host is an address. Clients ask the producer over
HTTP; it puts a message for each request on a Redis list and on an AMQP queue, some of them alike to the byte. Workers of the
consumer take them off, think, and write to Redis. Writes queues.pcap and truth.jsonl: for each message, by connection and
place in it, which request put it there, who took it off, and what was written because of it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import http.server
import json
import os
import queue
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.protocols.test_amqp import GREETING, method, publish, short

CLIENT, PRODUCER, CONSUMER, STORE, BROKER = (f"10.88.0.{host}" for host in (2, 3, 4, 5, 6))
NAMESPACE = f"wtq{os.getpid() % 10_000}"
REDIS_PORT, HTTP_PORT = 6379, 8080
LIST, QUEUE, ALIKE = b"jobs", b"orders", b"refresh"
EVERY_ALIKE = 10
"""One in so many requests puts a message that is like all others of its kind."""
FIRST_ORDER = 10_000
"""Orders have numbers of some length, as they do in a shop."""
WAIT_SECONDS = 30.0
SETTLE_SECONDS = 1.5
"""Time that the recorder is given for the last packets: the kernel hands them over once a second (pcap_set_timeout)."""


class Redis:
    """A connection to Redis that knows its own port and counts what it puts and takes."""

    def __init__(self, address: str) -> None:
        self.socket = socket.create_connection((STORE, REDIS_PORT), WAIT_SECONDS, (address, 0))
        self.port: int = self.socket.getsockname()[1]
        self.file = self.socket.makefile("rb")

    def ask(self, *words: bytes) -> list[bytes] | bytes | None:
        """One command and its answer."""
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        return self._answer()

    def _answer(self) -> list[bytes] | bytes | None:
        line = self.file.readline()
        if line[:1] == b"$":
            return None if line[1:2] == b"-" else self.file.read(int(line[1:]) + 2)[:-2]
        if line[:1] == b"*":
            return None if line[1:2] == b"-" else [self._answer() or b"" for _ in range(int(line[1:]))]  # type: ignore[misc]
        return line


class Amqp:
    """A connection to RabbitMQ with one channel."""

    def __init__(self, address: str, port: int) -> None:
        self.socket = socket.create_connection((BROKER, port), WAIT_SECONDS, (address, 0))
        # Each message in a packet of its own: the truth knows them by their order.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self.socket.getsockname()[1]
        self.file = self.socket.makefile("rb")
        login = b"\0\0\0\0" + short(b"PLAIN") + struct.pack(">I", 12) + b"\0guest\0guest" + short(b"en_US")
        tuned = method("connection.tune-ok", struct.pack(">HIH", 10, 131072, 0), 0)
        for words in (
            GREETING,
            method("connection.start-ok", login, 0),
            tuned + method("connection.open", short(b"/") + b"\0\0", 0),
            method("channel.open", short(b"")),
            method("queue.declare", b"\0\0" + short(QUEUE) + b"\0\0\0\0\0"),
        ):
            self.socket.sendall(words)
            self.read()

    def read(self) -> bytes:
        """The payload of the next frame that is no heartbeat."""
        while True:
            kind, _, length = struct.unpack(">BHI", self.file.read(7))
            payload = self.file.read(length + 1)[:-1]
            if kind != 8:
                return payload

    def consume(self) -> None:
        """Ask for messages, one at a time."""
        self.socket.sendall(method("basic.qos", struct.pack(">IHB", 0, 1, 0)))
        self.read()
        self.socket.sendall(method("basic.consume", b"\0\0" + short(QUEUE) + short(b"") + b"\0" + b"\0\0\0\0"))
        self.read()

    def take(self) -> tuple[int, bytes]:
        """The next message: its delivery tag and body."""
        arguments = self.read()
        tag = struct.unpack_from(">Q", arguments, 5 + arguments[4])[0]
        self.read()
        return tag, self.read()


class Lab:
    """All that runs, and the truth that it writes down."""

    def __init__(self, amqp_port: int, requests: int, concurrency: int) -> None:
        self.amqp_port, self.requests, self.concurrency = amqp_port, requests, concurrency
        self.truth: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.pool: queue.LifoQueue[tuple[Redis, Amqp, dict[str, int]]] = queue.LifoQueue()
        self.alike: list[int] = []
        """Requests whose message is like others, in the order in which they were put there."""
        self.left = threading.Semaphore(0)
        self.over = threading.Event()

    def note(self, **row: Any) -> None:
        """Write down what happened."""
        with self.lock:
            self.truth.append(row)

    def put(self, number: int) -> None:
        """What the producer does for a request."""
        redis, amqp, counts = self.pool.get(timeout=WAIT_SECONDS)
        time.sleep(random.uniform(0.0002, 0.002))
        body = json.dumps({"order": number, "items": ["paint"]}).encode()
        redis.ask(b"LPUSH", LIST, body)
        self.note(kind="put", queue="redis", port=redis.port, place=counts["redis"], request=number)
        counts["redis"] += 1
        if number % EVERY_ALIKE == 0:
            with self.lock:  # so that the order is known: it is that of the list
                self.alike.append(number)
                redis.ask(b"LPUSH", ALIKE, b"refresh all")
            self.note(kind="put", queue="alike", port=redis.port, place=counts["alike"], request=number)
            counts["alike"] += 1
        amqp.socket.sendall(publish(QUEUE, body))
        self.note(kind="put", queue="amqp", port=amqp.port, place=counts["amqp"], request=number)
        counts["amqp"] += 1
        self.pool.put((redis, amqp, counts))

    def work_on_list(self, key: bytes, kind: str) -> None:
        """A worker of the consumer: takes one message after the other off a list."""
        taking, storing = Redis(CONSUMER), Redis(CONSUMER)
        place = taken = 0
        while True:
            try:
                answer = taking.ask(b"BRPOP", key, b"1")
            except OSError:  # the server has ended, and so do we
                return
            if self.over.is_set():
                return
            if not isinstance(answer, list):
                continue
            if kind == "alike":
                number = self.alike[taken]
                taken += 1
            else:
                number = json.loads(answer[1])["order"]
            time.sleep(random.uniform(0.0005, 0.004))
            storing.ask(b"SET", b"%b:%d" % (kind.encode(), number), b"done")
            storing.ask(b"INCR", b"%b-count:%d" % (kind.encode(), number))
            self.note(kind="taken", queue=kind, port=taking.port, place=place, request=number)
            place += 1
            self.left.release()

    def work_on_queue(self) -> None:
        """A worker of the consumer: is given one message after the other."""
        amqp, storing = Amqp(CONSUMER, self.amqp_port), Redis(CONSUMER)
        amqp.consume()
        place = 0
        with contextlib.suppress(OSError, struct.error):
            while not self.over.is_set():
                tag, body = amqp.take()
                number = json.loads(body)["order"]
                time.sleep(random.uniform(0.0005, 0.004))
                storing.ask(b"SET", b"amqp:%d" % number, b"done")
                amqp.socket.sendall(method("basic.ack", struct.pack(">QB", tag, 0)))
                self.note(kind="taken", queue="amqp", port=amqp.port, place=place, request=number)
                place += 1
                self.left.release()

    def run(self) -> None:
        """Serve, ask, and wait until all messages were taken off."""
        lab = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                lab.put(int(self.path.rpartition("/")[2]))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        for _ in range(self.concurrency):
            self.pool.put((Redis(PRODUCER), Amqp(PRODUCER, self.amqp_port), {"redis": 0, "alike": 0, "amqp": 0}))
        jobs: list[tuple[Any, ...]] = [(self.work_on_list, LIST, "redis")] * self.concurrency
        jobs += [(self.work_on_queue,)] * self.concurrency + [(self.work_on_list, ALIKE, "alike")]
        for job, *arguments in jobs:
            threading.Thread(target=job, args=arguments, daemon=True).start()
        server = http.server.ThreadingHTTPServer((PRODUCER, HTTP_PORT), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        time.sleep(0.5)
        numbers = iter(range(FIRST_ORDER, FIRST_ORDER + self.requests))
        clients = [threading.Thread(target=self.ask, args=(numbers,)) for _ in range(self.concurrency)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        for _ in range(2 * self.requests + -(-self.requests // EVERY_ALIKE)):
            assert self.left.acquire(timeout=WAIT_SECONDS), "a message was not taken off"
        time.sleep(0.3)
        self.over.set()
        server.shutdown()

    def ask(self, numbers: Any) -> None:
        """A client: one request after the other."""
        connection = http.client.HTTPConnection(PRODUCER, HTTP_PORT, timeout=WAIT_SECONDS, source_address=(CLIENT, 0))
        while True:
            with self.lock:
                number = next(numbers, None)
            if number is None:
                return
            connection.request("POST", f"/orders/{number}")
            connection.getresponse().read()
            time.sleep(random.uniform(0.0, 0.004))


def inside(out: Path, requests: int, concurrency: int) -> None:
    """All of it, in the namespace."""
    from tests.support.brokers import rabbitmq

    random.seed(7)
    redis_server = shutil.which("redis-server")
    assert redis_server is not None, "Redis is needed (apt install redis-server)"
    command = [redis_server, "--bind", STORE, "--port", str(REDIS_PORT), "--save", "", "--protected-mode", "no"]
    store = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=out)
    try:
        with rabbitmq(BROKER) as amqp_port:
            command = ["tcpdump", "-i", "lo", "-s", "0", "-B", "65536", "-Z", "root", "-w", str(out / "queues.pcap")]
            recorder = subprocess.Popen([*command, "net", "10.88.0.0/24"], stderr=subprocess.DEVNULL)
            time.sleep(1.0)
            try:
                lab = Lab(amqp_port, requests, concurrency)
                lab.run()
                time.sleep(SETTLE_SECONDS)
            finally:
                recorder.send_signal(signal.SIGINT)
                recorder.wait(timeout=10)
    finally:
        store.terminate()
        store.wait(timeout=10)
    with (out / "truth.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in lab.truth)


def record_queues(out: Path, requests: int, concurrency: int) -> None:
    """Record into the folder `out`; makes the namespace, and takes it away."""
    out.mkdir(parents=True, exist_ok=True)
    ip = shutil.which("ip") or "/sbin/ip"
    subprocess.run([ip, "netns", "add", NAMESPACE], check=True)
    try:
        subprocess.run([ip, "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        for address in (CLIENT, PRODUCER, CONSUMER, STORE, BROKER):
            subprocess.run([ip, "-n", NAMESPACE, "addr", "add", f"{address}/32", "dev", "lo"], check=True)
        arguments = ["--inside", "--out", str(out), "--requests", str(requests), "--concurrency", str(concurrency)]
        command = [ip, "netns", "exec", NAMESPACE, sys.executable, "-m", "tests.lab.queues", *arguments]
        subprocess.run(command, check=True, timeout=300)
    finally:
        subprocess.run([ip, "netns", "del", NAMESPACE], check=True)


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=20)
    parser.add_argument("--inside", action="store_true", help="the namespace is there already")
    options = parser.parse_args()
    if options.inside:
        inside(options.out, options.requests, options.concurrency)
    else:
        record_queues(options.out.resolve(), options.requests, options.concurrency)


if __name__ == "__main__":
    main()
