"""A link that loses and delays packets: two TAP devices in two namespaces, and this process between them.

Usage: python -m tests.lab.link NAMESPACE DEVICE NAMESPACE DEVICE LOSS_PERCENT DELAY_MS SEED
Prints ``ready`` when both devices are there. A frame is lost between the devices: its sender's capture has it, its
receiver's has not.
"""

import collections
import ctypes
import fcntl
import os
import random
import select
import struct
import sys
import time
from pathlib import Path

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000
LONGEST_FRAME = 65_600

_libc = ctypes.CDLL(None, use_errno=True)


def open_tap(namespace: str, device: str) -> int:
    """Make a TAP device in a namespace and return its descriptor."""
    with (Path("/run/netns") / namespace).open("rb") as space:
        if _libc.setns(space.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"can not enter {namespace}")
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def relay(first: int, second: int, loss: float, delay: float, source: random.Random) -> None:
    """Carry frames both ways for ever."""
    other = {first: second, second: first}
    waiting: collections.deque[tuple[float, int, bytes]] = collections.deque()
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for descriptor in select.select([first, second], [], [], timeout)[0]:
            frame = os.read(descriptor, LONGEST_FRAME)
            if source.random() >= loss:
                waiting.append((time.monotonic() + delay, other[descriptor], frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, target, frame = waiting.popleft()
            try:
                os.write(target, frame)
            except OSError:
                continue  # a device that is full or down loses the frame, as a real one does


def main() -> None:
    """Open the devices and relay."""
    first_space, first_device, second_space, second_device, loss, delay, seed = sys.argv[1:]
    first, second = open_tap(first_space, first_device), open_tap(second_space, second_device)
    print("ready", flush=True)
    relay(first, second, float(loss) / 100, float(delay) / 1000, random.Random(int(seed)))


if __name__ == "__main__":
    main()
