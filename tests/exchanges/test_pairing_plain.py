"""Pairing all plain connections at once gives exactly what pairing them one by one gives."""

from __future__ import annotations

import gzip
import random
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import TcpConversation, merge
from tests.support.packets import Exchanges, ExchangesOfFile

from wiretrace.exchanges import matching
from wiretrace.exchanges.pairing_plain import pair_plain
from wiretrace.model.limits import Limits
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from tests.support.captures import Packet

    from wiretrace.exchanges.message_table import MessageTable
    from wiretrace.exchanges.pairing_plain import PlainPairs

SHOP = Path(__file__).parent.parent.parent / "pcaps" / "shop"

HTTP = (b"GET /%d HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
MEMCACHED = (b"get key%d\r\n", b"END\r\n")
REDIS = (b"*2\r\n$3\r\nGET\r\n$4\r\n%04d\r\n", b"$3\r\nabc\r\n")
DIALECTS = {
    80: (*HTTP, b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    11211: (*MEMCACHED, b"set key 0 0 1 noreply\r\nx\r\n", b"ERROR\r\n"),
    6379: (*REDIS, b"*0\r\n", b"-ERR no\r\n"),
}
"""By port: a request, its answer, what a client sends that asks for nothing, and another word of the server."""


@contextmanager
def one_by_one() -> Iterator[list[int]]:
    """Take no connection for a plain one. Gives the numbers of those that were candidates."""
    candidates_seen: list[int] = []

    def none_is_plain(table: MessageTable, candidates: NDArray[np.bool_]) -> PlainPairs:
        candidates_seen.append(int(candidates.sum()))
        return pair_plain(table, np.zeros_like(candidates))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "pair_plain", none_is_plain)
        yield candidates_seen


def conversation(rng: random.Random, number: int, turns: int) -> list[Packet]:
    """A client and a server of some protocol that ask, answer, pipeline, and say what is no part of any exchange."""
    port = rng.choice(list(DIALECTS))
    ask, answer, aside, word = DIALECTS[port]
    talk = TcpConversation(
        ("10.0.0.1", 40_000 + number), ("10.0.0.2", port), mss=rng.choice([20, 300]), start_ns=10**18 + number * 7
    )
    talk.open()
    waiting = 0
    for turn in range(turns):
        choice = rng.random()
        if choice < 0.45:
            talk.send(Side.CLIENT, ask % turn)
            waiting += 1
        elif choice < 0.85 and waiting:
            talk.send(Side.SERVER, answer)
            waiting -= 1
        elif choice < 0.9:
            talk.send(Side.CLIENT, aside)
        elif choice < 0.93:
            talk.send(Side.SERVER, word)
        elif choice < 0.95:
            talk.send(Side.SERVER, answer)  # nobody asked for it
    rng.choice([talk.close, lambda: talk.reset(Side.SERVER), lambda: talk])()
    return talk.packets


@given(
    seed=st.integers(0, 2**32),
    chunk=st.sampled_from([700, 3000, 1 << 20]),
    loss=st.sampled_from([0.0, 0.0, 0.05]),
    turns=st.integers(3, 40),
)
@settings(max_examples=120, deadline=None)
def test_made_up_streams(seed: int, chunk: int, loss: float, turns: int) -> None:
    """Any protocols, pipelines, asides, early answers, endings, losses and cuts into chunks: all columns are equal."""
    rng = random.Random(seed)
    packets = merge(*(conversation(rng, number, turns) for number in range(rng.randint(1, 4))))
    packets = [packet for packet in packets if rng.random() >= loss]
    limits = Limits(chunk_bytes=chunk)
    at_once = Exchanges(packets, limits)
    with one_by_one():
        single = Exchanges(packets, limits)
    assert at_once.table.to_pylist() == single.table.to_pylist()
    assert at_once.accounting == single.accounting
    assert at_once.connections == single.connections
    assert at_once.unexplained == 0


@pytest.mark.parametrize("chunk", [20_000, 16 << 20])
@pytest.mark.parametrize("path", sorted(SHOP.glob("*.pcap*")), ids=lambda path: path.name)
def test_captures_of_real_servers(path: Path, chunk: int, tmp_path: Path) -> None:
    """On the captures of the example, whose connections are plain, all columns are equal."""
    file = tmp_path / "capture.pcap"
    file.write_bytes(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    limits = Limits(chunk_bytes=chunk)
    at_once = ExchangesOfFile(file, limits)
    with one_by_one() as candidates:
        single = ExchangesOfFile(file, limits)
    assert sum(candidates) > 0
    assert at_once.table.to_pylist() == single.table.to_pylist() != []
    assert at_once.accounting == single.accounting


def test_most_connections_are_plain() -> None:
    """A client that asks in turn is paired by array operations: the careful way does not see it."""
    talk = TcpConversation().open()
    for number in range(5):
        talk.send(Side.CLIENT, HTTP[0] % number).send(Side.SERVER, HTTP[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_pair_carefully", None)
        assert [row["proof"] for row in Exchanges(talk.close().packets).rows] == ["acknowledged"] * 5
