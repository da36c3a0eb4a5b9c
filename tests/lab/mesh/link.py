"""A host's link that delays packets while a fault is set: two TAP devices in two namespaces, and this process between.

Usage: python -m tests.lab.mesh.link NAMESPACE DEVICE NAMESPACE DEVICE CONTROL
CONTROL is a Unix datagram socket; a fault is {"delay_ms": D} or {"delay_ms": D, "peer": "10.77.0.7"}; {} ends it.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import socket
import sys
import time

from tests.lab.link import LONGEST_FRAME, open_tap

IPV4 = b"\x08\x00"


def main() -> None:
    """Carry frames both ways for ever."""
    first_space, first_device, second_space, second_device, path = sys.argv[1:]
    first, second = open_tap(first_space, first_device), open_tap(second_space, second_device)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    control.bind(path)
    other = {first: second, second: first}
    delay, peer = 0.0, b""
    waiting: list[tuple[float, int, int, bytes]] = []
    last: dict[int, float] = {}
    count = 0
    print("ready", flush=True)
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for descriptor in select.select([first, second, control], [], [], timeout)[0]:
            if descriptor is control:
                fault = json.loads(control.recv(65536))
                delay, peer = fault.get("delay_ms", 0) / 1000, socket.inet_aton(fault.get("peer", "0.0.0.0"))
                continue
            frame = os.read(descriptor, LONGEST_FRAME)
            meets = frame[12:14] == IPV4 and (peer == bytes(4) or peer in (frame[26:30], frame[30:34]))
            count += 1
            due = time.monotonic() + (delay if meets else 0.0)
            heapq.heappush(waiting, (due, count, other[descriptor], frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            due, _, target, frame = heapq.heappop(waiting)
            last[target] = due
            try:
                os.write(target, frame)
            except OSError:
                continue  # a device that is full or down loses the frame, as a real one does


if __name__ == "__main__":
    main()
