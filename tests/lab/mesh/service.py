"""One service of the mesh: HTTP/1.1 over asyncio, with connections that are kept to all that it asks.

Usage: python -m tests.lab.mesh.service NAME HOST PORT DIRECTORY SEED
A fault is a JSON object sent to the Unix datagram socket DIRECTORY/HOST-PORT.sock, which no capture sees; {} ends it:
slow_ms, fail (share of 1), share (of the requests that it meets), repeat (N+1: how often the last statement is repeated),
skip and every (a step that is left out each so many times), double (an operation that is sent again where its answer is
late), timeout_ms and stall (service) for its own calls.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from pathlib import Path
from typing import Any

import psycopg
import redis.asyncio
from tests.lab import topology
from tests.lab.mesh import plan

POOL = 6
WORK_MS = (0.3, 1.2)
LINES = {
    "GET": ("GET", "price:{number}"),
    "INCR": ("INCR", "session:{number}"),
    "LRANGE": ("LRANGE", "cart:{number}", "0", "9"),
    "LPUSH": ("LPUSH", "mail", "{number}"),
}


class BrokenError(Exception):
    """A call that failed."""


class Service:
    """One instance."""

    def __init__(self, name: str, host: str, port: int, directory: Path, seed: int) -> None:
        self.name, self.port = name, port
        self.random = random.Random(f"{host} {port} {seed}")
        self.fault: dict[str, Any] = {}
        self.control = directory / f"{host}-{port}.sock"
        self.idle: dict[tuple[str, int], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self.databases: asyncio.Queue[psycopg.AsyncConnection[Any] | None] = asyncio.Queue()
        self.cache = redis.asyncio.Redis(host=plan.address(plan.CACHE), port=topology.REDIS_PORT)
        self.next = self.random.randrange(2)
        self.passed = 0
        """Times that it came to the step that is left out now and then."""

    async def run(self) -> None:
        for _ in range(POOL):
            self.databases.put_nowait(None)
        server = await asyncio.start_server(self.serve, "0.0.0.0", self.port)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(str(self.control))
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, lambda: self.set_fault(listener.recv(65536)))
        async with server:
            await server.serve_forever()

    def set_fault(self, text: bytes) -> None:
        self.fault = json.loads(text)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0
                )
                if length:
                    await reader.readexactly(length)
                status, body = await self.answer(method, path)
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, method: str, path: str) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        operation, number = f"{method} /{parts[0]}", int(parts[1]) if len(parts) > 1 else self.random.randrange(1000)
        await asyncio.sleep(self.random.uniform(*WORK_MS) / 1000)
        fault = self.fault
        if fault and self.random.random() < fault.get("share", 1.0):
            if fault.get("slow_ms"):
                await asyncio.sleep(fault["slow_ms"] * self.random.uniform(0.8, 1.2) / 1000)
            if self.random.random() < fault.get("fail", 0.0):
                return 500, b'{"error":"broken"}'
        else:
            fault = {}
        try:
            steps = plan.ROUTES[self.name][operation]
            for step in steps:
                if fault.get("skip") == list(step):
                    self.passed += 1
                    if self.passed % fault["every"] == 0:
                        continue
                times = fault.get("repeat", 1) if step == steps[-1] else 1
                for _ in range(times):
                    await self.step(*step, number, fault)
        except BrokenError:
            return 502, b'{"error":"something below failed"}'
        return 200, json.dumps({"number": number, "text": "x" * 200}).encode()

    async def step(self, kind: str, what: str, number: int, fault: dict[str, Any]) -> None:
        if kind == "pg":
            await self.statement(what, number)
        elif kind == "redis":
            try:
                await self.cache.execute_command(*(part.format(number=number) for part in LINES[what]))
            except redis.RedisError as error:
                raise BrokenError from error
        else:
            attempts = 2 if fault.get("double") == what else 1
            for attempt in range(attempts):
                wait = fault.get("timeout_ms") if attempt + 1 < attempts or fault.get("stall") == kind else None
                try:
                    status = await asyncio.wait_for(self.call(kind, what, number), wait / 1000 if wait else 20)
                except TimeoutError:
                    if attempt + 1 == attempts:
                        raise BrokenError from None
                    continue
                if status >= 500:
                    raise BrokenError
                break

    async def statement(self, table: str, number: int) -> None:
        connection = await self.databases.get()
        try:
            if connection is None:
                connection = await psycopg.AsyncConnection.connect(
                    host=plan.address(plan.DATABASE), port=topology.POSTGRESQL_PORT, user=topology.USER,
                    dbname=topology.DATABASE, password=topology.PASSWORD, autocommit=True, prepare_threshold=None,
                )  # fmt: skip
            text = f"SELECT id, word, trouble('{table}') FROM mesh_{table} WHERE id = %s"
            if table in plan.WRITTEN:
                text = f"UPDATE mesh_{table} SET word = word || '.' WHERE trouble('{table}') = 0 AND id = %s"
            await connection.execute(text, (number % 500,))
        except psycopg.Error as error:
            raise BrokenError from error
        finally:
            self.databases.put_nowait(connection)

    async def call(self, service: str, operation: str, number: int) -> int:
        self.next += 1
        instances = plan.INSTANCES[service]
        host, port = instances[self.next % len(instances)]
        end = plan.address(host), port
        method, path = plan.target(operation, number)
        idle = self.idle.setdefault(end, [])
        reader, writer = idle.pop() if idle else await asyncio.open_connection(*end)
        body = b'{"number":%d,"items":[1,2,3]}' % number if method == "POST" else b""
        try:
            head = f"{method} {path} HTTP/1.1\r\nHost: {service}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"Content-Length:"))
            await reader.readexactly(length)
        except asyncio.CancelledError:
            writer.close()
            raise
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            writer.close()
            raise BrokenError from error
        idle.append((reader, writer))
        return int(answer[9:12])


if __name__ == "__main__":
    name, host, port, directory, seed = sys.argv[1:]
    asyncio.run(Service(name, host, int(port), Path(directory), int(seed)).run())
