"""Files and folders become vantage points."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.captures import START_NS, TcpConversation, write_pcap, write_pcapng

from wiretrace.model.errors import UserError
from wiretrace.model.note import NoteKind, Notes
from wiretrace.packets.captures import CaptureSet, find_captures

if TYPE_CHECKING:
    from pathlib import Path


def capture(path: Path, second: int = 0) -> Path:
    """A small capture that begins `second` seconds after the others."""
    path.parent.mkdir(exist_ok=True)
    conversation = TcpConversation(start_ns=START_NS + second * 1_000_000_000).open()
    write = write_pcapng if "pcapng" in path.name else write_pcap
    return write(path, conversation.packets)


def test_each_file_is_a_vantage_point_named_after_it(tmp_path: Path) -> None:
    """The name is the file's without suffixes, and files keep the order in which they were given."""
    paths = [capture(tmp_path / name) for name in ("web1.pcap", "db.prod.pcapng", "app", "cache.cap")]
    assert find_captures(paths, Notes()) == [
        CaptureSet(name, (path,)) for name, path in zip(("web1", "db.prod", "app", "cache"), paths, strict=True)
    ]


def test_a_file_whose_name_is_no_utf_8_has_one_that_is(tmp_path: Path) -> None:
    """In what the vantage point is called, in what the file is known as, and in notes."""
    folder = tmp_path / os.fsdecode(b"\xfe")
    path = capture(folder / os.fsdecode(b"a\xff.pcap"))
    (folder / "none").touch()
    notes = Notes()
    [found] = find_captures([folder], notes)
    assert (found.name, found.known_as(path)) == ("a\\xff", f"{tmp_path}/\\xfe/a\\xff.pcap")
    assert notes.counts == {(NoteKind.NOT_A_CAPTURE, "\\xfe"): 1}


def test_folder_is_searched_one_level_deep(tmp_path: Path) -> None:
    """Captures are known by their first bytes; other files are noted, folders inside are left alone."""
    b, a = capture(tmp_path / "b.txt"), capture(tmp_path / "a.pcap")
    (tmp_path / "notes.pcap").write_text("no capture")
    (tmp_path / "empty.pcap").write_bytes(b"")
    capture(tmp_path / "deeper" / "c.pcap")
    notes = Notes()
    assert find_captures([tmp_path], notes) == [CaptureSet("a", (a,)), CaptureSet("b.txt", (b,))]
    assert notes.counts == {(NoteKind.NOT_A_CAPTURE, tmp_path.name): 2}


def test_file_given_twice_is_read_once(tmp_path: Path) -> None:
    """A folder and a file in it, and a link to it, are the same capture."""
    path = capture(tmp_path / "a.pcap")
    (tmp_path / "z.pcap").symlink_to(path)
    assert find_captures([tmp_path, path], Notes()) == [CaptureSet("a", (path,))]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("web1", ["web1.pcap", "web1.pcap1", "web1.pcap2", "web1.pcap10"]),
        ("web1", ["web1.pcap00", "web1.pcap01", "web1.pcap02"]),
        ("web1", ["web1_00001_20260101120000.pcapng", "web1_00002_20260101120500.pcapng"]),
        ("web1", ["web1_20260101120000_00001.pcapng", "web1_20260101120500_00002.pcapng"]),
        ("web1-eth0", ["web1-eth0-2026-01-01_12:00:00.pcap", "web1-eth0-2026-01-01_12:05:00.pcap"]),
        ("web1", ["web1-20260101-120000.pcap", "web1-20260101-120500.pcap1"]),
        ("web1", ["web1.1790000000.pcap", "web1.1790000300.pcap"]),
    ],
)
def test_rotated_files_are_one_vantage_point_in_order_of_time(tmp_path: Path, name: str, files: list[str]) -> None:
    """The names of tcpdump -C, -W and -G and of dumpcap -b; packets, not names, say which came first."""
    paths = [capture(tmp_path / file, second) for second, file in enumerate(files)]
    other = capture(tmp_path / "web2.pcap", 1)
    found = find_captures([*reversed(paths), other], Notes())
    assert found == [CaptureSet(name, tuple(paths)), CaptureSet("web2", (other,))]


def test_ring_that_came_round_is_in_order_of_time(tmp_path: Path) -> None:
    """With tcpdump -C -W the lowest number may be the newest file."""
    newest, older = capture(tmp_path / "a.pcap0", 60), capture(tmp_path / "a.pcap1", 30)
    assert find_captures([tmp_path], Notes()) == [CaptureSet("a", (older, newest))]


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """`web1/eth0.pcap` and `web2/eth0.pcap` are two vantage points, never one."""
    paths = [capture(tmp_path / folder / "eth0.pcap") for folder in ("web1", "web2")]
    assert [found.name for found in find_captures(paths, Notes())] == ["web1/eth0", "web2/eth0"]


def test_equal_names_in_one_folder_are_numbered(tmp_path: Path) -> None:
    """`a.pcap` and `a.cap` are two vantage points."""
    capture(tmp_path / "a.cap")
    capture(tmp_path / "a.pcap")
    names = [found.name for found in find_captures([tmp_path], Notes())]
    assert len(set(names)) == 2
    assert all(name.startswith(f"{tmp_path.name}/a#") or "/a#" in name for name in names)


def test_bad_paths_are_one_clear_line(tmp_path: Path) -> None:
    """A given file has to be a capture, and a given folder has to hold one."""
    text = tmp_path / "text.pcap"
    text.write_text("no capture")
    folder = tmp_path / "folder"
    folder.mkdir()
    for path, words in (
        (text, "not a capture"),
        (folder, "no captures in this folder"),
        (tmp_path / "none.pcap", "there is no such file"),
    ):
        with pytest.raises(UserError, match=words) as refused:
            find_captures([path], Notes())
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
