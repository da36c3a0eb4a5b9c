"""The exchanges floor pairs what the packets prove, loses no byte, and never pairs wrongly, whatever is missing."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.captures import SYN, Packet, TcpConversation, drop, merge
from tests.support.packets import Exchanges

from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.model.side import Side


def request(number: int) -> bytes:
    return b"GET /item/%d HTTP/1.1\r\nHost: shop\r\n\r\n" % number


def response(number: int, status: bytes = b"200 OK") -> bytes:
    """A response whose length tells which request it answers."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, number) + b"x" * number


def length(number: int) -> int:
    return len(response(number))


def blocking(count: int = 12, mss: int = 300, **options: object) -> TcpConversation:
    """A client that waits for each answer before it asks again."""
    conversation = TcpConversation(mss=mss, **options).open()  # type: ignore[arg-type]
    for number in range(1, count + 1):
        conversation.send(Side.CLIENT, request(number)).send(Side.SERVER, response(number * 40))
    return conversation.acknowledge(Side.CLIENT)


def batched(batches: int = 5, size: int = 4) -> TcpConversation:
    """A client that sends several requests at once and waits for all answers."""
    conversation = TcpConversation(mss=200).open()
    number = 0
    for _ in range(batches):
        for offset in range(1, size + 1):
            conversation.send(Side.CLIENT, request(number + offset))
        for offset in range(1, size + 1):
            conversation.send(Side.SERVER, response((number + offset) * 10))
        number += size
    return conversation.acknowledge(Side.CLIENT)


def multiplexed(count: int = 60, depth: int = 4) -> TcpConversation:
    """A client that keeps up to `depth` requests under way and sends another whenever it likes."""
    rng = random.Random(7)
    conversation = TcpConversation(mss=2000).open()
    asked = answered = 0
    while answered < count:
        if asked < count and asked - answered < depth and (asked == answered or rng.random() < 0.5):
            asked += 1
            conversation.send(Side.CLIENT, request(asked))
        else:
            answered += 1
            conversation.send(Side.SERVER, response(answered * 10))
    return conversation.acknowledge(Side.CLIENT)


def false_pairs(exchanges: Exchanges, factor: int) -> list[tuple[str, int]]:
    """Pairs whose response is not the one that answers the request, told by its length."""
    wrong = []
    for row in exchanges.rows:
        if row["request_start_ns"] < 0 or row["response_start_ns"] < 0 or not row["proof"]:
            continue
        number = int(row["summary"].rsplit("/", 1)[1])
        if row["response_bytes"] != length(number * factor) and "bytes of it were not captured" not in row["notes"]:
            wrong.append((row["summary"], row["response_bytes"]))
    return wrong


def test_every_exchange_with_its_frames_and_times() -> None:
    """A clean conversation gives every exchange, proved, with the frames and times of its first and last bytes."""
    exchanges = Exchanges(blocking(3).packets)
    assert exchanges.pairs() == [(f"GET /item/{number}", "200", "ok") for number in (1, 2, 3)]
    first = exchanges.rows[0]
    assert first["proof"] == "acknowledged"
    assert first["request_frames"] == [4]
    assert first["response_frames"] == [5]
    assert first["request_end_ns"] < first["response_start_ns"] <= first["response_end_ns"]
    assert first["request_seq"] == 1001
    assert exchanges.unexplained == 0
    assert exchanges.accounting == {"in_exchanges": exchanges.payload_bytes}


@given(seed=st.integers(0, 2**32), chunk=st.sampled_from([2500, 6000, 1 << 20]))
@settings(max_examples=40, deadline=None)
def test_order_and_duplicates_change_nothing(seed: int, chunk: int) -> None:
    """Duplicated packets, packets seen late, and any cut into chunks give the same exchanges."""
    rng = random.Random(seed)
    packets = blocking().packets
    plain = Exchanges(packets)
    moved: list[Packet] = []
    for packet in packets:
        at = len(moved) - (1 if len(moved) > 4 and rng.random() < 0.3 else 0)
        moved.insert(at, packet)
        if rng.random() < 0.1:
            moved.append(packet)
    exchanges = Exchanges(moved, Limits(chunk_bytes=chunk))
    assert exchanges.pairs() == plain.pairs()
    assert [row["response_bytes"] for row in exchanges.rows] == [row["response_bytes"] for row in plain.rows]
    assert exchanges.unexplained == 0


def several(rng: random.Random) -> list[Packet]:
    """Connections of different protocols side by side, each of a client that waits or asks in batches."""
    dialects = {
        80: (request, lambda number: response(number * 10)),
        6379: (lambda number: b"*2\r\n$3\r\nGET\r\n$4\r\n%04d\r\n" % number, lambda number: b"$4\r\n%04d\r\n" % number),
        11211: (lambda number: b"get key%d\r\n" % number, lambda number: b"VALUE key%d 0 1\r\nx\r\nEND\r\n" % number),
    }
    conversations = []
    for place in range(rng.randint(1, 4)):
        port = rng.choice(list(dialects))
        ask, answer = dialects[port]
        talk = TcpConversation(("10.0.0.1", 40_000 + place), ("10.0.0.2", port), mss=rng.choice([30, 300]))
        talk.open().wait(place * 13)
        number = 0
        for _ in range(rng.randint(1, 8)):
            batch = range(number, number + rng.choice([1, 1, 3]))
            for each in batch:
                talk.send(Side.CLIENT, ask(each))
            for each in batch:
                talk.send(Side.SERVER, answer(each))
            number = batch.stop
        conversations.append(rng.choice([talk.close, lambda talk=talk: talk.acknowledge(Side.CLIENT)])().packets)  # type: ignore[misc]
    return merge(*conversations)


def contents(exchanges: Exchanges) -> list[tuple[object, ...]]:
    """What every exchange says, without frames and times, and without values of bodies: a cut into chunks cuts them too."""
    names = ("client_port", "request_seq", "response_seq", "summary", "status", "outcome", "proof", "request_bytes",
             "response_bytes", "request_tokens", "attributes", "notes")  # fmt: skip
    return sorted(tuple(repr(row[name]) for name in names) for row in exchanges.rows)


@given(seed=st.integers(0, 2**32), chunk=st.sampled_from([500, 2500, 6000]))
@settings(max_examples=60, deadline=None)
def test_any_split_order_and_repetition_gives_the_same_exchanges(seed: int, chunk: int) -> None:
    """Many connections, packets late by a few places or captured twice, any cut into chunks: nothing changes."""
    rng = random.Random(seed)
    packets = several(rng)
    plain = Exchanges(packets)
    order = sorted(range(len(packets)), key=lambda index: index + rng.choice([0, 0, 0, 2.5]))
    moved = [packets[index] for index in order for _ in range(2 if rng.random() < 0.1 else 1)]
    assert contents(Exchanges(packets, Limits(chunk_bytes=chunk))) == contents(plain)
    assert contents(Exchanges(moved)) == contents(plain)


@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.02, 0.1, 0.3]), chunk=st.sampled_from([3000, 1 << 20]))
@example(seed=1220, share=0.3, chunk=3000)  # three sent together: the last left, and the first answer
@settings(max_examples=60, deadline=None)
def test_what_is_deleted_leaves_a_subset_and_is_told(seed: int, share: float, chunk: int) -> None:
    """Without some packets no exchange is found that was not there; lost bytes are counted, and all others have a place."""
    rng = random.Random(seed)
    packets = several(rng)
    whole = {content[:4] + content[7:9] for content in contents(Exchanges(packets))}
    left = [packet for index, packet in enumerate(packets) if index < 3 or rng.random() >= share]
    exchanges = Exchanges(left, Limits(chunk_bytes=chunk))
    proved = [row for row in exchanges.rows if row["proof"] and not row["notes"]]
    names = ("client_port", "request_seq", "response_seq", "summary", "request_bytes", "response_bytes")
    assert {tuple(repr(row[name]) for name in names) for row in proved} <= whole
    assert exchanges.unexplained == 0
    if len(proved) < len(whole):
        lost = sum(row["client_lost_bytes"] + row["server_lost_bytes"] for row in exchanges.connections)
        halves = [row for row in exchanges.rows if not row["proof"] or row["notes"]]
        assert lost or halves or exchanges.notes.counts or len(exchanges.connections) < 4


@pytest.mark.parametrize("make", [blocking, batched, multiplexed])
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.03, 0.1, 0.2]), small=st.booleans())
@settings(max_examples=60, deadline=None)
def test_missing_packets_never_make_a_false_pair(make: object, seed: int, share: float, small: bool) -> None:
    """Whatever is missing: no request is paired with another one's response, and every captured byte has its place.

    A client that multiplexes is found out by what it does over some time: its chunks are not made small.
    """
    assert callable(make)
    chunk = 6000 if small and make is not multiplexed else 1 << 20
    rng = random.Random(seed)
    packets = [packet for index, packet in enumerate(make().packets) if index < 3 or rng.random() >= share]
    exchanges = Exchanges(packets, Limits(chunk_bytes=chunk))
    assert false_pairs(exchanges, 40 if make is blocking else 10) == []
    assert exchanges.unexplained == 0


@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.02, 0.1]), midway=st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_was_captured_is_found(seed: int, share: float, midway: bool) -> None:
    """Of a client that waits for its answers, an exchange that was captured is found, behind gaps too.

    It needs one captured neighbour to prove it: the request or the response before it, or the request behind it.
    """
    rng = random.Random(seed)
    packets = blocking(30, mss=5000).packets
    lost = {index for index in range(3, len(packets)) if rng.random() < share} | set(range(9) if midway else ())
    found = {row["summary"] for row in Exchanges(drop(packets, *lost)).rows if row["proof"]}
    expected = set()
    for number in range(1, 31):
        asked, answered = 2 * number + 1, 2 * number + 2
        neighbours = {asked - 2, asked - 1} if number > 1 else {2}
        neighbours |= {asked + 2} if number < 30 else set()
        if not {asked, answered} & lost and neighbours - lost:
            expected.add(f"GET /item/{number}")
    assert expected <= found


def test_a_lost_response_shifts_nothing() -> None:
    """The answer to the second request is not taken for the lost answer to the first."""
    packets = blocking(3, mss=5000).packets
    exchanges = Exchanges(drop(packets, 4))
    assert exchanges.pairs() == [
        ("GET /item/1", "", "not_captured"),
        ("GET /item/2", "200", "ok"),
        ("GET /item/3", "200", "ok"),
    ]


def test_a_lost_request_shifts_nothing() -> None:
    """A response whose request the capture lacks is a half of its own."""
    exchanges = Exchanges(drop(blocking(3, mss=5000).packets, 5))
    assert [row[1:] for row in exchanges.pairs()] == [("200", "ok"), ("200", "not_captured"), ("200", "ok")]
    assert false_pairs(exchanges, 40) == []


def test_request_and_response_of_neighbours_lost() -> None:
    """With the first answer and the second question lost, the second answer is not given to the first question."""
    exchanges = Exchanges(drop(blocking(3, mss=5000).packets, 4, 5))
    assert exchanges.pairs()[0] == ("GET /item/1", "", "not_captured")
    assert false_pairs(exchanges, 40) == []


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        ("server_reset", "server_reset"),
        ("server_fin", "server_closed"),
        ("client_fin", "client_aborted"),
        ("", "unfinished"),
    ],
)
def test_unanswered_requests(ending: str, outcome: str) -> None:
    """A request without an answer has the outcome that the end of its connection shows."""
    conversation = TcpConversation().open().send(Side.CLIENT, request(1)).acknowledge(Side.SERVER)
    if ending == "server_reset":
        conversation.reset(Side.SERVER)
    elif ending:
        conversation.close(Side.SERVER if ending == "server_fin" else Side.CLIENT)
    row = Exchanges(conversation.packets).rows[0]
    assert row["outcome"] == outcome
    assert not row["possible"] or outcome in row["possible"]


def test_a_response_cut_by_a_reset() -> None:
    """A response that the server's reset cuts off is not ok."""
    conversation = TcpConversation().open().send(Side.CLIENT, request(1))
    conversation.send(Side.SERVER, response(500)[:200]).reset(Side.SERVER)
    row = Exchanges(conversation.packets).rows[0]
    assert (row["status"], row["outcome"]) == ("200", "server_reset")


def test_refused_and_unreachable() -> None:
    """Attempts to connect that came to nothing are exchanges too."""
    refused = TcpConversation(("10.0.0.1", 2), ("10.0.0.2", 80)).segment(Side.CLIENT, SYN).reset(Side.SERVER)
    silent = TcpConversation(("10.0.0.1", 3), ("10.0.0.2", 80)).segment(Side.CLIENT, SYN)
    rows = Exchanges(merge(refused.packets, silent.packets)).rows
    assert {(row["client_port"], row["operation"], row["outcome"]) for row in rows} == {
        (2, "connect", "refused"),
        (3, "connect", "unreachable"),
    }


def test_unknown_bytes_are_counted() -> None:
    """A connection that speaks nothing we read is noted with its port, and its bytes are accounted for."""
    conversation = TcpConversation(server=("10.0.0.2", 9999)).open()
    conversation.send(Side.CLIENT, b"\x00\x01\x02ping").send(Side.SERVER, b"\x00\x01\x02pong").close()
    exchanges = Exchanges(conversation.packets)
    assert exchanges.rows == []
    assert exchanges.accounting == {"protocol_unknown": 14}
    assert exchanges.notes.counts[NoteKind.PROTOCOL_UNKNOWN, "server port 9999"] == 1


def test_tls_is_noted_as_encrypted() -> None:
    """A connection that opens with a TLS handshake is encrypted, not unknown."""
    conversation = TcpConversation(server=("10.0.0.2", 443)).open()
    conversation.send(Side.CLIENT, b"\x16\x03\x01\x00\x05hello").send(Side.SERVER, b"\x16\x03\x03\x00\x05hello").close()
    assert Exchanges(conversation.packets).accounting == {"encrypted": 20}


def test_a_body_longer_than_a_chunk_is_passed_over() -> None:
    """A response of many chunks keeps its first and last time and all its frames, and is never held whole."""
    conversation = TcpConversation(mss=1000).open().send(Side.CLIENT, request(1)).send(Side.SERVER, response(30_000))
    exchanges = Exchanges(conversation.acknowledge(Side.CLIENT).packets, Limits(chunk_bytes=4000, unparsed_bytes=5000))
    row = exchanges.rows[0]
    assert row["response_bytes"] == length(30_000)
    assert row["response_frames"] == list(range(5, 5 + 31))
    assert exchanges.unexplained == 0


@given(data=st.binary(max_size=400), other=st.binary(max_size=400), seed=st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_arbitrary_bytes_never_raise(data: bytes, other: bytes, seed: int) -> None:
    """Any bytes behind a plausible beginning: no exception, and every byte is accounted for."""
    rng = random.Random(seed)
    beginnings = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"Q\x00\x00\x00\x0dselect 1\x00",
        b"\x16\x03\x01",
    ]
    conversation = TcpConversation(mss=rng.choice([7, 100, 1460])).open()
    conversation.send(Side.CLIENT, rng.choice(beginnings) + data)
    conversation.send(Side.SERVER, rng.choice([b"", b"HTTP/1.1 200 OK\r\n\r\n", b"+OK\r\n"]) + other)
    packets = [packet for packet in conversation.close().packets if rng.random() > 0.1]
    assert Exchanges(packets, Limits(chunk_bytes=rng.choice([300, 1 << 20]))).unexplained == 0


@pytest.mark.parametrize("first", [3, 5, 9])
def test_the_first_exchange_after_a_midway_start_is_found(first: int) -> None:
    """A waiting client has nothing older to wait for: what it asks first is answered by what comes next."""
    exchanges = Exchanges(blocking(8, mss=5000).packets[first : first + 2])
    assert [(row["outcome"], row["proof"]) for row in exchanges.rows] == [("ok", "acknowledged")]


def test_a_midway_start_inside_a_batch_is_left_open() -> None:
    """Behind a midway start, requests that are answered by one response too many are paired with none of them."""
    exchanges = Exchanges(batched(1, 4).packets[4:])
    assert false_pairs(exchanges, 10) == []
    assert not any(row["proof"] for row in exchanges.rows)


def test_malformed_bytes_behind_answers_shift_nothing() -> None:
    """What came before the bytes that break the rules is paired in order, pipelined requests too."""
    conversation = TcpConversation(mss=2000).open()
    conversation.send(Side.CLIENT, request(1)).send(Side.SERVER, response(40)[:50])
    conversation.send(Side.CLIENT, request(2)).send(Side.SERVER, response(40)[50:] + response(80) + b".")
    exchanges = Exchanges(conversation.acknowledge(Side.CLIENT).packets)
    assert [(row["summary"], row["response_bytes"]) for row in exchanges.rows] == [
        ("GET /item/1", length(40)),
        ("GET /item/2", length(80)),
    ]
    assert exchanges.unexplained == 0


def test_a_request_counts_though_its_answer_is_no_http() -> None:
    """One side that opens unmistakably names the protocol; the other side's bytes are counted as malformed."""
    conversation = TcpConversation(mss=2000).open()
    conversation.send(Side.CLIENT, request(1)).send(Side.SERVER, b"<html>an answer in the style of HTTP/0.9</html>")
    exchanges = Exchanges(conversation.acknowledge(Side.CLIENT).packets)
    assert [(row["protocol"], row["summary"], row["status"]) for row in exchanges.rows] == [("http", "GET /item/1", "")]
    assert exchanges.unexplained == 0
