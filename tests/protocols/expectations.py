"""What wiretrace reads in the captures of tests/protocols/captures/, in a form that a person can check.

Usage: python -m tests.protocols.expectations
Writes NAME.json beside each NAME.pcap. Times are given as nanoseconds since the first packet of the capture.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from wiretrace.exchanges.vantage import read_vantage_point
from wiretrace.model.note import Notes
from wiretrace.model.settings import Settings
from wiretrace.packets.captures import find_captures

CAPTURES = Path(__file__).parent / "captures"
SHOWN = ("protocol", "operation", "summary", "status", "outcome", "proof", "request_bytes", "response_bytes")
TIMES = ("request_start_ns", "request_end_ns", "response_start_ns", "response_end_ns")


def key_log_of(path: Path) -> Path | None:
    """The key log that lies beside a capture, if one does."""
    beside = path.with_suffix(".keylog")
    return beside if beside.is_file() else None


def exchanges_of_capture(path: Path) -> dict[str, Any]:
    """The exchanges of a capture in the order of their first packets, its notes, and where its payload bytes went."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "exchanges.arrow"
        [capture] = find_captures([path], Notes())
        result = read_vantage_point(capture, 0, spool, b"", Settings(jobs=1, tls_keylog=key_log_of(path)))
        rows: list[dict[str, Any]] = [row for part in result.spool.parts() for row in part.to_pylist()]
    first = min((row[name] for row in rows for name in TIMES if row[name] >= 0), default=0)
    found = []
    for row in rows:
        shown = {name: row[name] for name in SHOWN}
        shown |= {"frames": [row["request_frames"], row["response_frames"]]}
        shown |= {"times": [row[name] - first if row[name] >= 0 else -1 for name in TIMES]}
        shown |= {"identifiers": row["identifiers"], "attributes": json.loads(row["attributes"]), "notes": row["notes"]}
        found.append(shown)
    found.sort(key=lambda shown: (shown["frames"][0] or shown["frames"][1], shown["summary"]))
    return {
        "exchanges": found,
        "accounting": dict(sorted((str(fate), count) for fate, count in result.accounting.items() if count)),
        "notes": sorted([str(kind), subject, count] for (kind, subject), count in result.notes.counts.items()),
    }


def main() -> None:
    """Write all expected files."""
    for path in sorted(CAPTURES.glob("*.pcap")):
        expected = exchanges_of_capture(path)
        lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in expected.pop("exchanges"))
        rest = json.dumps(expected)[1:]
        path.with_suffix(".json").write_text(f'{{"exchanges": [\n{lines}\n],\n{rest}\n')


if __name__ == "__main__":
    main()
