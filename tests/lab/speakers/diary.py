"""What clients write down: each call in the words of docs/protocols.md, and how it ended.

A nonce is a number that no other call of a scenario has, in a form that shows in what is read from the wire. Where the
protocol shows nothing that a client could put it into, it is 0, and calls are counted by connection and operation.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager
    from pathlib import Path

CLIENTS = 4
"""Clients at once, where the library allows it."""
PART_SECONDS = 240.0
"""Longest time that the clients of a scenario are given."""


class Call(NamedTuple):
    """One call, as its client knows it."""

    operation: str
    """As docs/protocols.md promises it."""
    status: str
    """As the server answered; empty if the protocol answers nothing."""
    outcome: str
    """ok, error and the others of model/outcome.py."""
    nonce: int
    """0 where nothing shows it."""
    connection: int
    """Port of the connection's end that is not the server; 0 where the library does not tell it."""
    otherwise: tuple[str, str] | None = None
    """Status and outcome that are as right, where a client can not tell which of two things happened."""


class Diary:
    """What all clients of a scenario have asked. Safe to use from several threads."""

    def __init__(self, key_log: Path) -> None:
        self.key_log = key_log
        """Where clients of TLS write their secrets."""
        self.calls: list[Call] = []
        self._numbers = itertools.count(10_001)
        self._lock = threading.Lock()

    def nonce(self) -> int:
        """A number that no other call has."""
        return next(self._numbers)

    def note(
        self,
        operation: str,
        status: str = "",
        outcome: str = "ok",
        *,
        nonce: int = 0,
        connection: int = 0,
        otherwise: tuple[str, str] | None = None,
    ) -> None:
        """Write down a call."""
        with self._lock:
            self.calls.append(Call(operation, status, outcome, nonce, connection, otherwise))


class Scenario(NamedTuple):
    """A server, and how its clients speak to it."""

    name: str
    server: Callable[[Path], AbstractContextManager[int]]
    """Starts the server with its files in a folder; gives its port, and ends it."""
    speak: Callable[[int, Diary, int], None]
    """Makes about as many calls as are asked for, to the server at a port."""
    own: Collection[str] = ()
    """Operations of the protocol's own, that libraries call unasked: logins, pings, ends."""


def at_once(job: Callable[[int], None], clients: int = CLIENTS) -> None:
    """Run `job` in as many threads, each with its number. Raises what the first of them raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            job(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PART_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a client does not come to its end"
    if failures:
        raise failures[0]
