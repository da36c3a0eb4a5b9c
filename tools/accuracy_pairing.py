"""How well requests and responses are paired when packets are missing from the capture.

Real servers are loaded with requests that carry a nonce which their responses repeat (tests/lab/load.py). The complete
recording gives the true pairs, checked by their nonces. Then packets are removed at random, and what is still paired is
compared with the truth: a pair that is not true is a *false pair*; *found* is the share of the exchanges whose own first
bytes (of the request and of the response) were captured that are paired.
"""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from wiretrace.exchanges.driver import ExchangeDriver
from wiretrace.exchanges.values import ValueHasher
from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.reader import CaptureReader

PROTOCOLS = ("http", "postgresql", "mysql", "redis", "memcached")
SHARES = (0.001, 0.01, 0.1)
KEY = b"accuracy"


@dataclass
class Pairs:
    """The pairs of one capture. Arrays have shape (n,)."""

    identity: np.ndarray
    """Client port, request sequence number and response sequence number, as one structured value."""
    first_frames: np.ndarray
    """Shape (n, 2): frames of the first bytes of request and response."""
    wrong_nonces: int
    """Pairs whose request and response carry different nonces."""


def main(exchanges: int = 100_000, folder: Path | None = None) -> bool:
    """Print the table. False if a number of the project's goals is missed."""
    good = True
    print(f"Pairing with packets missing: {exchanges:,} exchanges of each protocol, real servers")
    print(f"{'protocol':<12}{'missing':>9}{'captured':>10}{'found':>9}{'false pairs':>13}")
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        for protocol in PROTOCOLS:
            capture = place / f"load-{protocol}.pcap"
            if not capture.exists():
                command = [sys.executable, "-m", "tests.lab.load", "--protocol", protocol]
                subprocess.run(
                    [*command, "--exchanges", str(exchanges), "--out", str(place)], check=True, stdout=sys.stderr
                )
            truth = read_pairs(capture)
            if truth.wrong_nonces or len(truth.identity) < exchanges * 0.99:
                print(f"{protocol:<12}complete capture: {len(truth.identity):,} pairs, {truth.wrong_nonces} wrong")
                good = False
            for share in SHARES:
                thinned = place / "thinned.pcap"
                kept = thin(capture, thinned, share)
                found = read_pairs(thinned)
                seen = kept[truth.first_frames].all(axis=1)
                true_pairs = np.isin(found.identity, truth.identity)
                hit = np.isin(truth.identity[seen], found.identity)
                false_pairs = max(int((~true_pairs).sum()), found.wrong_nonces)
                recall = float(hit.mean())
                print(f"{protocol:<12}{share:>9.1%}{int(seen.sum()):>10,}{recall:>9.2%}{false_pairs:>13}")
                good = good and false_pairs == 0 and recall >= 0.98
                thinned.unlink()
    return good


def read_pairs(capture: Path) -> Pairs:
    """Analyze a capture and take its proved pairs."""
    limits, notes, flows = Limits(), Notes(), FlowTable()
    driver = ExchangeDriver("load", flows, limits, notes, ValueHasher(KEY, limits), keep_values=False)
    batches = []
    for columns in CaptureReader(capture, flows, limits, notes).chunks():
        batches += list(driver.feed(columns))
    batches += list(driver.finish())
    table = pa.Table.from_batches(batches)
    proved = (table.column("request_seq").to_numpy() >= 0) & (table.column("response_seq").to_numpy() >= 0)
    table = table.filter(pa.array(proved))
    identity = (
        (table.column("client_port").to_numpy().astype(np.uint64) << np.uint64(48))
        ^ (table.column("request_seq").to_numpy().astype(np.uint64) << np.uint64(16))
        ^ (table.column("response_seq").to_numpy().astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    )
    frames = [table.column(name).combine_chunks() for name in ("request_frames", "response_frames")]
    first = np.stack([each.flatten().to_numpy()[each.offsets.to_numpy()[:-1]] for each in frames], axis=1)
    wrong = sum(
        1
        for asked, answered, one_way in zip(
            table.column("request_tokens").to_pylist(),
            table.column("response_tokens").to_pylist(),
            table.column("one_way").to_pylist(),
            strict=True,
        )
        if not one_way and nonces(asked) and nonces(answered) and not nonces(asked) & nonces(answered)
    )
    return Pairs(identity, first, wrong)


def nonces(tokens: list[int]) -> set[int]:
    """Tokens that are identifiers: their lowest bit is 0 (exchanges/values.py)."""
    return {token for token in tokens if not token & 1}


def thin(capture: Path, thinned: Path, share: float) -> np.ndarray:
    """Copy a pcap file without a random share of its packets. Returns which frames were kept, counted from 1."""
    chooser = random.Random(f"{capture.name} {share}")
    kept = [False]
    data = capture.read_bytes()
    with thinned.open("wb") as sink:
        sink.write(data[:24])
        at = 24
        while at + 16 <= len(data):
            end = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
            kept.append(chooser.random() >= share)
            if kept[-1]:
                sink.write(data[at:end])
            at = end
    return np.array(kept)


if __name__ == "__main__":
    sys.exit(
        0
        if main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
        else 1
    )
