"""Record what ``make demo`` shows: pcaps/shop, one capture a host, and its truth beside it.

Usage: python tools/record_demo.py
Needs root and tests/lab/install.sh. A few people use the shop while one host's link loses some packets and the
clocks of two hosts are wrong.
"""

import gzip
import json
import shutil
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.lab.run import LabOptions, record_lab  # noqa: E402 - the repository is on the path only now

SHOP = REPOSITORY / "pcaps" / "shop"
TRUTH = REPOSITORY / "pcaps" / "shop.truth.jsonl.gz"
COMPRESSED = ("cache1", "maria1")
"""Hosts whose captures are kept as .pcap.gz: a folder of captures holds both kinds in practice."""
MOST_BYTES = 4_500_000
OPTIONS = {
    "requests": 250,
    "concurrency": 4,
    "think_ms": 20.0,
    "loss_percent": 1.0,
    "link": "shop1",
    "clocks": {"shop1": (0.18, 20.0), "pg1": (-0.045, 0.0)},
    "seed": 7,
}


def main() -> None:
    """Record into a directory of its own, then replace what is there."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        summary = record_lab(LabOptions(out, **OPTIONS))
        shutil.rmtree(SHOP, ignore_errors=True)
        SHOP.mkdir(parents=True)
        for capture in sorted(out.glob("*.pcap")):
            if capture.stem in COMPRESSED:
                (SHOP / f"{capture.name}.gz").write_bytes(gzip.compress(capture.read_bytes(), mtime=0))
            else:
                shutil.copy(capture, SHOP)
        TRUTH.write_bytes(gzip.compress((out / "truth.jsonl").read_bytes(), mtime=0))
    size = sum(path.stat().st_size for path in [TRUTH, *SHOP.iterdir()])
    print(json.dumps(summary, indent=1))
    if size > MOST_BYTES:
        sys.exit(f"the demo is {size} bytes; at most {MOST_BYTES} belong into the repository")


if __name__ == "__main__":
    main()
