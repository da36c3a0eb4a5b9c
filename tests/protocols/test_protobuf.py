"""Values in Protocol Buffers are found without a schema, and whatever bytes there are do no harm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wiretrace.protocols.protobuf import values_in


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_strings_and_numbers_are_taken_also_from_messages_in_messages() -> None:
    inner = field(1, "paint-77") + field(2, 123456)
    message = field(1, "user-88") + field(2, 42) + field(3, 7) + field(4, inner) + b"\x29" + bytes(8) + field(6, "last")
    assert values_in(message, 200) == b"user-88 42 paint-77 123456 last"


def test_no_more_is_taken_than_there_is_room() -> None:
    assert (
        values_in(b"".join(field(1, f"value-{number}") for number in range(100)), 30)
        == b"value-0 value-1 value-2 value-"
    )


def test_a_word_that_is_cut_off_is_not_taken() -> None:
    """It would be another word."""
    message = field(1, "user-88") + field(2, "order-1881")
    assert values_in(message[:-2], 200) == b"user-88"
    assert values_in(field(1, field(1, "user-88") + field(2, "order-1881"))[:-2], 200) == b"user-88"


def test_bytes_that_are_neither_text_nor_fields_are_passed_over() -> None:
    assert values_in(field(1, b"\xff\xfe\xfd") + field(2, "after"), 100) == b"after"


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(10, 2**64 - 1)), max_size=10))
def test_every_number_is_found(numbers: list[tuple[int, int]]) -> None:
    message = b"".join(field(number, value) for number, value in numbers)
    assert values_in(message, 1000) == b" ".join(b"%d" % value for _, value in numbers)


@given(st.binary(max_size=1024), st.integers(0, 512))
def test_whatever_bytes_there_are(message: bytes, room: int) -> None:
    assert len(values_in(message, room)) <= room


def test_messages_in_messages_are_entered_only_so_deep() -> None:
    message = b"\xff"
    for _ in range(400):
        message = field(1, message)
    assert values_in(message, 512) == b""
