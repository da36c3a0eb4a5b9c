"""A link that loses chosen packets: two TAP devices in two namespaces, and this process between them.

Usage: python -m tests.lab.faults.link CLIENT_NAMESPACE DEVICE HUB_NAMESPACE DEVICE
Prints ``ready`` when both devices are there. What is lost has left its sender's capture and never reaches its receiver's.

- Requests whose fault is ``lose-request`` are lost, and every byte behind them; bare acknowledgements and FINs pass.
- ``cut-request``: nothing of the client passes any more, from that request on.
- ``lose-response``: what the server sends to answer it is lost; its acknowledgements pass.
- ``cut-response``: nothing of the server passes any more, from that request on.
- Packets to `SILENT_PORT` never arrive.
"""

import os
import select
import struct
import sys

from tests.lab.faults.truth import HEADER, SILENT_PORT
from tests.lab.link import LONGEST_FRAME, open_tap

ETHERNET, IPV4, TCP, SYN = 14, 0x0800, 6, 0x02
FAULTS = (b"lose-request", b"cut-request", b"lose-response", b"cut-response")


class FaultyLink:
    """What becomes of each frame, by what its connection has carried."""

    def __init__(self) -> None:
        self._fault_of: dict[tuple[int, int], bytes] = {}
        """By the ports of a connection, the client's first."""

    def passes(self, frame: bytes, from_client: bool) -> bool:
        """Whether the frame arrives."""
        if len(frame) < ETHERNET + 40 or struct.unpack_from(">H", frame, 12)[0] != IPV4 or frame[ETHERNET + 9] != TCP:
            return True
        tcp = ETHERNET + 4 * (frame[ETHERNET] & 15)
        end = ETHERNET + struct.unpack_from(">H", frame, ETHERNET + 2)[0]
        source, destination = struct.unpack_from(">HH", frame, tcp)
        payload = frame[tcp + 4 * (frame[tcp + 12] >> 4) : end]
        ports = (source, destination) if from_client else (destination, source)
        if from_client:
            if destination == SILENT_PORT:
                return False
            if frame[tcp + 13] & SYN:
                self._fault_of.pop(ports, None)
            elif HEADER in payload:
                wanted = payload.partition(HEADER)[2].split(b"\r\n", 1)[0].split(b" ")[0]
                if wanted in FAULTS:
                    self._fault_of[ports] = wanted
        fault = self._fault_of.get(ports)
        if fault is None:
            return True
        if from_client:
            return not (fault == b"cut-request" or (fault == b"lose-request" and payload))
        return not (fault == b"cut-response" or (fault == b"lose-response" and payload))


def main() -> None:
    """Open the devices and relay for ever."""
    client_space, client_device, hub_space, hub_device = sys.argv[1:]
    client, hub = open_tap(client_space, client_device), open_tap(hub_space, hub_device)
    link = FaultyLink()
    print("ready", flush=True)
    while True:
        for descriptor in select.select([client, hub], [], [])[0]:
            frame = os.read(descriptor, LONGEST_FRAME)
            if link.passes(frame, descriptor == client):
                try:
                    os.write(hub if descriptor == client else client, frame)
                except OSError:
                    continue  # a device that is full or down loses the frame, as a real one does


if __name__ == "__main__":
    main()
