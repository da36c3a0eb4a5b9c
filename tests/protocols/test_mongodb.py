"""MongoDB: OP_MSG and what was before it, compressed or not; splits, gaps, late joiners, and whatever bytes."""

from __future__ import annotations

import random
import struct
import zlib
from typing import TYPE_CHECKING, Any

import bson
import cramjam
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import dissect
from tests.support.mangle import mutated
from tests.support.properties import (
    assert_gaps_only_take_away,
    assert_late_joiners_read_the_rest,
    assert_splits_change_nothing,
)

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.mongodb import MongoDB
from wiretrace.protocols.mongodb_bson import Outline, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

ORDER = "5f1d7e0a9b3c4d2e1f0a9b8c"


def message(number: int, answers_to: int, operation: int, body: bytes) -> bytes:
    return struct.pack("<iIIi", 16 + len(body), number, answers_to, operation) + body


def op_msg(
    number: int,
    answers_to: int,
    document: Mapping[str, Any],
    flags: int = 0,
    sequence: tuple[bytes, list[Mapping[str, Any]]] | None = None,
    sequence_first: bool = False,
) -> bytes:
    body = b"\0" + bson.encode(document)
    if sequence is not None:
        content = sequence[0] + b"\0" + b"".join(map(bson.encode, sequence[1]))
        extra = b"\1" + struct.pack("<i", 4 + len(content)) + content
        body = extra + body if sequence_first else body + extra
    return message(number, answers_to, 2013, struct.pack("<I", flags) + body + (b"sums" if flags & 1 else b""))


def compressed(packed: bytes, compressor: int) -> bytes:
    _, number, answers_to, operation = struct.unpack_from("<iIIi", packed)
    body = packed[16:]
    pack = {0: bytes, 1: cramjam.snappy.compress_raw, 2: zlib.compress, 3: zstd.compress}[compressor]
    return message(number, answers_to, 2012, struct.pack("<iiB", operation, len(body), compressor) + bytes(pack(body)))


def op_query(number: int, name: bytes, document: Mapping[str, Any], flags: int = 0) -> bytes:
    return message(number, 0, 2004, struct.pack("<I", flags) + name + bytes(9) + bson.encode(document))


def op_reply(
    number: int, answers_to: int, documents: list[Mapping[str, Any]], flags: int = 0, cursor: int = 0
) -> bytes:
    head = struct.pack("<Iqii", flags, cursor, 0, len(documents))
    return message(number, answers_to, 1, head + b"".join(map(bson.encode, documents)))


FIND = {
    "find": "orders",
    "filter": {"_id": bson.ObjectId(ORDER), "customer": "user-8812"},
    "lsid": {"id": 7},
    "$db": "shop",
}
FOUND = {
    "cursor": {"firstBatch": [{"article": "paint-77"}, {"article": "paint-78"}], "id": 0, "ns": "shop.orders"},
    "ok": 1.0,
}
REFUSED = {"ok": 0.0, "errmsg": "no such user mary@example.com", "code": 13, "codeName": "Unauthorized"}

CLIENT = (
    op_query(1, b"admin.$cmd", {"isMaster": 1, "client": {"driver": "a"}})
    + op_msg(2, 0, FIND)
    + op_msg(
        3,
        0,
        {"insert": "orders", "ordered": True, "$db": "shop"},
        sequence=(b"documents", [{"_id": 900}, {"_id": 901}]),
    )
    + compressed(op_msg(4, 0, {"update": "orders", "$db": "shop", "updates": [{"q": {"_id": 900}}]}), 1)
    + op_msg(5, 0, {"delete": "orders", "$db": "shop", "deletes": []}, flags=2)
    + compressed(op_msg(6, 0, {"aggregate": "orders", "pipeline": [{"$match": {"state": "open"}}], "$db": "shop"}), 3)
    + op_msg(7, 0, {"dropUser": "mary", "$db": "shop"}, flags=1)
)
SERVER = (
    op_reply(101, 1, [{"ismaster": True, "ok": 1.0}])
    + op_msg(102, 2, FOUND)
    + op_msg(103, 3, {"n": 1, "writeErrors": [{"index": 1, "code": 11000, "errmsg": "E11000"}], "ok": 1.0})
    + compressed(op_msg(104, 4, {"n": 1, "ok": 1.0}), 1)
    + compressed(op_msg(106, 6, FOUND), 3)
    + op_msg(107, 7, REFUSED, flags=1)
)


def test_splits_change_nothing() -> None:
    read = assert_splits_change_nothing(MongoDB, CLIENT, SERVER)
    assert [each.operation for each in read.requests] == [
        "isMaster", "find orders", "insert orders", "update orders", "delete orders", "aggregate orders", "dropUser",
    ]  # fmt: skip
    assert [each.role for each in read.requests].count(Role.ONE_WAY) == 1
    assert [(each.status, each.result is Result.OK) for each in read.responses] == [
        ("OK", True), ("OK", True), ("DuplicateKey", False), ("OK", True), ("OK", True), ("Unauthorized", False),
    ]  # fmt: skip
    assert [each.key for each in read.responses] == [1, 2, 3, 4, 6, 7]


def test_what_is_missing_only_takes_away() -> None:
    assert assert_gaps_only_take_away(MongoDB, CLIENT, SERVER) > 300


def test_who_comes_late_reads_the_rest() -> None:
    assert assert_late_joiners_read_the_rest(MongoDB, CLIENT, SERVER) > 30


def request(packed: bytes, *, keep_values: bool = False) -> Message:
    [found] = dissect(MongoDB, packed, b"", context=Context(keep_values=keep_values)).requests
    return found


def response(packed: bytes, *, keep_values: bool = False) -> Message:
    [found] = dissect(MongoDB, b"", packed, context=Context(keep_values=keep_values)).responses
    return found


def test_a_command_is_shown_without_its_values_which_only_link() -> None:
    found = request(op_msg(2, 0, FIND))
    assert found.summary == "find orders {filter: {_id: ?, customer: ?}}"
    assert found.values.split() == [ORDER.encode(), b"user-8812"]
    assert found.attributes == {
        "db.system.name": "mongodb",
        "db.operation.name": "find",
        "db.namespace": "shop",
        "db.collection.name": "orders",
        "db.query.summary": "find orders",
        "db.query.text": "{filter: {_id: ?, customer: ?}}",
    }


def test_values_are_shown_where_the_user_asks_for_them_but_for_secrets() -> None:
    found = request(
        op_msg(2, 0, {"find": "users", "filter": {"name": "mary", "password": "hunter2"}}), keep_values=True
    )
    assert found.summary == "find users {filter: {name: mary, password: [redacted]}}"
    assert found.values == b"mary"


@pytest.mark.parametrize(
    "command", [{"saslStart": 1, "payload": b"n,,n=mary"}, {"createUser": "mary", "pwd": "hunter2"}]
)
def test_what_authenticates_is_not_read(command: dict[str, Any]) -> None:
    found = request(op_msg(2, 0, command), keep_values=True)
    assert b"mary" not in found.values + found.summary.encode()
    assert b"hunter2" not in found.values + found.summary.encode()


def test_a_document_sequence_is_shown_as_the_array_that_it_stands_for() -> None:
    """Also where it comes before the body, and where the body was not reached."""
    sequence = (b"documents", [{"_id": 900, "tags": ["a", "b"]}, {"_id": 901}])
    for first in (False, True):
        found = request(op_msg(2, 0, {"insert": "orders", "$db": "shop"}, sequence=sequence, sequence_first=first))
        assert found.summary == "insert orders {documents: [{_id: ?, tags: [?, ...]}, ...]}"
        assert found.values.split() == [b"900", b"a", b"b", b"901"]
    large = (b"documents", [{"_id": number, "text": "x" * 1000} for number in range(100, 200)])
    found = request(op_msg(2, 0, {"insert": "orders"}, sequence=large, sequence_first=True))
    assert found.operation == "insert"


@pytest.mark.parametrize("compressor", [0, 1, 2, 3])
def test_a_compressed_message_says_what_it_says_without_compression(compressor: int) -> None:
    plain, packed = request(op_msg(2, 0, FIND)), request(compressed(op_msg(2, 0, FIND), compressor))
    assert (packed.operation, packed.summary, packed.values) == (plain.operation, plain.summary, plain.values)
    assert response(compressed(op_msg(9, 2, REFUSED), compressor)).status == "Unauthorized"


def test_an_unknown_compressor_leaves_the_pairing() -> None:
    found = request(
        compressed(op_msg(2, 0, FIND), 0)[:24] + b"\x09" + b"junk"[:0] + compressed(op_msg(2, 0, FIND), 0)[25:]
    )
    assert (found.operation, found.key) == ("command", 2)


def test_errors_are_known_by_name_and_their_words_only_shown_on_demand() -> None:
    refused = response(op_msg(9, 2, REFUSED))
    assert (refused.status, refused.result, refused.values) == ("Unauthorized", Result.SERVER_ERROR, b"")
    assert refused.attributes == {"db.response.status_code": "13"}
    shown = response(op_msg(9, 2, REFUSED), keep_values=True).attributes
    assert shown is not None
    assert shown["wiretrace.error.message"] == "no such user mary@example.com"
    unnamed = response(op_msg(9, 2, {"ok": 0, "errmsg": "?", "code": 987654}))
    assert unnamed.status == "987654"
    concern = response(op_msg(9, 2, {"n": 1, "writeConcernError": {"code": 64, "errmsg": "late"}, "ok": 1.0}))
    assert (concern.status, concern.result) == ("WriteConcernFailed", Result.SERVER_ERROR)
    assert response(op_reply(9, 2, [{"$err": "x", "code": 13}], flags=2)).status == "Unauthorized"
    assert response(op_reply(9, 2, [], flags=1)).status == "CursorNotFound"
    assert response(op_reply(9, 2, [{"err": "x", "code": 11000, "ok": 1.0}])).status == "DuplicateKey"


def test_rows_of_a_cursor_are_counted() -> None:
    assert response(op_msg(9, 2, FOUND)).attributes == {"db.response.returned_rows": 2}
    assert response(op_reply(9, 2, [{"a": 1}, {"a": 2}, {"a": 3}])).attributes == {"db.response.returned_rows": 3}


def test_of_several_answers_to_one_request_the_first_is_its_answer() -> None:
    """Exhaust: each answer names the one before it."""
    client = op_msg(1, 0, {"hello": 1, "$db": "admin"}, flags=1 << 16) + op_msg(2, 0, {"ping": 1, "$db": "admin"})
    stream = op_msg(101, 1, {"ok": 1.0}, 2) + op_msg(102, 101, {"ok": 1.0}, 2) + op_msg(103, 102, {"ok": 1.0})
    read = dissect(MongoDB, client, stream + op_msg(104, 2, {"ok": 1.0}))
    assert [(each.role, each.operation) for each in read.responses] == [
        (Role.RESPONSE, ""),
        (Role.PUSH, "hello (exhaust)"),
        (Role.PUSH, "hello (exhaust)"),
        (Role.RESPONSE, ""),
    ]
    legacy = dissect(
        MongoDB,
        op_query(1, b"shop.orders", {"a": 1}, flags=1 << 6),
        op_reply(101, 1, [{"a": 1}], cursor=7) + op_reply(102, 101, [{"a": 1}], cursor=0),
    )
    assert [each.role for each in legacy.responses] == [Role.RESPONSE, Role.PUSH]


def test_the_protocol_before_op_msg() -> None:
    name = b"shop.orders\0"
    client = [
        op_query(1, b"shop.orders", {"$query": {"find": 3}, "x": 1}),
        op_query(2, b"shop.$cmd", {"count": "orders", "query": {"state": "open"}}),
        message(3, 0, 2005, bytes(4) + name + struct.pack("<iq", 0, 99)),
        message(4, 0, 2002, bytes(4) + name + bson.encode({"_id": 31})),
        message(5, 0, 2001, bytes(4) + name + bytes(4) + bson.encode({"_id": 31}) + bson.encode({"_id": 32})),
        message(6, 0, 2006, bytes(4) + name + bytes(4) + bson.encode({"_id": 31})),
        message(7, 0, 2007, bytes(4) + struct.pack("<iq", 1, 99)),
        message(8, 0, 2010, b"shop\0count\0" + bson.encode({"count": "orders"}) + bson.encode({})),
    ]
    read = dissect(MongoDB, b"".join(client), message(9, 8, 2011, bson.encode({"ok": 0, "code": 26}) + bson.encode({})))
    assert [each.operation for each in read.requests] == [
        "find orders", "count orders", "getMore orders", "insert orders", "update orders", "delete orders", "killCursors",
        "count orders",
    ]  # fmt: skip
    assert [each.role is Role.ONE_WAY for each in read.requests] == [False] * 3 + [True] * 4 + [False]
    assert read.responses[0].status == "NamespaceNotFound"


def test_an_explained_command_is_told_apart() -> None:
    assert request(op_msg(1, 0, {"explain": {"find": "orders"}, "$db": "shop"})).operation == "explain find orders"


def test_a_long_message_is_passed_over_once_its_beginning_is_read() -> None:
    long = op_msg(
        1, 0, {"insert": "orders", "documents": [{"_id": n, "text": "x" * 500} for n in range(500)], "$db": "shop"}
    )
    read = dissect(MongoDB, long + op_msg(2, 0, {"ping": 1}), b"", splits=random.Random(3))
    assert [(each.operation, each.end) for each in read.requests] == [
        ("insert orders", len(long)),
        ("ping", len(long) + len(op_msg(2, 0, {"ping": 1}))),
    ]


def test_documents_in_documents_without_end_are_not_followed() -> None:
    """The depth is bounded, and so is what one message may cost."""
    deep: dict[str, Any] = {"a": 42}
    for _ in range(90):
        deep = {"a": deep}
    found = request(op_msg(1, 0, {"find": "orders", "filter": deep}))
    assert found.summary.count("{") < 15
    wide = request(op_msg(1, 0, {"find": "orders", "filter": {f"key{n}": n for n in range(5000)}}))
    assert len(wide.summary) < 500
    assert len(wide.values) <= 512


def test_it_is_recognised_by_its_bytes_in_the_right_roles() -> None:
    assert MongoDB.probe(CLIENT, SERVER) >= 0.9
    assert MongoDB.probe(SERVER, CLIENT) == 0.0
    assert MongoDB.probe(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n" * 2, b"") == 0.0
    assert MongoDB.probe(bytes(64), bytes(64)) == 0.0


@given(
    st.binary(max_size=300), st.binary(max_size=300), st.booleans(), st.integers(0, len(CLIENT)), st.integers(0, 255)
)
@settings(max_examples=150, deadline=None)
def test_no_bytes_break_it(client: bytes, server: bytes, whole: bool, place: int, byte: int) -> None:
    MongoDB.probe(client, server)
    dissect(MongoDB, client, server, context=Context(started=(whole, whole)))
    broken = CLIENT[:place] + bytes((byte,)) + CLIENT[place + 1 :]
    dissect(MongoDB, broken + client, SERVER + server)


SIMPLE = st.one_of(
    st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text("ab0é", max_size=9), st.booleans(), st.none()
)
NESTED = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["id", "token", "name"]), inner, max_size=3)
    ),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None)
@given(
    document=st.dictionaries(st.sampled_from(["ok", "id", "password", "lines"]), NESTED),
    room=st.integers(0, 80),
    cut=st.floats(0, 1),
    chooser=st.randoms(use_true_random=False),
)
def test_values_alone_are_those_of_the_outline(
    document: dict[str, Any], room: int, cut: float, chooser: random.Random
) -> None:
    """Whole, cut and damaged documents."""
    whole = bson.encode(document)
    for data in (whole, whole[: int(cut * len(whole))], mutated(whole, chooser)):
        outline = Outline(room, False)
        outline.add(data, 0, len(data), frozenset({b"ok"}))
        assert values_of(data, 0, len(data), room, frozenset({b"ok"})) == outline.values


def test_documents_inside_of_each_other_without_end_are_entered_only_so_deep() -> None:
    deep = b"\x05\0\0\0\0"
    for _ in range(5000):
        deep = struct.pack("<i", 4 + 3 + len(deep) + 1) + b"\x03a\0" + deep + b"\0"
    assert values_of(deep, 0, len(deep), 100, frozenset()) == b""
