"""Reads one vantage point from its capture files to its exchanges: the unit of work that the pipeline hands to workers.

Rules: a pure function of the files and the settings. Exchanges are written to a spool as they come, so
that memory does not grow with the capture; what is returned is small.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from wiretrace.exchanges.driver import ExchangeDriver
from wiretrace.exchanges.key_logs import note_refused, read_key_log
from wiretrace.exchanges.prepared import recognise_statements
from wiretrace.exchanges.spool import Spool, SpoolWriter
from wiretrace.exchanges.values import ValueHasher
from wiretrace.model.analysis import Payload
from wiretrace.model.note import Notes
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.hardware import hardware_addresses
from wiretrace.packets.reader import CaptureReader
from wiretrace.tcp.coverage import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pyarrow as pa

    from wiretrace.model.settings import Settings
    from wiretrace.packets.captures import CaptureSet
    from wiretrace.packets.summary import CaptureSummary

CONNECTION_BITS = 32
"""Connections are numbered through the case: the vantage point's number, then this many bits for its own."""
KEY_BYTES = 65536
"""Bytes of the beginning of each capture that the key of its values is made from."""


@dataclass(slots=True)
class VantagePoint:
    """What one vantage point brought. The exchanges are on disk."""

    name: str
    spool: Spool
    """Its exchanges, in the order in which they were complete."""
    connections: pa.Table
    files: list[tuple[str, CaptureSummary]] = field(default_factory=list)
    """What was read, as given."""
    notes: Notes = field(default_factory=Notes)
    accounting: Counter[Payload] = field(default_factory=Counter)
    """Payload bytes by where they ended up; they add up to `payload_bytes` unless we have a defect."""
    payload_bytes: int = 0
    hardware: dict[str, dict[str, int]] = field(default_factory=dict)
    """By address: the MAC addresses that its packets carried when they came straight from it, with counts of samples."""


def value_key(paths: Iterable[Path]) -> bytes:
    """The key under which values of these captures are hashed: made from their contents, and kept nowhere.

    The same captures give the same hashes, and whoever lacks the captures can not try values out.
    """
    digest = blake2b(digest_size=32)
    for path in sorted(paths):
        try:
            with path.open("rb") as file:
                digest.update(file.read(KEY_BYTES))
        except OSError:
            continue  # the reader says what is wrong with it
    return digest.digest()


def read_vantage_point(
    capture: CaptureSet,
    number: int,
    spool: Path,
    key: bytes,
    settings: Settings,
    advance: Callable[[int], None] | None = None,
) -> VantagePoint:
    """Read the files of vantage point `number`, in order. `advance` is told how many bytes more of them are read.

    Raises UserError where a file can not be read at all.
    """
    limits = settings.limits
    flows = FlowTable()
    notes = Notes()
    key_log = read_key_log(settings.tls_keylog, limits)
    driver = ExchangeDriver(
        capture.name,
        flows,
        limits,
        notes,
        ValueHasher(key, limits),
        keep_values=settings.keep_values,
        first_connection=number << CONNECTION_BITS,
        key_log=key_log,
    )
    files: list[tuple[str, CaptureSummary]] = []
    coverage = Coverage()
    with SpoolWriter(spool) as writer:
        for path in capture.paths:
            reader = CaptureReader(path, flows, limits, notes)
            told = secrets = 0
            for columns in reader.chunks():
                for text in reader.summary.secrets[secrets:]:
                    key_log.add(text.encode("ascii", "replace").splitlines())
                secrets = len(reader.summary.secrets)
                coverage.feed(columns)
                for batch in driver.feed(columns):
                    writer.write(batch)
                if advance is not None:
                    advance(reader.stored_bytes - told)
                    told = reader.stored_bytes
            files.append((capture.known_as(path), reader.summary))
        for batch in driver.finish():
            writer.write(batch)
    note_refused(key_log, notes)
    accounting = driver.accounting
    accounting[Payload.COPIED] += coverage.copied_bytes
    coverage.note(notes, capture.name, driver.lost_bytes)
    return VantagePoint(
        name=capture.name,
        spool=recognise_statements(driver.settle(writer.spool()), driver.statements),
        connections=driver.connections(),
        files=files,
        notes=notes,
        accounting=+accounting,
        payload_bytes=driver.payload_bytes + coverage.copied_bytes,
        hardware=hardware_addresses(flows),
    )
