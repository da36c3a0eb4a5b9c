"""The binding: what a user is told where an interface can not be captured."""

import pytest

from wiretrace.capture.libpcap import LiveCapture
from wiretrace.model.errors import UsageError, UserError


def test_an_unknown_interface_is_named_beside_those_that_exist():
    with pytest.raises(UserError, match=r"no interface is named nosuch0 here; there are: .*lo"):
        LiveCapture("nosuch0", 262_144, 1 << 20, promiscuous=False, timeout_ms=100)


def test_time_stamps_are_nanoseconds_and_an_idle_interface_does_not_block():
    with LiveCapture("lo", 262_144, 1 << 20, promiscuous=False, timeout_ms=100) as capture:
        assert capture.nanoseconds
        assert capture.link_type == "EN10MB"
        capture.set_filter("tcp port 1")
        file = capture.open_file("/dev/null")
        assert capture.write_waiting(file, 10) == 0
        file.close()


def test_a_filter_without_meaning_is_a_usage_error():
    with (
        LiveCapture("lo", 262_144, 1 << 20, promiscuous=False, timeout_ms=100) as capture,
        pytest.raises(UsageError, match='bad filter "tcp prot 80"'),
    ):
        capture.set_filter("tcp prot 80")


def test_a_full_disk_is_told_when_the_file_is_flushed():
    with LiveCapture("lo", 262_144, 1 << 20, promiscuous=False, timeout_ms=100) as capture:
        file = capture.open_file("/dev/full")
        with pytest.raises(UserError, match="the disk is full"):
            file.close()
