"""Names of capture files and which of them are kept."""

import pytest

from wiretrace.capture.rotation import Rotation
from wiretrace.model.errors import UserError


def test_one_file_keeps_its_name(tmp_path):
    rotation = Rotation(str(tmp_path / "shop.pcap"))
    assert rotation.begin_file(0.0) == str(tmp_path / "shop.pcap")
    assert not rotation.rotates


def test_size_rotation_numbers_the_files_before_the_suffix(tmp_path):
    rotation = Rotation(str(tmp_path / "shop.pcap"), file_bytes=1000)
    assert [rotation.begin_file(0.0), rotation.begin_file(0.0)] == [
        str(tmp_path / "shop-00001.pcap"),
        str(tmp_path / "shop-00002.pcap"),
    ]


def test_time_rotation_fills_in_strftime_fields(tmp_path):
    rotation = Rotation(str(tmp_path / "%Y.pcap"), file_seconds=60)
    assert rotation.begin_file(1_000_000_000.0) == str(tmp_path / "2001.pcap")


def test_time_rotation_without_fields_numbers_the_files(tmp_path):
    rotation = Rotation(str(tmp_path / "a.pcap"), file_seconds=60)
    assert rotation.begin_file(0.0).endswith("a-00001.pcap")


def test_a_ring_keeps_the_newest_files(tmp_path):
    rotation = Rotation(str(tmp_path / "a.pcap"), file_bytes=1000, files_kept=2)
    for _ in range(5):
        rotation.begin_file(0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-00004.pcap", "a-00005.pcap"]


def test_a_file_that_exists_is_not_written_over(tmp_path):
    (tmp_path / "a.pcap").write_bytes(b"evidence")
    with pytest.raises(UserError, match="exists already"):
        Rotation(str(tmp_path / "a.pcap")).begin_file(0.0)
    assert (tmp_path / "a.pcap").read_bytes() == b"evidence"


def test_a_file_is_due_by_size_or_by_age():
    by_size, by_age = Rotation("a", file_bytes=1000), Rotation("a", file_seconds=10)
    assert by_size.is_due(1000, 0.0)
    assert not by_size.is_due(999, 1e9)
    assert by_age.is_due(0, 10.0)
    assert not by_age.is_due(10**9, 9.9)
