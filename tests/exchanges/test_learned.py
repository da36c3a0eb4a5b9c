"""What is learned is worked out once for each key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wiretrace.exchanges.learned import Learned


class Lengths(Learned[bytes, int]):
    """Lengths of keys, and which of them were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def work_out(self, key: bytes) -> int:
        self.asked.append(key)
        return len(key)


@given(st.lists(st.binary(max_size=3)))
def test_each_key_is_worked_out_once(keys: list[bytes]) -> None:
    """Every key gets its value, in the order in which they are asked for, and none is worked out again."""
    lengths = Lengths()
    assert lengths.of(keys) == lengths.of(keys) == [len(key) for key in keys]
    assert lengths.asked == list(dict.fromkeys(keys))
