"""Rows are found by ids as Arrow finds them, whatever text stands in the place of an id."""

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from wiretrace.case.ids import RowsOfIds

SOUND = st.integers(0, 12).map(lambda number: f"{number * 0x1FFFFFFFFFFFFFFF % 2**64:016x}")
ANY = SOUND | st.text(max_size=3) | st.sampled_from(["ABCDEFABCDEFABCD", "abcdefabcdefabcd", "000000000000000g"])


@given(
    st.lists(SOUND, max_size=12) | st.lists(ANY, max_size=12), st.lists(st.none() | ANY, max_size=12), st.integers(0, 3)
)
def test_rows_are_those_that_arrow_finds(ids: list[str], named: list[str | None], cut: int) -> None:
    """Also for null, for an id that is there twice, for slices, and for capital letters, which are another text."""
    pieces = [pa.chunked_array([pa.array(part, pa.string())]) for part in (ids[:cut], ids[cut:])]
    wanted = pa.chunked_array([pa.array(["", *named], pa.string()).slice(1)])
    expected = pc.index_in(wanted, value_set=pa.array(ids, pa.string()), skip_nulls=True).fill_null(-1)
    assert RowsOfIds(lambda: pieces).rows(wanted).tolist() == expected.to_pylist()
