"""What is written to a terminal is harmless, however it is cut into pieces."""

import io
import itertools

from hypothesis import given
from hypothesis import strategies as st

from wiretrace.cli.terminal.streams import HarmlessLines


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200)))
def test_any_bytes_in_any_pieces_become_visible_lines(data: bytes, cuts: list[int]) -> None:
    written = io.BytesIO()
    with HarmlessLines(written) as stream:
        positions = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        for begin, end in itertools.pairwise(positions):
            stream.write(data[begin:end])
    text = written.getvalue().decode()
    assert text.count("\n") == data.count(b"\n")
    assert all(line.isprintable() for line in text.split("\n"))


def test_what_is_harmless_is_unchanged() -> None:
    written = io.BytesIO()
    with HarmlessLines(written) as stream:
        stream.write('{"summary":"GET /größe"}\nlast'.encode())
    assert written.getvalue() == '{"summary":"GET /größe"}\nlast'.encode()
