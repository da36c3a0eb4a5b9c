"""client: people who use the shop. A thread a person at a time, a kept connection a visit, a few requests a visit.

Usage: python -m tests.lab.client TRUTH_FILE REQUESTS CONCURRENCY THINK_MS SEED WARM_UP_REQUESTS
Prints ``ready`` after the warm-up, waits for a line on standard input, makes its requests, and prints one JSON line
of what it saw.
"""

import collections
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import shopdata, topology
from tests.lab.apps.blocking_http import HttpClient
from tests.lab.truth import HEADER, TruthLog, endpoint, new_id, now_ns

if TYPE_CHECKING:
    from collections.abc import Callable

VISIT_LENGTH = 12
"""Requests of a visit on average."""
KNOWN_ORDERS = 3000
"""Orders that are in the database before the first visit."""

Step = tuple[str, str, bytes]


class Person:
    """Draws the requests of visits."""

    def __init__(self, source: random.Random, users: shopdata.Popularity, products: shopdata.Popularity) -> None:
        self._source, self._users, self._products = source, users, products
        self.begin_visit()

    def begin_visit(self) -> None:
        """Be somebody else."""
        self._user = self._users.draw(self._source)

    def next_step(self) -> Step:
        """Method, target and body of the next request."""
        product, user = self._products.draw(self._source), self._user
        choices: list[tuple[int, Callable[[], Step]]] = [
            (30, lambda: ("GET", f"/products/{product}", b"")),
            (12, lambda: ("GET", f"/search?q={self._source.choice(shopdata.THINGS)}", b"")),
            (10, lambda: ("GET", f"/recommendations/{user}", b"")),
            (10, lambda: ("POST", f"/carts/{user}/items", json.dumps({"product": product, "quantity": 1}).encode())),
            (9, lambda: ("POST", "/orders", json.dumps({"user": user, "product": product, "quantity": 2}).encode())),
            (9, lambda: ("GET", f"/orders/{self._source.randint(1, KNOWN_ORDERS)}", b"")),
            (8, lambda: ("GET", f"/users/{user}", b"")),
            (7, lambda: ("GET", f"/users/{user}/summary", b"")),
            (5, lambda: ("POST", "/login", json.dumps({"email": shopdata.user_email(user)}).encode())),
        ]
        return self._source.choices([make for _, make in choices], [weight for weight, _ in choices])[0]()


class Crowd:
    """All the people at once."""

    def __init__(self, log: TruthLog, concurrency: int, think_ms: float, seed: int) -> None:
        self._log, self._think_ms = log, think_ms
        self._users = shopdata.Popularity(shopdata.USERS, seed)
        self._products = shopdata.Popularity(shopdata.PRODUCTS, seed + 1)
        self.statuses: collections.Counter[int] = collections.Counter()
        self.failures: list[OSError] = []
        self._sources = [random.Random(f"{seed}/{number}") for number in range(concurrency)]
        self._connections: list[HttpClient | None] = [None] * concurrency

    def run(self, requests: int) -> None:
        """Make that many requests, shared out over the people."""
        concurrency = len(self._sources)
        shares = [requests // concurrency + (number < requests % concurrency) for number in range(concurrency)]
        threads = [threading.Thread(target=self._try, args=(number, share)) for number, share in enumerate(shares)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            sys.exit(f"{len(self.failures)} people gave up: {self.failures[0]}")

    def _try(self, number: int, requests: int) -> None:
        try:
            self._be(number, requests)
        except OSError as error:
            self.failures.append(error)

    def _be(self, number: int, requests: int) -> None:
        source = self._sources[number]
        person = Person(source, self._users, self._products)
        connection = self._connections[number]
        for _ in range(requests):
            if source.random() < 1 / VISIT_LENGTH:
                person.begin_visit()
                if connection is not None:
                    connection.close()
                connection = None
            if connection is None or not connection.usable:
                connection = HttpClient(topology.ipv4("web1"), topology.HTTP_PORT, "Mozilla/5.0 (X11; Linux x86_64)")
            method, target, body = person.next_step()
            call = new_id()
            client = endpoint(connection.connection.getsockname())
            server = endpoint(connection.connection.getpeername())
            start = now_ns()
            status, _ = connection.request(method, target, f"{HEADER}: {call}\r\n", body)
            self._log.write(None, "web", "http", f"{method} {target}", client, server, start, call_id=call)
            self.statuses[status] += 1
            if self._think_ms:
                time.sleep(source.expovariate(1000 / self._think_ms))
        self._connections[number] = connection


def main() -> None:
    """Warm up, wait, and make the requests."""
    requests, concurrency, seed, warm_up = (int(sys.argv[index]) for index in (2, 3, 5, 6))
    log = TruthLog(Path(sys.argv[1]), "client")
    crowd = Crowd(log, concurrency, float(sys.argv[4]), seed)
    crowd.run(warm_up)
    crowd.statuses.clear()
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.monotonic()
    crowd.run(requests)
    seconds = time.monotonic() - start
    log.close()
    print(json.dumps({"statuses": crowd.statuses, "seconds": round(seconds, 3)}), flush=True)


if __name__ == "__main__":
    main()
