"""The client of `tests.lab.load`, one process on its own host, a thread a connection.

Usage: python -m tests.lab.load_client PROTOCOL EXCHANGES CONNECTIONS SEED TRUTH_FILE
Prints ``ready``, waits for a line on standard input, makes the exchanges, and prints the seconds they took.
"""

import json
import random
import sys
import threading
import time
from pathlib import Path

from tests.lab.load_dialects import DIALECTS, Dialect, new_nonce, store_memcached_keys

LONGEST_PIPELINE = 16


class Talk:
    """One connection and its nonces."""

    def __init__(self, dialect: Dialect, exchanges: int, source: random.Random, stored: list[bytes]) -> None:
        self._dialect, self._exchanges, self._source, self._stored = dialect, exchanges, source, stored
        self.nonces: list[bytes] = []
        self.failure: str | None = "not ended"

    def run(self) -> None:
        """Make the exchanges; the thread's target."""
        connection, request, response_size = self._dialect.open()
        self.client, self.server = connection.getsockname()[:2], connection.getpeername()[:2]
        waiting = b""
        left = self._exchanges
        while left:
            at_once = min(left, self._source.randint(2, LONGEST_PIPELINE)) if self._dialect.pipelined else 1
            nonces = [
                self._source.choice(self._stored) if self._stored else new_nonce(self._source) for _ in range(at_once)
            ]
            connection.sendall(b"".join([request(nonce) for nonce in nonces]))
            for nonce in nonces:
                while not (size := response_size(waiting)):
                    received = connection.recv(1 << 16)
                    if not received:
                        self.failure = "the server closed the connection"
                        return
                    waiting += received
                if nonce not in waiting[:size]:
                    self.failure = f"a response does not repeat {nonce!r}: {waiting[:size]!r}"
                    return
                waiting = waiting[size:]
            self.nonces += nonces
            left -= at_once
        connection.close()
        self.failure = None

    def truth(self, protocol: str) -> dict[str, object]:
        """The line of the truth file."""
        return {
            "protocol": protocol,
            "variant": self._dialect.name,
            "client": {"address": self.client[0], "port": self.client[1]},
            "server": {"address": self.server[0], "port": self.server[1]},
            "nonces": [nonce.decode() for nonce in self.nonces],
        }


def main() -> None:
    """Make the exchanges of one protocol, shared out over its variants and connections."""
    protocol, truth = sys.argv[1], Path(sys.argv[5])
    exchanges, connections, seed = map(int, sys.argv[2:5])
    dialects = DIALECTS[protocol]
    stored = store_memcached_keys(random.Random(seed), max(1000, exchanges // 5)) if protocol == "memcached" else []
    talks = []
    count = len(dialects) * connections
    for number in range(count):
        share = exchanges // count + (number < exchanges % count)
        talks.append(Talk(dialects[number % len(dialects)], share, random.Random(f"{seed}/{number}"), stored))
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.monotonic()
    threads = [threading.Thread(target=talk.run) for talk in talks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    if failures := [talk.failure for talk in talks if talk.failure]:
        sys.exit(failures[0])
    truth.write_text("".join(json.dumps(talk.truth(protocol)) + "\n" for talk in talks))
    print(json.dumps({"seconds": round(seconds, 2)}), flush=True)


if __name__ == "__main__":
    main()
