"""Names of files are told, whatever bytes they are made of."""

import os

import pytest

from wiretrace.model.file_names import told_name


@pytest.mark.parametrize(
    ("name", "told"), [(b"web1.pcap", "web1.pcap"), ("Büro".encode(), "Büro"), (b"a\xff\xc3.pcap", r"a\xff\xc3.pcap")]
)
def test_what_is_no_utf_8_is_told_byte_by_byte(name: bytes, told: str) -> None:
    assert told_name(os.fsdecode(name)) == told
