"""People who ask the gateway: an open stream of requests, so that a slow system is asked as often as a fast one.

Usage: python -m tests.lab.mesh.load SEED; each line on standard input is "REQUESTS RATE"; prints a line when they are done.
"""

from __future__ import annotations

import asyncio
import random
import sys

from tests.lab.mesh import plan

GATEWAY = plan.INSTANCES["gateway"][0]
Idle = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def ask(operation: str, number: int, idle: Idle) -> None:
    """Make one request; whatever its answer."""
    reader, writer = idle.pop() if idle else await asyncio.open_connection(plan.address(GATEWAY[0]), GATEWAY[1])
    method, path = plan.target(operation, number)
    body = b'{"number":%d}' % number if method == "POST" else b""
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(
        next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    )
    idle.append((reader, writer))


async def main(seed: int) -> None:
    """Take orders until standard input ends."""
    source, idle = random.Random(seed), []
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        requests, rate = line.split()
        tasks = []
        for number in range(int(requests)):
            operation = plan.ENTRIES[number % len(plan.ENTRIES)]
            tasks.append(asyncio.create_task(ask(operation, source.randrange(1000), idle)))
            await asyncio.sleep(source.expovariate(float(rate)))
        await asyncio.wait(tasks, timeout=20)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
