"""From the files and folders that a user gives to vantage points: which files are captures, and which belong together.

Rules: a capture is recognised by its first bytes, never by its name. Names only group the files of one rotation, and the
times of their first packets order them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wiretrace.model.errors import UserError
from wiretrace.model.file_names import told_name
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind, Notes
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.fetch import fetch, is_elsewhere
from wiretrace.packets.reader import CaptureReader, NotACaptureError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMPRESSION_SUFFIX = re.compile(r"\.(gz|zst|zstd|xz|lz4|bz2)$", re.IGNORECASE)
CAPTURE_SUFFIX = re.compile(r"\.(pcap|pcapng|cap|dmp|dump|tcpdump|trace|ntar)$", re.IGNORECASE)
TIME = r"\d{8}[-_T]?\d{6}Z?|\d{4}-\d\d-\d\d[-_T]\d\d[-:._]?\d\d[-:._]?\d\dZ?|1\d{9}"
ROTATIONS = (
    re.compile(rf"(?P<set>.+?)[-_.](?:\d{{5,}}_(?:{TIME})|(?:{TIME})_\d{{5,}})(?P<suffix>\.\w+)?"),
    re.compile(rf"(?P<set>.+?)[-_.](?:{TIME})(?P<suffix>\.[a-zA-Z]\w*?)?\d*"),
    re.compile(r"(?P<set>.+)(?P<suffix>\.(?:pcap|pcapng|cap|dmp|dump))\d*", re.IGNORECASE),
)
"""Names of one file of a rotation: dumpcap -b (number and time, in either order), tcpdump -G with a full time (and a number
where -C is given too), tcpdump -C (a number behind the name)."""
SNIFF_BYTES = 1 << 18
"""Chunk that is read to find the first packet of a file."""


@dataclass(frozen=True, slots=True)
class CaptureSet:
    """One vantage point: a capture file, or the files of one rotation in the order of their times."""

    name: str
    """Unique among the sets: the file name without suffixes, with folders before it where two would be equal."""
    paths: tuple[Path, ...]
    origins: Mapping[Path, str] = field(default_factory=dict, compare=False)
    """Where those of `paths` that are copies come from: a URL, or - for standard input."""

    def known_as(self, path: Path) -> str:
        """One of `paths` as it is told to people."""
        return self.origins.get(path) or told_name(path)


def find_captures(given: Sequence[Path | str], notes: Notes, folder: Path | None = None) -> list[CaptureSet]:
    """The vantage points in files and folders, in the order given (a folder's by name; searched one level deep).

    What is given as a string may be a URL, or - for standard input; it is copied into `folder`, which has to stay as long
    as the captures are read. Files in a folder that are no captures are passed over with a note. Raises UserError for a
    path that is not there or can not be read, a given file that is no capture, and a folder that holds none.
    """
    files: dict[Path, Path] = {}
    origins: dict[Path, str] = {}
    for one in dict.fromkeys(given):
        if isinstance(one, str) and is_elsewhere(one) and folder is not None:
            copies = fetch(one, folder)
            origins.update(copies)
            for copy, origin in copies.items():
                files[copy] = _checked(copy, origin)
            continue
        path = Path(one)
        for found in _in_folder(path, notes) if path.is_dir() else [_checked(path)]:
            files.setdefault(found.resolve(), found)
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in files.values():
        groups.setdefault((path.parent, _rotation(path.name)), []).append(path)
    sets = [_in_order(members) for members in groups.values()]
    names = [_stem(members[0].name if len(members) == 1 else common) for (_, common), members in groups.items()]
    return [CaptureSet(name, members, origins) for name, members in zip(_unique(names, sets), sets, strict=True)]


def _checked(path: Path, origin: str = "") -> Path:
    """`path`, if it is a capture; raises UserError, which names its `origin` where it has one, if not."""
    try:
        _first_packet_ns(path)
    except UserError as error:
        raise (type(error)(str(error).replace(str(path), origin, 1)) if origin else error) from None
    return path


def _in_folder(folder: Path, notes: Notes) -> list[Path]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise UserError(f"{folder}: can not be read ({error.strerror}). Check that you may read it.") from None
    captures = []
    for entry in entries:
        try:
            captures.append(_checked(entry))
        except NotACaptureError:
            notes.add(NoteKind.NOT_A_CAPTURE, told_name(folder.name))
    if not captures:
        raise UserError(f"{folder}: no captures in this folder. Give a folder of pcap or pcapng files.")
    return captures


def _first_packet_ns(path: Path) -> int:
    """Time of the first packet of a capture file, -1 where it is not near the beginning. Raises UserError."""
    reader = CaptureReader(path, FlowTable(), Limits(chunk_bytes=SNIFF_BYTES), Notes())
    return reader.first_packet_ns()


def _rotation(name: str) -> str:
    """What the names of all files of a rotation have in common: the name with number and time taken out."""
    plain = COMPRESSION_SUFFIX.sub("", name)
    for pattern in ROTATIONS:
        match = pattern.fullmatch(plain)
        if match:
            return match["set"] + (match["suffix"] or "")
    return plain


def _in_order(members: list[Path]) -> tuple[Path, ...]:
    if len(members) == 1:
        return tuple(members)
    return tuple(sorted(members, key=lambda path: (_first_packet_ns(path), path.name)))


def _stem(name: str) -> str:
    return told_name(CAPTURE_SUFFIX.sub("", COMPRESSION_SUFFIX.sub("", name)) or name)


def _unique(names: list[str], sets: list[tuple[Path, ...]]) -> list[str]:
    """`names`, with as many folders before those that are equal as tell them apart, or else a number behind."""
    result = list(names)
    for depth in range(1, 4):
        for index in _repeated(result):
            folders = map(told_name, sets[index][0].absolute().parts[-1 - depth : -1])
            result[index] = "/".join([*folders, names[index]])
    for count, index in enumerate(_repeated(result), 1):
        result[index] = f"{result[index]}#{count}"
    return result


def _repeated(names: list[str]) -> list[int]:
    """Indexes of the names that occur more than once."""
    often = Counter(names)
    return [index for index, name in enumerate(names) if often[name] > 1]
