"""What is remembered of values gives the same hashes as hashing them, and stays bounded."""

from hypothesis import given
from hypothesis import strategies as st

from wiretrace.exchanges import remembered_values
from wiretrace.exchanges.remembered_values import RememberedValues
from wiretrace.exchanges.values import ValueHasher
from wiretrace.model.limits import Limits

VALUES = st.lists(
    st.sampled_from([b"", b"/orders/4711", b"/users/12 alpha", b"a%3A8812"]) | st.binary(max_size=60), max_size=30
)


@given(st.lists(VALUES, max_size=4))
def test_as_if_every_value_was_hashed(batches: list[list[bytes]]) -> None:
    hasher = ValueHasher(b"key", Limits())
    remembered = RememberedValues(ValueHasher(b"key", Limits()))
    for values in batches:
        first, second = remembered.tokens(values, values[::-1])
        assert first.to_pylist() == [hasher.tokens(each) for each in values]
        assert second.to_pylist() == first.to_pylist()[::-1]
        operations = ["GET" if len(each) % 2 else "PUT" for each in values]
        digests = [hasher.digest(operation, each) for operation, each in zip(operations, values, strict=True)]
        assert remembered.digests(operations, values).tolist() == digests


def test_memory_is_bounded() -> None:
    """Beyond the bound all is forgotten, and what is asked next is still right."""
    hasher = ValueHasher(b"key", Limits())
    remembered = RememberedValues(hasher)
    for batch in range(4):
        values = [b"%d-%d" % (batch, number) for number in range(remembered_values.REMEMBERED_VALUES // 2)]
        remembered.tokens(values)
        remembered.digests(["GET"] * len(values), values)
    assert len(remembered._numbers) <= 1.5 * remembered_values.REMEMBERED_VALUES
    assert len(remembered._digests) <= 1.5 * remembered_values.REMEMBERED_VALUES
    assert remembered.tokens([b"4711"])[0].to_pylist() == [hasher.tokens(b"4711")]
