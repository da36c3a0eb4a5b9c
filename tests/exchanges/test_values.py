"""Values hash the same wherever they stand, and mean nothing without the key."""

import random
import time
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from wiretrace.exchanges.values import REMEMBERED_WORDS, WORD_BYTES, ValueHasher
from wiretrace.model.limits import Limits

HASHER = ValueHasher(b"key of a case", Limits())


def shared(first: bytes, second: bytes) -> set[int]:
    return set(HASHER.tokens(first)) & set(HASHER.tokens(second))


def test_a_number_is_the_same_in_path_literal_json_and_key() -> None:
    path = b"/orders/8812/items"
    for other in (b"SELECT * FROM orders WHERE id = 8812", b'{"order_id":8812}', b"order:8812", b"order_8812", b"order8812",
                  b"order-8812", b"a%3A8812", b"id=8812&x=y", b"'8812'"):  # fmt: skip
        assert HASHER.tokens(b"8812")[0] in shared(path, other), other


def test_a_uuid_is_the_same_in_any_case_and_with_or_without_dashes() -> None:
    dashed = b"/u/550E8400-e29b-41d4-a716-446655440000"
    assert HASHER.tokens(b"550e8400e29b41d4a716446655440000")[0] in shared(dashed, b"550e8400e29b41d4a716446655440000")
    assert len(HASHER.tokens(b"550e8400-e29b-41d4-a716-446655440000")) == 1


def test_a_compound_is_hashed_whole_and_in_parts() -> None:
    tokens = HASHER.tokens(b"ORD-2024-0042")
    assert HASHER.tokens(b"/x/ord-2024-0042")[0] == tokens[0]
    assert set(HASHER.tokens(b"2024 0042")) <= set(tokens)


def test_single_digits_and_short_words_are_no_values() -> None:
    assert HASHER.tokens(b"/a/b/7?x=1 GET id") == []


def test_identifiers_are_preferred_where_the_limit_is_reached() -> None:
    text = b" ".join(b"word%s" % bytes([97 + n, 97 + m]) for n in range(10) for m in range(10)) + b" 4711"
    tokens = HASHER.tokens(text[-500:])
    assert tokens[0] == HASHER.tokens(b"4711")[0]
    assert [token & 1 for token in tokens] == [0] + [1] * (len(tokens) - 1)
    assert len(tokens) == Limits().value_tokens


def test_another_key_gives_other_hashes() -> None:
    other = ValueHasher(b"another key", Limits())
    assert not set(HASHER.tokens(b"4711 alpha")) & set(other.tokens(b"4711 alpha"))


def test_digests_differ_by_content_and_identifiers_by_kind() -> None:
    assert HASHER.digest("GET", b"/a") == HASHER.digest("GET", b"/a body") != HASHER.digest("GET", b"/b")
    assert HASHER.digest("GET", b"") == 0
    assert HASHER.identifier("b3", b"1") == HASHER.identifier("b3", b"1")
    assert HASHER.identifier("b3", b"1") != HASHER.identifier("sw8", b"1")


def test_memory_is_bounded() -> None:
    hasher = ValueHasher(b"k", Limits())
    for number in range(REMEMBERED_WORDS + 10):
        hasher.tokens(b"%d" % (number + 100))
    assert len(hasher._words) <= REMEMBERED_WORDS


@given(st.binary(max_size=2000))
def test_any_bytes_give_distinct_bounded_tokens(values: bytes) -> None:
    """Whatever the bytes, tokens are distinct unsigned 64-bit numbers, and not more than the limit."""
    tokens = HASHER.tokens(values)
    assert len(set(tokens)) == len(tokens) <= Limits().value_tokens
    assert all(0 <= token < 1 << 64 for token in tokens)


def plain_tokens(hasher: ValueHasher, values: bytes) -> list[int]:
    """Tokens the plain way: word by word, each hashed on its own."""
    values = values[: Limits().value_bytes]
    words = (unquote_to_bytes(values) if b"%" in values else values).translate(WORD_BYTES).split()
    found = dict.fromkeys(token for word in words for token in hasher.tokens(word))
    if len(found) <= Limits().value_tokens:
        return list(found)
    return sorted(found, key=lambda token: token & 1)[: Limits().value_tokens]


@given(st.lists(st.binary(max_size=700) | st.text("ab01- /%42", max_size=700).map(str.encode), max_size=20))
def test_many_values_at_once_as_one_by_one(many: list[bytes]) -> None:
    """Values that are hashed together do not touch each other."""
    offsets, tokens = HASHER.token_lists(many)
    found = [tokens[offsets[at] : offsets[at + 1]].tolist() for at in range(len(many))]
    assert found == [HASHER.tokens(values) for values in many] == [plain_tokens(HASHER, values) for values in many]


def test_values_are_the_same_before_and_after_forgetting() -> None:
    """More words than are remembered, in one call: every value keeps its hashes."""
    hasher = ValueHasher(b"k", Limits())
    values = [b"/orders/%d" % number for number in range(REMEMBERED_WORDS + 1000)]
    offsets, tokens = hasher.token_lists(values)
    assert len(hasher._words) <= REMEMBERED_WORDS
    for at in (0, 1, REMEMBERED_WORDS, len(values) - 1):
        assert tokens[offsets[at] : offsets[at + 1]].tolist() == ValueHasher(b"k", Limits()).tokens(values[at])


@given(st.integers(10, 1 << 64), st.sampled_from([b"/orders/%d", b"id = '%d'", b'{"id": %d}', b"cart:%d:items", b"%d"]))
def test_every_number_is_found_in_every_form(number: int, form: bytes) -> None:
    """A number of two digits or more gives its own hash in all textual forms."""
    assert HASHER.tokens(b"%d" % number)[0] in HASHER.tokens(form % number)


def test_long_words_take_linear_time() -> None:
    """A hostile run of half-words does not make the search slow."""
    hasher = ValueHasher(b"k", Limits(value_bytes=1 << 20))
    text = b"-".join([b"a1"] * 100_000) + b"_" * 100_000 + random.Random(1).randbytes(100_000)
    started = time.process_time()
    hasher.tokens(text)
    assert time.process_time() - started < 2
