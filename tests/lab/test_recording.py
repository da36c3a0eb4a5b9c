"""What the lab does to a capture after recording: masking and shifting, on small files made by hand."""

import struct

import pytest
from tests.lab.recording import leaks, mask, shift_clock

IDENTIFIER = "0123456789abcdef" * 2
HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)


def capture(path, packets):
    """Write a nanosecond capture of (time in ns, bytes) packets."""
    records = [struct.pack("<IIII", *divmod(time, 10**9), len(data), len(data)) + data for time, data in packets]
    path.write_bytes(HEADER + b"".join(records))
    return path


def test_an_id_is_overwritten_in_place_and_found_before_but_not_after(tmp_path):
    request = b"GET / HTTP/1.1\r\nX-Lab-Truth: " + IDENTIFIER.encode() + b"\r\n\r\n"
    path = capture(tmp_path / "a.pcap", [(10**9, request)])
    size = path.stat().st_size
    assert set(leaks(path, {IDENTIFIER})) == {IDENTIFIER}
    assert mask(path) == 1
    assert leaks(path, {IDENTIFIER}) == []
    assert path.stat().st_size == size
    assert b"X-Lab-Truth: " + b"0" * 32 + b"\r\n" in path.read_bytes()


@pytest.mark.parametrize("digits", [1, 17, 31])
def test_an_id_that_the_snapshot_length_cut_is_overwritten_too(tmp_path, digits):
    path = capture(tmp_path / "a.pcap", [(10**9, b"X-Lab-Truth: " + IDENTIFIER[:digits].encode())])
    assert mask(path) == 1
    assert path.read_bytes().endswith(b": " + b"0" * digits)


def test_half_an_id_counts_as_a_leak(tmp_path):
    path = capture(tmp_path / "a.pcap", [(10**9, b"log " + IDENTIFIER[:16].encode() + b" end")])
    assert leaks(path, {IDENTIFIER}) == [IDENTIFIER]


def test_a_clock_that_is_ahead_and_gains_stamps_later_and_later(tmp_path):
    path = capture(tmp_path / "a.pcap", [(10**18, b"one"), (10**18 + 10**10, b"two")])
    shift_clock(path, offset_seconds=-0.5, drift_ppm=100)
    data = path.read_bytes()
    times = [seconds * 10**9 + rest for seconds, rest in (struct.unpack_from("<II", data, at) for at in (24, 43))]
    assert times == [10**18 - 5 * 10**8, 10**18 + 10**10 - 5 * 10**8 + 10**6]
